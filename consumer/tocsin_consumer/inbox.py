"""The bounded hand-over between the session's thread, which must never wait, and the thread that stores."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tocsin_schemas.session import Connection, Received

#: As many messages as a broker may have sent without an acknowledgement (MQTT 5): a batch that is being stored and
#: one that gathers. Not every broker keeps to it: Mosquitto 2.0.11 sends all that it has queued when a session
#: resumes.
MESSAGE_LIMIT: Final = 500
BYTE_LIMIT: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message, when it came, and over which connection: only that one may acknowledge it, if any has to."""

    message: Received
    received_at: datetime
    connection: Connection | None


class Inbox:
    """Arrivals in the order in which they came.

    At its limits, in messages or in bytes, whoever reads from the broker should leave off a while, and TCP
    makes the broker wait. What comes nevertheless is taken up to twice the limits.
    """

    def __init__(self, *, messages: int = MESSAGE_LIMIT, size: int = BYTE_LIMIT) -> None:
        self._messages = messages
        self._size = size
        self._bytes = 0
        self._arrivals: deque[Arrival] = deque()
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)

    def __len__(self) -> int:
        return len(self._arrivals)

    def put(self, arrival: Arrival) -> bool:
        """Take `arrival` in, or return False if there is no room at all; never wait."""
        with self._lock:
            if self._is_full(2):
                return False
            self._arrivals.append(arrival)
            self._bytes += len(arrival.message.payload)
            self._filled.notify()
            return True

    def wait_for_room(self, timeout: float) -> None:
        """Wait until there is less than the limits, at most `timeout` seconds."""
        with self._lock:
            self._emptied.wait_for(lambda: not self._is_full(1), timeout)

    def take(self, limit: int, *, timeout: float) -> list[Arrival]:
        """Take out up to `limit` arrivals; wait up to `timeout` seconds for the first."""
        with self._lock:
            if not self._arrivals:
                self._filled.wait(timeout)
            taken = [self._arrivals.popleft() for _ in range(min(limit, len(self._arrivals)))]
            self._bytes -= sum(len(arrival.message.payload) for arrival in taken)
            self._emptied.notify()
            return taken

    def wake(self) -> None:
        """Let `take` return without waiting any longer."""
        with self._lock:
            self._filled.notify()

    def _is_full(self, times: int) -> bool:
        return len(self._arrivals) >= times * self._messages or self._bytes >= times * self._size
