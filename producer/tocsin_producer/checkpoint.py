"""Which event states have been taken, so that neither a new list nor a restart takes them again.

It mirrors what the API server still holds: an Event that a complete list does not name any more, or whose
deletion the watch reports, is forgotten.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tocsin_producer.database import Database

#: Beyond this many Events the oldest are forgotten; a list may then tell them again, and consumers drop that.
LIMIT: Final = 20_000
_SLACK: Final = 256


@dataclass(frozen=True, slots=True)
class Seen:
    """What was taken of an Event: its highest `count`, and which was last told, and when (UTC epoch seconds)."""

    count: int = 0
    told: int = 0
    told_at: float = 0.0


NOTHING: Final = Seen()


class Checkpoint:
    """The highest count that was taken of each Event. Used within the transaction that also fills the outbox.

    Args:
        watches: what is watched now. Once each of these has been listed, nothing can ask any more for what only
            watches of an earlier configuration knew, and it is forgotten.
    """

    def __init__(self, database: Database, *, watches: Collection[str] = (), limit: int = LIMIT) -> None:
        self._database = database
        self._watches = list(watches)
        self._unlisted = set(watches)
        self._limit = limit
        self._events = self._generation = 0
        database.on_rollback(self._recount)

    def _recount(self) -> None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT COUNT(*), COALESCE(MAX(generation), 0) FROM seen").fetchone()
        self._events = row[0]
        self._generation = max(self._generation, row[1])

    def seen(self, uid: str) -> Seen:
        """Return what was taken of an Event."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT count, told, told_at FROM seen WHERE uid = ?", (uid,)).fetchone()
            return Seen(*row) if row else NOTHING

    def remember(self, uid: str, seen: Seen, watch: str, *, is_new: bool) -> None:
        """Keep what was taken of an Event, or that `watch` still knows it; `is_new` if nothing was before."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)",
                (uid, seen.count, seen.told, seen.told_at, watch, self._generation),
            )
            self._events += is_new
            if self._events > self._limit:
                self._forget_oldest()

    def note_told(self, uid: str, at: float) -> None:
        """What was taken last of an Event is told now."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE seen SET told = count, told_at = ? WHERE uid = ?", (at, uid))

    def _forget_oldest(self) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM seen WHERE uid IN (SELECT uid FROM seen ORDER BY generation LIMIT ?)",
                (_SLACK,),
            )
            self._events -= connection.execute("SELECT changes()").fetchone()[0]

    def forget(self, uid: str) -> None:
        """The API server has deleted an Event."""
        with self._database.transaction() as connection:
            self._events -= connection.execute("DELETE FROM seen WHERE uid = ?", (uid,)).rowcount

    def begin_list(self) -> int:
        """Return the generation of all that is remembered from now on."""
        with self._database.transaction():
            self._generation += 1
            return self._generation

    def end_list(self, watch: str, generation: int) -> None:
        """Forget what `watch` knew before the list of `generation` and did not find in it."""
        with self._database.transaction() as connection:
            self._events -= connection.execute(
                "DELETE FROM seen WHERE watch = ? AND generation < ?",
                (watch, generation),
            ).rowcount
            if self._is_last_to_be_listed(watch):
                self._events -= connection.execute(
                    "DELETE FROM seen WHERE watch NOT IN (SELECT value FROM json_each(?))",
                    (json.dumps(self._watches),),
                ).rowcount

    def _is_last_to_be_listed(self, watch: str) -> bool:
        is_last = self._unlisted == {watch}
        self._unlisted.discard(watch)
        return is_last
