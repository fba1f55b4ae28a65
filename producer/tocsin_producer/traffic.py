"""What the link takes of a metered line, as the kernel counts it: bytes of IP packets, both ways."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tocsin_producer.budget import Budget
from tocsin_schemas.session import Connection

#: So often at most the kernel is asked what a connection has taken, unless a budget has to be kept.
TRAFFIC_PAUSE_SECONDS: Final = 0.5


class Traffic:
    """Counts the traffic of each connection against a budget, where the kernel counts it (Linux does)."""

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        #: What this connection has taken so far.
        self._of_connection = 0
        self._due_at = 0.0

    def begin_connection(self) -> None:
        """A new connection has taken nothing yet."""
        self._of_connection = 0

    def count(self, connection: Connection) -> int:
        """Return what `connection` has taken since it was asked; no bad disk keeps that from being counted."""
        if self._clock() < self._due_at and not self._budget.is_bounded:
            return 0
        self._due_at = self._clock() + TRAFFIC_PAUSE_SECONDS
        before = self._of_connection
        # One that has just broken off tells nothing any more.
        self._of_connection = max(before, connection.traffic())
        with suppress(sqlite3.Error):  # the database has said it
            self._budget.spend(self._of_connection - before)
        return self._of_connection - before
