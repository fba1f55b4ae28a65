"""A pipeline with its workers whose store fails, whose process is killed and whose receivers refuse, on demand.

Everything is real but the clock, the transport of messages and the receivers; all that happens is noted.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal

from tests.consumer.desk import UPLINK
from tests.consumer.layouts import Layout
from tests.consumer.ledger import Digested, Fate, Heard, Log, Telling
from tests.consumer.messages import ROOT, RULES, FakeClock, arrival, event, status
from tests.consumer.mishaps import FragileStore, Killed
from tocsin_consumer.deliver import Worker
from tocsin_consumer.errors import PermanentError, StoreError, TemporaryError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.inhibit import InhibitSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.notification import Notification
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receivers.receiver import Note, Receipt, Rendering, unnoted
from tocsin_consumer.report import Report
from tocsin_consumer.route import Route
from tocsin_consumer.silence import Wish
from tocsin_consumer.storm import StormRules

if TYPE_CHECKING:
    from tocsin_consumer.digest import Digest

#: The longest that a receiver rests, and that a delivery is put off.
LONGEST_PAUSE: Final = timedelta(seconds=60)
#: That a worker may take for what there is at one time.
_MOST_STEPS: Final = 200


class Mood(Enum):
    """What a receiver says to a delivery."""

    WELL = "well"
    BUSY = "busy"
    REFUSING = "refusing"
    #: It says nothing, and its worker waits.
    STUCK = "stuck"


class Pager:
    """A receiver of incidents."""

    limits: tuple[RateLimit, ...] = ()
    is_local = False

    def __init__(self, name: str, clock: FakeClock, store: FragileStore, log: Log) -> None:
        self.name = name
        self.mood = Mood.WELL
        #: What it got of which it is not sure yet that it is noted.
        self.made: list[Telling] = []
        self._clock = clock
        self._store = store
        self._log = log
        self._rendered: Report | Digest | None = None

    def render(self, notification: Notification) -> Rendering:
        self._rendered = notification.report
        return Rendering("", "text/plain")

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:  # noqa: ARG002 - the contract
        if self.mood is Mood.BUSY:
            raise TemporaryError("busy")
        now, is_refused = self._clock.now, self.mood is Mood.REFUSING
        if isinstance(self._rendered, Report):
            self.made.append(Telling(now, self.name, self._rendered, is_refused))
            self._log.entries.append(self.made[-1])
        elif self._rendered is not None:
            incidents = self._store.incidents_in(self._rendered.storm)
            self._log.entries.append(Digested(now, self.name, self._rendered, incidents))
        if is_refused:
            raise PermanentError("no such group")
        return Receipt("taken")

    def close(self) -> None:
        """Hold nothing."""


class Drill:
    """A consumer in trouble.

    Args:
        layout: its routing tree.
        receivers: all that the tree names.
        rules: what inhibits what.
        storm_rules: when incidents are told together.
    """

    def __init__(
        self,
        layout: Layout,
        receivers: Sequence[str],
        *,
        rules: Sequence[InhibitSettings],
        storm_rules: StormRules,
    ) -> None:
        self.clock = FakeClock()
        self.log = Log()
        self.store = FragileStore(self.log)
        self.pagers = {name: Pager(name, self.clock, self.store, self.log) for name in receivers}
        self._settings = layout.settings()
        self._rules = rules
        self._storm_rules = storm_rules
        self._counts: dict[str, int] = {}
        #: Since when clusters are away.
        self._gone: dict[str, datetime] = {}
        self.start()

    def start(self) -> None:
        """Let a process begin; one that ran is gone, and with it what it had not written down."""
        self.store.mishaps.clear()
        self._settle_fates(Fate.DOUBTFUL, self.pagers)
        self._mutes = Mutes(self._rules)
        self._mutes.renew(self.store.silences(self.clock.now))
        self.pipeline = Pipeline(
            ROOT,
            Route(self._settings),
            rules=RULES,
            mutes=self._mutes,
            storm_rules=self._storm_rules,
            store=self.store,
            notify=lambda receivers: self._wake_at.update(dict.fromkeys(receivers, 0.0)),
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
        )
        self._workers = [self._worker(pager) for pager in self.pagers.values()]
        #: When a worker looks whether there is something to do, in monotonic seconds.
        self._wake_at = dict.fromkeys(self.pagers, 0.0)

    def _worker(self, pager: Pager) -> Worker:
        return Worker(
            pager,
            self.store,
            max_age=timedelta(days=1),
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
            backoff=lambda failures: min(2.0**failures, LONGEST_PAUSE.total_seconds()),
        )

    def say(self, uid: str, growth: int, **fields: Any) -> None:
        """Let a state of an Event come, with so many more occurrences than the one before it, or a stale one."""
        self.clock.advance(0.01)  # nothing else happens at that moment
        now, before = int(self.clock.now.timestamp()), self._counts.get(uid, 0)
        count = max(1, before + growth)
        said = event(**({"uid": uid, "count": count, "first": now, "last": now} | fields))
        self._process(arrival(said, received_at=self.clock.now))
        if count > before:
            self._counts[uid] = count
            self.log.entries.append(Heard(self.clock.now, said, count - before))

    def link(self, cluster: str, state: Literal["online", "offline"]) -> None:
        """Let a producer say whether it is there."""
        now, spans = self.clock.now, self.log.away[cluster]
        if state == "offline" and cluster not in self._gone:
            self._gone[cluster] = now
        if state == "online" and cluster in self._gone:
            spans.append((self._gone.pop(cluster), now))
        self._process(status(state, cluster=cluster, received_at=now))

    def silence(self, wish: Wish) -> None:
        """Let somebody want to hear nothing of something for a while."""
        added = self.store.add_silence(wish, self.clock.now)
        self.log.silences[added.id] = added
        self._renew()

    def expire_silences(self) -> None:
        """Let everybody want to hear everything from now on."""
        for id_, one in self.log.silences.items():
            if self.store.expire_silence(id_, self.clock.now):
                self.log.silences[id_] = replace(one, ends_at=self.clock.now)
        self._renew()

    def pass_(self, length: timedelta, *, step: timedelta) -> None:
        """Let time pass."""
        end = self.clock.now + length
        while self.clock.now < end:
            self.clock.advance(min(step, end - self.clock.now).total_seconds())
            self._decide()
            self._deliver()

    def _decide(self) -> None:
        try:
            with suppress(StoreError):
                self.pipeline.decide(UPLINK)
        except Killed:
            self.start()
            self.pipeline.decide(UPLINK)

    def _renew(self) -> None:
        """Take over the silences, as if another process had changed them."""
        self._mutes.renew(self.store.silences(self.clock.now))
        self.pipeline.board.look_again()

    def _process(self, one: Arrival) -> None:
        """Process it until it is kept, as it comes again until it is acknowledged."""
        while True:
            try:
                return self.pipeline.process([one])
            except StoreError:
                continue
            except Killed:
                self.start()

    def _deliver(self) -> None:
        try:
            for worker in self._workers:
                if (
                    self._wake_at[worker.name] <= self.clock.seconds
                    and self.pagers[worker.name].mood is not Mood.STUCK
                ):
                    with suppress(StoreError):
                        self._drain(worker)
        except Killed:
            self.start()

    def _drain(self, worker: Worker) -> None:
        """Let it deliver all that there is; then it has written down all that it knows."""
        for _ in range(_MOST_STEPS):
            if wait := worker.step():
                self._wake_at[worker.name] = self.clock.seconds + wait
                return self._settle_fates(Fate.NOTED, [worker.name])
        raise AssertionError(f"{worker.name} is told without end")

    def _settle_fates(self, fate: Fate, receivers: Iterable[str]) -> None:
        for name in receivers:
            made, self.pagers[name].made = self.pagers[name].made, []
            for telling in made:
                telling.fate = fate
