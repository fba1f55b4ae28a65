"""A pipeline with its workers whose store fails, whose process is killed and whose receivers refuse, on demand.

Everything is real but the clock, the transport of messages and the receivers; all that happens is noted.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from tests.consumer.desk import UPLINK
from tests.consumer.messages import NO_STORMS, ROOT, RULES, FakeClock, arrival, event, status
from tocsin_consumer import incident_rows
from tocsin_consumer.deliver import Worker
from tocsin_consumer.errors import PermanentError, StoreError, TemporaryError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.incident import Incident
from tocsin_consumer.inhibit import InhibitSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.notification import Notification
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receivers.receiver import Note, Receipt, Rendering, unnoted
from tocsin_consumer.records import Outcome
from tocsin_consumer.report import Report
from tocsin_consumer.route import Route
from tocsin_consumer.settings import RouteSettings
from tocsin_consumer.silence import Silence, Wish
from tocsin_consumer.store import Store
from tocsin_schemas.event import EventPayload

#: The longest that a receiver rests, and that a delivery is put off.
LONGEST_PAUSE: Final = timedelta(seconds=60)
#: That a worker may take for what there is at one time.
_MOST_STEPS: Final = 200


class Killed(Exception):  # noqa: N818 - what happens, not an error of ours
    """The process is gone."""


class Mishap(Enum):
    """What becomes of the next transaction that writes."""

    #: It is rolled back, and whoever asked is told.
    FAILS = "fails"
    #: It is done, and whoever asked is told that it failed.
    FAILS_LATE = "fails late"
    #: The process is killed before it, or after it.
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"


class Mood(Enum):
    """What a receiver says to a delivery."""

    WELL = "well"
    BUSY = "busy"
    REFUSING = "refusing"


class FragileStore(Store):
    """A store to which mishaps happen."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.mishap: Mishap | None = None

    def incidents(self) -> list[Incident]:
        """Return all that there were."""
        with self._database.transaction() as connection:
            return incident_rows.find(connection, range(1, incident_rows.next_id(connection)))

    def record(self, *args: Any, **kwargs: Any) -> None:
        mishap = self._before()
        super().record(*args, **kwargs)
        self._after(mishap)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        mishap = self._before()
        super().settle(outcomes)
        self._after(mishap)

    def _before(self) -> Mishap | None:
        mishap, self.mishap = self.mishap, None
        if mishap is Mishap.FAILS:
            raise StoreError("disk I/O error")
        if mishap is Mishap.KILLED_BEFORE:
            raise Killed
        return mishap

    def _after(self, mishap: Mishap | None) -> None:
        if mishap is Mishap.FAILS_LATE:
            raise StoreError("disk I/O error")
        if mishap is Mishap.KILLED_AFTER:
            raise Killed


@dataclass(frozen=True)
class Heard:
    """A state of an Event that the pipeline has taken, with so many more occurrences than the one before it."""

    at: datetime
    event: EventPayload
    growth: int

    def __str__(self) -> str:
        said = self.event
        return f"{self.at:%H:%M:%S} {said.cluster} {said.ns}/{said.name} {said.reason} +{self.growth}"


class Fate(Enum):
    """What the process knows of a delivery that was made."""

    MADE = "made"
    NOTED = "noted"
    #: It was killed before it can be sure that it has noted it.
    DOUBTFUL = "doubtful"


@dataclass
class Telling:
    """What a receiver got, or refused for good."""

    at: datetime
    receiver: str
    report: Report
    fate: Fate = Fate.MADE

    def __str__(self) -> str:
        said = self.report
        lines = [f"{line.cluster} {line.owner} {line.reason} {line.occurrences} {line.end}" for line in said.lines]
        return f"{self.at:%H:%M:%S} {self.receiver} {self.fate.value} {said.incident} {said.cause} {lines}"


@dataclass
class Log:
    """All that happened, in order."""

    entries: list[Heard | Telling] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)

    @property
    def told(self) -> list[Telling]:
        """What receivers got."""
        return [entry for entry in self.entries if isinstance(entry, Telling)]


