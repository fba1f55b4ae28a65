"""How many requests a service permits in a span of time. Pure: the time is an argument."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `count` requests in any span of `per`."""

    count: int
    per: timedelta


class SlidingWindow:
    """Holds several limits at once: in any span of `per`, at most `count` are noted if one waits as told.

    Times are seconds of one monotonic clock.
    """

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._windows = [(limit.per.total_seconds(), deque[float](maxlen=limit.count)) for limit in limits]

    def wait_seconds(self, now: float, *, room: int = 1) -> float:
        """Return how long to wait until `room` may go one after the other; zero if they may go now.

        Where a limit is lower than that, they need all that it permits.
        """
        return max((_wait(times, per, now, room=room) for per, times in self._windows), default=0.0)

    def note(self, now: float) -> None:
        """One goes now, whatever becomes of it: services count tries."""
        for _, times in self._windows:
            times.append(now)

    def is_empty(self, now: float) -> bool:
        """Tell whether nothing was noted of late."""
        return all(not times or times[-1] + per <= now for per, times in self._windows)


def _wait(times: deque[float], per: float, now: float, *, room: int) -> float:
    count = times.maxlen or 0
    too_many = len(times) + min(room, count) - count
    return max(0.0, times[too_many - 1] + per - now) if too_many > 0 else 0.0
