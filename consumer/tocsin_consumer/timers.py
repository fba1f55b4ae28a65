"""Which of many waits are over; the time is an argument, in seconds of a clock that never jumps."""

import heapq
import logging
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


class Timers:
    """One wait per key; setting it anew replaces it. The work is that of a heap, whatever the number of keys."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        #: Of a key's entries in the heap one counts, which stands at its time or before it; others are left over.
        self._counts: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, key: str, at: float) -> None:
        """Let the wait of `key` be over at `at`."""
        self._due[key] = at
        if key not in self._counts or at < self._counts[key]:
            self._push(key, at)

    def cancel(self, key: str) -> None:
        """Let `key` wait for nothing."""
        self._due.pop(key, None)

    def over(self, now: float, *, limit: int) -> list[str]:
        """Return up to `limit` keys whose wait is over; they are told again until they are set or cancelled."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            at, key = heapq.heappop(self._heap)
            if self._counts.get(key) != at:
                continue
            del self._counts[key]
            due = self._due.get(key)
            if due is not None and due <= now:
                found.append(key)
            elif due is not None:
                self._push(key, due)
        for key in found:
            self._push(key, self._due[key])
        return found

    def _push(self, key: str, at: float) -> None:
        self._counts[key] = at
        heapq.heappush(self._heap, (at, key))


@contextmanager
def alone_with_its_failure(what: str, timers: Timers, key: str) -> Iterator[None]:
    """Let what fails with one `key` hold up no other: it is told once, and waited for no longer."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever is wrong with one is its own failure
        _log.exception("%s: what is due cannot be decided", what)
        timers.cancel(key)
