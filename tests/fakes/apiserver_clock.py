"""The time of the stand-in API server, which a test may move on."""

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Real time plus what a test has skipped, and the one place where the stand-in's threads wait.

    `changed` is the lock of everything that the threads share; whoever changes something notifies it.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._skipped_seconds = 0.0

    def now(self) -> float:
        """Seconds that never go backwards, as `time.monotonic` plus the skipped ones."""
        return time.monotonic() + self._skipped_seconds

    def utc_now(self) -> datetime:
        """The wall clock, moved on by the skipped seconds."""
        return datetime.now(UTC) + timedelta(seconds=self._skipped_seconds)

    def advance(self, seconds: float) -> None:
        """Skip `seconds`: what waits for a time in between goes on at once."""
        with self.changed:
            self._skipped_seconds += seconds
            self.changed.notify_all()

    def notify(self) -> None:
        """Make everyone who waits look again."""
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, holds: Callable[[], bool], *, until: float = math.inf) -> bool:
        """Wait until `holds()` or the clock shows `until`, and tell which: True if it holds."""
        with self.changed:
            while not holds():
                remaining = until - self.now()
                if remaining <= 0:
                    return False
                self.changed.wait(None if math.isinf(remaining) else remaining)
            return True
