"""What receivers would have been told of a recording, by the real pipeline and workers, on a clock that jumps.

Nothing is sent, nobody sleeps, and the store is in memory. The clock goes from one thing that is due to the next:
a day costs what its events cost.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from tocsin_consumer.check import build_receivers
from tocsin_consumer.counters import Counters
from tocsin_consumer.deliver import IDLE_SECONDS, Worker
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.intake import Uplink
from tocsin_consumer.mute import Mutes
from tocsin_consumer.notification import Notification
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.presence import Rules
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receivers.receiver import Note, Receipt, Receiver, Rendering, unnoted
from tocsin_consumer.recording import Recorded
from tocsin_consumer.records import Account
from tocsin_consumer.route import Route
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.store import Store
from tocsin_schemas import topics
from tocsin_schemas.event import EventPayload
from tocsin_schemas.session import Received
from tocsin_schemas.status import StatusPayload

if TYPE_CHECKING:
    from tocsin_schemas.session import Connection

#: What comes within a second is taken together, and as often is decided what is due, as where a consumer runs.
_TURN: Final = timedelta(seconds=1)
#: The store keeps times as exactly as this: what is due then is due a moment later.
_MOMENT: Final = timedelta(milliseconds=1)
#: We are connected all the time, and were long before.
_UPLINK: Final = Uplink(since=-86_400.0, resumed=True)
#: Of a cluster whose recording has no status, nothing is known but that it was there.
_NEVER: Final = timedelta(days=3650)
_UNCONNECTED: Final = cast("Connection", None)  # the pipeline hands it back to who acknowledges, which nobody does


@dataclass(frozen=True, slots=True)
class Message:
    """What a receiver would have been sent, and when (aware UTC)."""

    at: datetime
    receiver: str
    notification: Notification
    rendering: Rendering


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a recording besides the messages."""

    counters: Counters
    #: All incidents, as they stood at the end.
    accounts: list[Account]
    #: Receiver → messages that still waited for it at the end; and those that could not be rendered.
    waiting: dict[str, int]
    unrendered: dict[str, int]


class Replay:
    """Runs a recording through a configuration.

    Args:
        settings: the configuration; its silences count, those of a store do not.
        recorded: what came, in the order of time; at least one.
        run_on: how long time goes on after the last of it.
    """

    def __init__(
        self, settings: ConsumerSettings, recorded: Sequence[Recorded], *, run_on: timedelta = timedelta(hours=1)
    ) -> None:
        self._clock = _Clock(recorded[0].at)
        self._until = recorded[-1].at + run_on
        self._store = Store("sqlite://")
        self._told: list[Message] = []
        self._workers = {
            receiver.name: self._worker(receiver, max_age=configured.max_age)
            for configured, receiver in zip(settings.receivers, build_receivers(settings).values(), strict=True)
        }
        #: When to let a worker go on that has something to do.
        self._wakes: dict[str, datetime] = {}
        self._arrivals = _arrivals(recorded, settings.topic_root)
        self._next = next(self._arrivals, None)
        self._pipeline = Pipeline(
            settings.topic_root,
            Route(settings.route, single=settings.single),
            rules=_rules(settings.presence.rules, recorded),
            mutes=Mutes(settings.inhibit, settings.recurring_silences),
            storm_rules=settings.storm.rules,
            store=self._store,
            notify=self._wake,
            clock=self._clock.utc,
            monotonic=self._clock.monotonic,
        )

    def run(self) -> Iterator[Message]:
        """Yield each message at its time."""
        while (at := self._next_at()) <= self._until:
            self._clock.now = at
            arrivals = list(self._taken())
            if arrivals:
                self._pipeline.process(arrivals)
            self._pipeline.decide(_UPLINK)
            yield from self._deliver()

    def outcome(self) -> Outcome:
        """Return what became of all of it, once it has run."""
        backlog = self._store.backlog()
        return Outcome(
            self._pipeline.counters,
            self._store.accounts(closed=True),
            {name: waits.waiting for name, waits in backlog.items()},
            {name: worker.counters.dead for name, worker in self._workers.items() if worker.counters.dead},
        )

    def close(self) -> None:
        """Let the store go."""
        self._store.close()

    def _next_at(self) -> datetime:
        """Return when something happens next."""
        decision = self._store.next_decision_at()
        times = list(self._wakes.values())
        if decision is not None:
            times.append(max(decision + _MOMENT, self._clock.now + _TURN))
        if self._next is not None:
            times.append(self._next.received_at + _TURN)
        return max(self._clock.now, min(times, default=self._until + _TURN))

    def _taken(self) -> Iterator[Arrival]:
        """Yield what has come by now."""
        while self._next is not None and self._next.received_at <= self._clock.now:
            yield self._next
            self._next = next(self._arrivals, None)

    def _deliver(self) -> Iterator[Message]:
        for name in [name for name, at in self._wakes.items() if at <= self._clock.now]:
            while (wait := self._workers[name].step()) == 0:
                yield from self._told
                self._told.clear()
            if wait < IDLE_SECONDS or self._store.next_due_at(name) is not None:
                self._wakes[name] = self._clock.now + timedelta(seconds=wait) + _MOMENT
            else:
                del self._wakes[name]

    def _wake(self, names: Collection[str]) -> None:
        self._wakes.update(dict.fromkeys(names, self._clock.now))

    def _worker(self, receiver: Receiver, *, max_age: timedelta) -> Worker:
        note = _Noting(receiver, self._clock, self._told)
        return Worker(note, self._store, max_age=max_age, clock=self._clock.utc, monotonic=self._clock.monotonic)


