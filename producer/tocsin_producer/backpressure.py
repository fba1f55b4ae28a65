"""Holds a list back while the link empties the outbox (pure).

A list tells what the API server still has: to read on when there is no room would give up what could wait there.
An outbox that nobody empties is no reason to wait: then the newest states matter most, and those come last. Nor is
one into which as much comes as leaves: a list that waits for it tells nothing of what happens meanwhile.
"""

import time
from collections.abc import Callable
from typing import Final

#: Above this part of its bounds the outbox counts as full: what a watch tells meanwhile needs room as well.
FULL: Final = 0.5
PAUSE_SECONDS: Final = 0.2
#: A link that gets nothing through for this long is not making progress.
PATIENCE_SECONDS: Final = 30.0
_PATIENCE: Final = round(PATIENCE_SECONDS / PAUSE_SECONDS)
#: For so long it is waited for room in all, however well the link does.
LIMIT_SECONDS: Final = 600.0
_LIMIT: Final = round(LIMIT_SECONDS / PAUSE_SECONDS)


class Backpressure:
    """Waits for room, as long as that makes sense.

    Args:
        fullness: how full the outbox is, as a part of its bounds.
        progress: a number that changes when the link gets something through.
    """

    def __init__(
        self,
        fullness: Callable[[], float],
        progress: Callable[[], int],
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fullness = fullness
        self._progress = progress
        self._sleep = sleep
        self._seen = 0
        self._pauses = 0
        #: All pauses since there was room.
        self._total = 0

    def hold_back(self) -> bool:
        """Wait a moment if there is no room and the link makes progress, and say so: then call this again.

        After `PATIENCE_SECONDS` without progress there is no wait any more, until there is progress; after
        `LIMIT_SECONDS` in all there is none, until there was room.
        """
        if self._fullness() <= FULL:
            self._total = 0
            return False
        if self._is_out_of_patience():
            return False
        self._pauses += 1
        self._total += 1
        self._sleep(PAUSE_SECONDS)
        return True

    def _is_out_of_patience(self) -> bool:
        progress = self._progress()
        if progress != self._seen:
            self._seen, self._pauses = progress, 0
        return self._pauses >= _PATIENCE or self._total >= _LIMIT
