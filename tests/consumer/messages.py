"""Events and messages to test the consumer with."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from tocsin_consumer.errors import PermanentError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.notification import Notification
from tocsin_consumer.presence import Rules
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receivers.receiver import Note, Receipt, Rendering, unnoted
from tocsin_consumer.storm import StormRules
from tocsin_schemas import topics
from tocsin_schemas.event import EventPayload
from tocsin_schemas.session import Connection, Received

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
RULES = Rules(
    offline_after=timedelta(minutes=5), steady_after=timedelta(minutes=1), silent_after=timedelta(minutes=150)
)
NO_STORMS = StormRules(cluster=None, fleet=None, calm_after=timedelta(minutes=10))
ROOT = topics.DEFAULT_ROOT


def event(**fields: Any) -> EventPayload:
    """Return a BackOff of a Pod, but for `fields`."""
    values = {
        "v": 1,
        "cluster": "edge-1",
        "type": "Warning",
        "reason": "BackOff",
        "kind": "Pod",
        "ns": "production",
        "name": "api-0",
        "msg": "Back-off restarting failed container",
        "count": 1,
        "first": 1_795_420_000,
        "last": 1_795_420_000,
        "uid": "uid-1",
        "boot": 1,
        "seq": 1,
    }
    given = {key: value for key, value in (values | fields).items() if value is not None}
    return EventPayload.model_validate(given)


def payload(said: EventPayload) -> bytes:
    return said.model_dump_json(by_alias=True, exclude_none=True).encode()


def topic(said: EventPayload) -> str:
    return topics.event_topic(ROOT, said.cluster, namespace=said.ns, kind=said.kind, reason=said.reason)


class FakeConnection:
    """Notes what a session's connection would send."""

    def __init__(self) -> None:
        self.acknowledged: list[Received] = []
        self.subscribed: list[str] = []

    def acknowledge(self, *messages: Received) -> None:
        self.acknowledged += messages

    def subscribe(self, *topic_filters: str) -> None:
        self.subscribed += topic_filters

    @property
    def real(self) -> Connection:
        return cast("Connection", self)


def received(said: EventPayload | bytes, *, at: str | None = None, mid: int = 1) -> Received:
    if isinstance(said, bytes):
        return Received(at or f"{ROOT}/edge-1/event/production/Pod/BackOff", said, mid, retained=False)
    return Received(at or topic(said), payload(said), mid, retained=False)


def arrival(said: EventPayload | bytes, *, at: str | None = None, received_at: datetime = NOW) -> Arrival:
    return Arrival(received(said, at=at), received_at, FakeConnection().real)


def status(
    state: str = "online", *, retained: bool = False, received_at: datetime = NOW, **fields: Any
) -> Arrival:
    """Return a status of edge-1, but for `fields`, as it came."""
    said = {"v": 1, "cluster": "edge-1", "state": state, "boot": 1, "since": 1, "version": "0.1.0"} | fields
    message = Received(f"{ROOT}/{said['cluster']}/status", json.dumps(said).encode(), 1, retained=retained)
    return Arrival(message, received_at, FakeConnection().real)


def forgotten(cluster: str = "edge-1") -> Arrival:
    """Return what clears the retained status of `cluster`."""
    return arrival(b"", at=f"{ROOT}/{cluster}/status")


class FakeClock:
    """A time of day and a monotonic clock that only move when told to."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 1000.0

    def utc(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


class FakeReceiver:
    """Delivers to a list what its `answer` does not object to."""

    def __init__(
        self, name: str = "ops", *, limits: tuple[RateLimit, ...] = (), clock: FakeClock | None = None
    ) -> None:
        self.name = name
        self.limits = limits
        self.delivered: list[str] = []
        self.tries: list[str] = []
        self.tried_at: list[float] = []
        self.objection: Callable[[str], Exception | None] = lambda _: None
        self.render_error: Exception | None = None
        self.closed = False
        self.is_local = True
        #: How many requests a delivery takes, and what is said about the last.
        self.requests = 1
        self.shortfall: str | None = None
        self._clock = clock or FakeClock()

    def render(self, notification: Notification) -> Rendering:
        if self.render_error is not None:
            raise self.render_error
        return Rendering(f"{notification.event.uid}/{notification.event.count}", "text/plain")

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:
        for _ in range(self.requests):
            note()
        self.tries.append(rendering.content)
        self.tried_at.append(self._clock.monotonic())
        error = self.objection(rendering.content)
        if error is not None:
            raise error
        self.delivered.append(rendering.content)
        return Receipt("taken", self.shortfall)

    def close(self) -> None:
        self.closed = True


def never(_: str) -> Exception:
    """Object to everything for good."""
    return PermanentError("no such group")
