"""Messages that may be what the broker hangs up on (pure).

A broker that gets a packet larger than it takes closes the connection, with MQTT 3.1.1 without a word, and would
do so again at each try: one such message must not keep all others back. But most connections end for other
reasons, and no message may be given up for those. So a message is suspected only after the connection has ended
several times while it was the oldest under way (brokers acknowledge in order). From then on it goes last and
alone, ever more rarely, and is given up when the connection has ended on it each time.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

#: Pauses before a suspected message is tried again, in seconds; after the last of these tries it is given up.
PAUSES_SECONDS: Final = (0.0, 10.0, 60.0, 300.0, 900.0, 1800.0)
#: So many breaks in a row on one message, with none taken in between, make it suspect: if it is larger than all
#: that was taken, and if it is not.
LARGE_STREAK: Final = 2
STREAK: Final = 5


@dataclass(slots=True)
class _Suspicion:
    tries: int
    due_at: float


class Suspects:
    """Which Events' messages are held back, and until when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._largest_taken = 0
        self._streak: tuple[str, int] = ("", 0)
        self._suspicions: dict[str, _Suspicion] = {}

    def note_taken(self, uid: str, size: int) -> None:
        """The broker has taken a message of `size` bytes."""
        self._largest_taken = max(self._largest_taken, size)
        self._streak = ("", 0)
        self.forget(uid)

    def forget(self, uid: str) -> None:
        """There is nothing more to suspect."""
        self._suspicions.pop(uid, None)

    def note_break(self, uid: str, size: int, *, alone: bool) -> bool:
        """The connection has ended on this message; return whether it is to be given up."""
        self._streak = (uid, self._streak[1] + 1 if self._streak[0] == uid else 1)
        known = self._suspicions.get(uid)
        if known is not None:
            return alone and self._count_try(uid, known)
        if self._streak[1] >= (LARGE_STREAK if size > self._largest_taken else STREAK):
            self._suspicions[uid] = _Suspicion(0, self._clock())
        return False

    def _count_try(self, uid: str, suspicion: _Suspicion) -> bool:
        suspicion.tries += 1
        if suspicion.tries >= len(PAUSES_SECONDS):
            del self._suspicions[uid]
            return True
        suspicion.due_at = self._clock() + PAUSES_SECONDS[suspicion.tries]
        return False

    @property
    def uids(self) -> Collection[str]:
        """The Events whose messages are held back."""
        return self._suspicions.keys()

    def due(self) -> str | None:
        """Return an Event whose message may be tried now, if there is one."""
        now = self._clock()
        return next((uid for uid, suspicion in self._suspicions.items() if suspicion.due_at <= now), None)

    def due_seconds(self) -> float | None:
        """Return in how many seconds there will be one, None if nothing is suspected."""
        due_at = min((suspicion.due_at for suspicion in self._suspicions.values()), default=None)
        return None if due_at is None else max(0.0, due_at - self._clock())
