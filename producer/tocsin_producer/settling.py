"""What the broker has acknowledged and may not have written down yet (pure).

It may be killed between the two: Mosquitto, as we configure it, writes every second or two. So a message is
settled, and gone for good, a while after its acknowledgement; if the connection ends before that, it goes again.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from tocsin_producer.message import Receipt

#: What was acknowledged for no longer than this goes again after a break.
SETTLE_SECONDS: Final = 4.0
#: So often at most it is taken out of the outbox: many at a time cost less.
SETTLE_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Taken:
    """A message that the broker has acknowledged, its number, and when."""

    receipt: Receipt
    seq: int
    at: float


class Settling:
    """The messages of one connection that are acknowledged and not settled, in the order of acknowledgement."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: deque[_Taken] = deque()

    def __len__(self) -> int:
        return len(self._taken)

    def add(self, receipt: Receipt, seq: int) -> None:
        """The broker has acknowledged the message of number `seq`."""
        self._taken.append(_Taken(receipt, seq, self._clock()))

    def left_seconds(self) -> float | None:
        """Return in how many seconds the oldest is to be settled, and what came soon after it; None if none is."""
        if not self._taken:
            return None
        return max(0.0, self._taken[0].at + SETTLE_SECONDS + SETTLE_PAUSE_SECONDS - self._clock())

    def due(self, *, after_seconds: float = SETTLE_SECONDS) -> list[Receipt]:
        """Return what was acknowledged for so long."""
        until = self._clock() - after_seconds
        return [taken.receipt for taken in takewhile(lambda taken: taken.at <= until, self._taken)]

    def note_settled(self, count: int) -> None:
        """The oldest `count` are settled."""
        for _ in range(count):
            self._taken.popleft()

    def give_back(self) -> list[int]:
        """The connection is gone: return the numbers of what has to go again."""
        numbers = [taken.seq for taken in self._taken]
        self._taken.clear()
        return numbers
