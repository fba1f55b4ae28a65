"""How many deliveries a service permits in a span of time. Pure: the time is an argument."""

from collections import deque
from collections.abc import Sequence

from tocsin_consumer.receivers.receiver import RateLimit


class SlidingWindow:
    """Holds several limits at once: in any span of `per`, at most `count` are noted if one waits as told.

    Times are seconds of one monotonic clock.
    """

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._windows = [(limit.per.total_seconds(), deque[float](maxlen=limit.count)) for limit in limits]

    def wait_seconds(self, now: float) -> float:
        """Return how long to wait before the next one; zero if it may go now."""
        return max((_wait(times, per, now) for per, times in self._windows), default=0.0)

    def note(self, now: float) -> None:
        """One goes now, whatever becomes of it: services count tries."""
        for _, times in self._windows:
            times.append(now)


def _wait(times: deque[float], per: float, now: float) -> float:
    if len(times) < (times.maxlen or 0):
        return 0.0
    return max(0.0, times[0] + per - now)
