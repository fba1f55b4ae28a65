"""What the producer tells of itself, retained on its own topic, and when it is time to tell it again."""

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tocsin_producer.budget import UNLIMITED, Allowance, Budget
from tocsin_producer.outbox import Outbox
from tocsin_producer.payload import status_payload
from tocsin_schemas import __version__

#: Losses are told at most this often: in a storm each is followed by another.
LOSS_PAUSE_SECONDS: Final = 60.0
#: One that was overwritten is told again after so long at the earliest: somebody may do it again and again.
OVERWRITTEN_PAUSE_SECONDS: Final = 10.0
#: Whoever has heard nothing of us for longer than this may doubt that we are there: a broker that was restored
#: from a backup, or lost a will, goes on saying online; only its repetition is a sign of life. 10 kB a day.
RETELL_SECONDS: Final = 3600.0
#: Sites that were connected at one moment shall not all speak at one moment.
_JITTER: Final = (0.8, 1.0)


class OwnStatus:
    """The status of this producer.

    Args:
        cluster: whose it is.
        boot: what this boot is told as.
        outbox: what of it is told is how much waits and how much was lost.
        budget: how much of what waits may not go today is told as well.
    """

    def __init__(
        self,
        cluster: str,
        boot: int,
        outbox: Outbox,
        *,
        budget: Budget = UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._cluster = cluster
        self._outbox = outbox
        self._budget = budget
        self._clock = clock
        self._uniform = uniform
        self._since = int(now())
        self._told_lost = 0
        self._told_held = False
        self._held = 0
        self._told_version: str | None = None
        self._told_at = -LOSS_PAUSE_SECONDS
        self._retell_at = clock() + RETELL_SECONDS
        self.boot = boot
        self.kubernetes_version: str | None = None

    @property
    def held(self) -> int:
        """How many events wait because no more may go today, as far as the state can be read."""
        allowance = self._budget.allowance()
        if allowance is Allowance.URGENT:
            with suppress(sqlite3.Error):  # the database has said it
                self._held = self._outbox.waiting_not_urgent()
        else:
            self._held = self._outbox.waiting if allowance is Allowance.NOTHING else 0
        return self._held

    def payload(self, state: str) -> bytes:
        """Return what is published when we are `state`."""
        return status_payload(
            self._cluster,
            state,
            boot=self.boot,
            since=self._since,
            version=__version__,
            k8s=self.kubernetes_version,
            waiting=self._outbox.waiting,
            lost=self._outbox.lost,
            held=self.held or None,
        )

    def note_told(self) -> None:
        """It has been published as it is now."""
        self._told_lost, self._told_version = self._outbox.lost, self.kubernetes_version
        self._told_held = self.held > 0
        self._told_at = self._clock()
        self._retell_at = self._told_at + RETELL_SECONDS * self._uniform(*_JITTER)

    def note_overwritten(self) -> None:
        """What is retained now is not what we have told."""
        self._retell_at = min(self._retell_at, self._told_at + OVERWRITTEN_PAUSE_SECONDS)

    def due_seconds(self) -> float:
        """Return in how many seconds it has to be told again."""
        if self.kubernetes_version != self._told_version or (self.held > 0) != self._told_held:
            return 0.0
        due_at = self._retell_at
        if self._outbox.lost > self._told_lost:
            due_at = min(due_at, self._told_at + LOSS_PAUSE_SECONDS)
        return max(0.0, due_at - self._clock())
