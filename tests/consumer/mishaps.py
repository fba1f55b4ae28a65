"""A store whose transactions fail, and whose process is killed, on demand."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

from tests.consumer.ledger import Log
from tocsin_consumer import incident_rows
from tocsin_consumer.errors import StoreError
from tocsin_consumer.incident import Incident
from tocsin_consumer.records import IncidentChanges, Outcome
from tocsin_consumer.store import Store


class Killed(Exception):  # noqa: N818 - what happens, not an error of ours
    """The process is gone."""


#: A transaction that writes: of what was heard and decided, or of what was delivered.
Writing = Literal["record", "settle"]


class Mishap(Enum):
    """What becomes of the next transaction of a kind."""

    #: It is rolled back, and whoever asked is told.
    FAILS = "fails"
    #: It is done, and whoever asked is told that it failed.
    FAILS_LATE = "fails late"
    #: The process is killed before it, or after it.
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"


class FragileStore(Store):
    """A store to which mishaps happen, and that notes what it has kept."""

    def __init__(self, log: Log) -> None:
        super().__init__("sqlite://")
        self.mishaps: dict[Writing, Mishap] = {}
        self._log = log

    def incidents(self) -> list[Incident]:
        """Return all that there were."""
        with self._database.transaction() as connection:
            return incident_rows.find(connection, range(1, incident_rows.next_id(connection)))

    def incidents_in(self, storm: str) -> tuple[Incident, ...]:
        """Return those that a digest is about."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT incident FROM enrolled WHERE storm = ?", (storm,)).fetchall()
            return tuple(incident_rows.find(connection, [id_ for (id_,) in rows]))

    def record(self, *args: Any, incidents: IncidentChanges | None = None, **kwargs: Any) -> None:
        mishap = self._before("record")
        super().record(*args, incidents=incidents, **kwargs)
        self._log.commit(incidents or IncidentChanges(), kwargs["now"])
        self._after(mishap)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        mishap = self._before("settle")
        super().settle(outcomes)
        self._after(mishap)

    def _before(self, writing: Writing) -> Mishap | None:
        mishap = self.mishaps.pop(writing, None)
        if mishap is Mishap.FAILS:
            raise StoreError("disk I/O error")
        if mishap is Mishap.KILLED_BEFORE:
            raise Killed
        return mishap

    def _after(self, mishap: Mishap | None) -> None:
        if mishap is Mishap.FAILS_LATE:
            raise StoreError("disk I/O error")
        if mishap is Mishap.KILLED_AFTER:
            raise Killed
