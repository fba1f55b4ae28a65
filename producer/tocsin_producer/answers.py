"""Which answers a broker owes us, and when it is of no use to wait for one any longer (pure).

A broker acknowledges in the order in which messages came (MQTT 5, section 4.6). One that has answered a later one
will never answer the earlier one; then only a new connection makes it go again. A link that is slow delays all of
them, and is waited for as long as any answer comes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: For how long an answer is waited for: since its message was handed over if a later one was answered, else since
#: the last answer came.
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class _Owed:
    """An answer that is owed: for the message of which number, and since when."""

    number: int
    since: float


class Answers:
    """The answers that are owed on one connection."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._owed: dict[int, _Owed] = {}
        self._number = self._latest = 0
        self._answered_at = 0.0

    def begin(self) -> None:
        """On a new connection nothing is owed."""
        self._owed.clear()
        self._number = self._latest = 0
        self._answered_at = self._clock()

    def expect(self, mid: int) -> None:
        """The message `mid` was handed over."""
        self._number += 1
        self._owed[mid] = _Owed(self._number, self._clock())

    def note(self, mid: int) -> None:
        """`mid` was answered."""
        owed = self._owed.pop(mid, None)
        if owed is not None:
            self._latest = max(self._latest, owed.number)
            self._answered_at = self._clock()

    def left_seconds(self) -> float | None:
        """Return for how long it is of use to wait, 0 if it is not any more, None if no answer is owed."""
        oldest = next(iter(self._owed.values()), None)  # the one that is missed first
        if oldest is None:
            return None
        is_passed_over = oldest.number < self._latest
        since = oldest.since if is_passed_over else max(oldest.since, self._answered_at)
        return max(0.0, since + PATIENCE_SECONDS - self._clock())
