"""How much may go over a metered link in a day, and what goes as the end of that nears.

First everything goes. When little is left, only what is urgent does: the first of an Event, and conditions of
nodes. When nothing is left, only the status does, which says how much is held. What is held waits in the outbox.
"""

import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from tocsin_producer.database import Database

_DAY_SECONDS: Final = 86_400
#: With this part of the budget spent, only what is urgent goes.
NEAR: Final = 0.8
#: So many bytes may be spent before they are written down; a kill forgets them.
_UNWRITTEN: Final = 16 * 1024


class Allowance(Enum):
    """What may go."""

    ALL = "all"
    URGENT = "urgent"
    NOTHING = "nothing"


class Budget:
    """Counts traffic against a daily bound.

    Args:
        database: keeps what was spent; without a state file a new start begins anew.
        bytes_per_day: the bound, in bytes of IP packets both ways; None for none.
        reset_seconds: when a new day begins, in seconds after midnight UTC.
        now: UTC epoch seconds.
    """

    def __init__(
        self,
        database: Database | None,
        *,
        bytes_per_day: int | None,
        reset_seconds: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._bytes_per_day = bytes_per_day
        self._reset_seconds = reset_seconds
        self._now = now
        self._unwritten = self._day = self._spent = 0
        if database is not None and bytes_per_day is not None:
            self._day, self._spent = database.number("budget_day"), database.number("budget_spent")

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound."""
        return self._bytes_per_day is not None

    @property
    def spent(self) -> int:
        """How many bytes of today's budget are spent; 0 where there is none."""
        return self._spent if self._day == self._today() else 0

    def _today(self) -> int:
        return int(self._now() - self._reset_seconds) // _DAY_SECONDS

    def spend(self, size: int) -> None:
        """Count `size` bytes that went over the link.

        Raises:
            sqlite3.Error: they cannot be written down; they are counted.
        """
        if self._bytes_per_day is None or not size:
            return
        today = self._today()
        if today != self._day:
            self._day, self._spent, self._unwritten = today, 0, _UNWRITTEN
        self._spent += size
        self._unwritten += size
        if self._unwritten >= _UNWRITTEN:
            self._write()

    def _write(self) -> None:
        if self._database is not None:
            with self._database.transaction():
                self._database.keep_number("budget_day", self._day)
                self._database.keep_number("budget_spent", self._spent)
        self._unwritten = 0

    def allowance(self) -> Allowance:
        """Tell what may go now."""
        if self._bytes_per_day is None:
            return Allowance.ALL
        spent = self.spent
        if spent >= self._bytes_per_day:
            return Allowance.NOTHING
        return Allowance.URGENT if spent >= NEAR * self._bytes_per_day else Allowance.ALL


UNLIMITED: Final = Budget(None, bytes_per_day=None)
