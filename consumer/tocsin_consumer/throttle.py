"""A log that a storm cannot flood."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from tocsin_consumer.rate_limit import RateLimit, SlidingWindow

_LIMIT: Final = RateLimit(10, timedelta(minutes=1))


class ThrottledLog:
    """Logs errors up to a limit; the next that passes says how many were kept back before it."""

    def __init__(
        self, log: logging.Logger, limit: RateLimit = _LIMIT, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._window = SlidingWindow([limit])
        self._clock = clock
        self._kept_back = 0

    def error(self, message: str, *args: object) -> None:
        """Log `message % args`, unless there were too many of late."""
        now = self._clock()
        if self._window.wait_seconds(now) > 0:
            self._kept_back += 1
            return
        self._window.note(now)
        more = f" (and {self._kept_back} more before)" if self._kept_back else ""
        self._kept_back = 0
        self._log.error(f"{message}%s", *args, more)
