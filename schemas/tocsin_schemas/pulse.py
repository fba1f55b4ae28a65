"""Whether a thread makes progress: before it waits, it says when it will be heard of again at the latest."""

import time
from collections.abc import Callable


class Pulse:
    """Felt by one thread, looked at by others; at rest, before and after its work, it is never late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_at: float | None = None

    def expect(self, seconds: float) -> None:
        """Begin what takes `seconds` at most."""
        self._due_at = self._clock() + seconds

    def rest(self) -> None:
        """Have nothing more to do."""
        self._due_at = None

    @property
    def late_seconds(self) -> float:
        """For how long it should have been heard of."""
        due_at = self._due_at
        return 0.0 if due_at is None else max(0.0, self._clock() - due_at)
