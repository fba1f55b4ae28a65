"""What the tests of the session share: a handler that records, and a session that runs in a thread."""

import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tocsin_schemas.session import Broker, Connection, Received, Session

#: Longer than any test waits and shorter than any thread may hang.
PATIENCE = 20.0


def unique(prefix: str = "test") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def broker_at(port: int, **changes: Any) -> Broker:
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "client_id": unique(),
        "tls": False,
        "connect_timeout_seconds": 10.0,
    }
    return Broker(port=port, **(given | changes))


def soon(_failures: int) -> float:
    """Back off for no time worth waiting for."""
    return 0.01


@dataclass
class Recorder:
    """A handler that subscribes to `filters`, publishes what is put into `outbox` and remembers everything."""

    filters: tuple[str, ...] = ()
    acknowledges: bool = True
    outbox: deque[tuple[str, bytes, bool]] = field(default_factory=deque)
    connections: list[Connection] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)
    messages: list[tuple[Connection, Received]] = field(default_factory=list)
    acknowledged: list[tuple[int, str | None]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    in_flight: set[int] = field(default_factory=set)
    last_words: tuple[str, bytes] | None = None
    turns: int = 0

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:
        if self.filters:
            connection.subscribe(*self.filters)
        self.present.append(session_present)
        self.connections.append(connection)

    def on_disconnected(self, reason: str) -> None:
        self.in_flight.clear()
        self.lost.append(reason)

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        assert connection is self.connections[-1]
        self.in_flight.discard(mid)
        self.acknowledged.append((mid, refusal))

    def on_message(self, connection: Connection, message: Received) -> None:
        self.messages.append((connection, message))
        if self.acknowledges:
            connection.acknowledge(message)

    def on_turn(self, connection: Connection) -> float | None:
        self.turns += 1
        while self.outbox:
            topic, payload, retain = self.outbox.popleft()
            self.in_flight.add(connection.publish(topic, payload, retain=retain))
        return None

    def on_stopping(self, connection: Connection) -> None:
        if self.last_words is not None:
            self.in_flight.add(connection.publish(*self.last_words, retain=True))

    def is_idle(self) -> bool:
        return not self.outbox and not self.in_flight

    def payloads(self) -> list[bytes]:
        return [message.payload for _, message in self.messages]


class Run:
    """A session in a thread of its own."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._stop = threading.Event()
        self._thread = threading.Thread(target=session.run, args=(self._stop,), name="session", daemon=True)

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set()

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, within_seconds: float = PATIENCE) -> None:
        self._stop.set()
        self.session.wake()
        self._thread.join(within_seconds)
        assert not self._thread.is_alive(), f"the session did not stop within {within_seconds} s"


@contextmanager
def running(broker: Broker, handler: Any, **options: Any) -> Iterator[Run]:
    """Run a session with `handler` from enter to exit."""
    run = Run(Session(broker, handler, **({"backoff": soon} | options)))
    run.start()
    try:
        yield run
    finally:
        run.stop()