class _Clock:
    """A time of day and a monotonic clock that stand still in between."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self._start = start

    def utc(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - self._start).total_seconds()


class _Noting:
    """A receiver that renders as the real one does and keeps to its limits, and notes what it would send."""

    is_local = False

    def __init__(self, receiver: Receiver, clock: _Clock, told: list[Message]) -> None:
        self._receiver = receiver
        self._clock = clock
        self._told = told
        self._notification: Notification | None = None

    @property
    def name(self) -> str:
        return self._receiver.name

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        return self._receiver.limits

    def render(self, notification: Notification) -> Rendering:
        self._notification = notification
        return self._receiver.render(notification)

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:
        note()
        if self._notification is not None:
            self._told.append(Message(self._clock.now, self.name, self._notification, rendering))
        return Receipt("noted")

    def close(self) -> None:
        self._receiver.close()


def _rules(rules: Rules, recorded: Sequence[Recorded]) -> Rules:
    """Return the rules of presence; where the recording has no statuses, silence says nothing."""
    spoke = {one.said.cluster for one in recorded}
    stated = {one.said.cluster for one in recorded if isinstance(one.said, StatusPayload)}
    return rules if spoke == stated else replace(rules, silent_after=_NEVER)


def _arrivals(recorded: Sequence[Recorded], root: str) -> Iterator[Arrival]:
    """Yield messages from the broker; what a recording lacks was not lost, so they are numbered anew."""
    last: dict[tuple[str, int], int] = {}
    for one in recorded:
        said = one.said
        if isinstance(said, EventPayload):
            boot = said.cluster, said.boot
            last[boot] = last.get(boot, 0) + 1
            said = said.model_copy(update={"seq": last[boot]})
        payload = said.model_dump_json(by_alias=True, exclude_none=True).encode()
        yield Arrival(Received(_topic(root, said), payload, 0, retained=one.is_retained), one.at, _UNCONNECTED)


def _topic(root: str, said: EventPayload | StatusPayload) -> str:
    if isinstance(said, StatusPayload):
        return topics.status_topic(root, said.cluster)
    return topics.event_topic(root, said.cluster, namespace=said.ns, kind=said.kind, reason=said.reason)
