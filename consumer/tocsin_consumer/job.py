"""A thread with one job, from its start to its bounded end."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

_log = logging.getLogger(__name__)


class Job:
    """A thread with one job, and the event that ends it.

    Args:
        name: of the thread.
        run: the job; it is given the event.
        wake: lets it look at the event now.
        close: lets go what the job has taken before it begins, whether it began or not.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[threading.Event], None],
        wake: Callable[[], None] = lambda: None,
        *,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.close = close
        self._stop = threading.Event()
        self._wake = wake
        self._thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Tell whether it has begun and not ended."""
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """Let it end soon."""
        self._stop.set()
        self._wake()

    def join(self, timeout: float) -> bool:
        """Wait for the end, and tell whether it came."""
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()


def end(jobs: Sequence[Job], seconds: float) -> bool:
    """Stop `jobs` together, and tell whether all of them ended in time."""
    for job in jobs:
        job.ask_to_stop()
    deadline = time.monotonic() + seconds
    late = [job.name for job in jobs if not job.join(deadline - time.monotonic())]
    if late:
        _log.error("cut short, did not end within %g s: %s", seconds, ", ".join(late))
    return not late