class Pager:
    """A receiver of incidents."""

    limits: tuple[RateLimit, ...] = ()
    is_local = False

    def __init__(self, name: str, clock: FakeClock, log: Log) -> None:
        self.name = name
        self.mood = Mood.WELL
        self._clock = clock
        self._log = log
        self._rendered: Report | None = None

    def render(self, notification: Notification) -> Rendering:
        assert isinstance(notification.report, Report)
        self._rendered = notification.report
        return Rendering("", "text/plain")

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:  # noqa: ARG002 - the contract
        if self.mood is Mood.BUSY:
            raise TemporaryError("busy")
        assert self._rendered is not None
        self._log.entries.append(Telling(self._clock.now, self.name, self._rendered))
        if self.mood is Mood.REFUSING:
            raise PermanentError("no such group")
        return Receipt("taken")

    def close(self) -> None:
        """Hold nothing."""


class Drill:
    """A consumer in trouble.

    Args:
        route: settings of the top of the routing tree.
        receivers: all that the tree names.
        rules: what inhibits what.
    """

    def __init__(
        self, route: Mapping[str, Any], receivers: Sequence[str], rules: Sequence[InhibitSettings] = ()
    ) -> None:
        self.clock = FakeClock()
        self.store = FragileStore()
        self.log = Log()
        self.pagers = {name: Pager(name, self.clock, self.log) for name in receivers}
        self._settings = RouteSettings.model_validate(route)
        self._rules = rules
        self._counts: dict[str, int] = {}
        self.start()

    def start(self) -> None:
        """Let a process begin; one that ran is gone, and with it what it had not written down."""
        self.store.mishap = None
        for telling in self.log.told:
            if telling.fate is Fate.MADE:
                telling.fate = Fate.DOUBTFUL
        self._mutes = Mutes(self._rules)
        self._mutes.renew(self.log.silences)
        self.pipeline = Pipeline(
            ROOT,
            Route(self._settings),
            rules=RULES,
            mutes=self._mutes,
            storm_rules=NO_STORMS,
            store=self.store,
            notify=lambda _: None,
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
        )
        self._workers = [
            Worker(
                pager,
                self.store,
                max_age=timedelta(days=1),
                clock=self.clock.utc,
                monotonic=self.clock.monotonic,
                backoff=lambda failures: min(2.0**failures, LONGEST_PAUSE.total_seconds()),
            )
            for pager in self.pagers.values()
        ]

    def say(self, uid: str, growth: int = 1, **fields: Any) -> None:
        """Let a state of an Event come, with so many more occurrences than the one before it."""
        self.clock.advance(0.01)  # nothing else happens at that moment
        now = int(self.clock.now.timestamp())
        self._counts[uid] = count = self._counts.get(uid, 0) + growth
        said = event(**({"uid": uid, "count": count, "first": now, "last": now} | fields))
        self._process(arrival(said, received_at=self.clock.now))
        self.log.entries.append(Heard(self.clock.now, said, growth))

    def silence(self, wish: Wish) -> None:
        """Let somebody want to hear nothing of something for a while."""
        self.log.silences.append(self.store.add_silence(wish, self.clock.now))
        self._mutes.renew(self.log.silences)

    def pass_(self, length: timedelta, *, step: timedelta, clusters: Sequence[str] = ()) -> None:
        """Let time pass; `clusters` say that they are there."""
        for cluster in clusters:
            self._process(status("online", cluster=cluster, received_at=self.clock.now))
        end = self.clock.now + length
        while self.clock.now < end:
            self.clock.advance(min(step, end - self.clock.now).total_seconds())
            self._decide()
            self._deliver()

    def _process(self, one: Arrival) -> None:
        """Process it until it is kept, as it comes again until it is acknowledged."""
        while True:
            try:
                return self.pipeline.process([one])
            except StoreError:
                continue
            except Killed:
                self.start()

    def _decide(self) -> None:
        try:
            with suppress(StoreError):
                self.pipeline.decide(UPLINK)
        except Killed:
            self.start()
            self.pipeline.decide(UPLINK)

    def _deliver(self) -> None:
        try:
            for worker in self._workers:
                with suppress(StoreError):
                    steps = 0
                    while worker.step() == 0:
                        steps += 1
                        assert steps < _MOST_STEPS, f"{worker.name} is told without end"
                    self._note(worker)
        except Killed:
            self.start()

    def _note(self, worker: Worker) -> None:
        """A worker that waits for something has written down all that it knows."""
        for telling in reversed(self.log.told):
            if telling.receiver == worker.name:
                if telling.fate is not Fate.MADE:
                    return
                telling.fate = Fate.NOTED
