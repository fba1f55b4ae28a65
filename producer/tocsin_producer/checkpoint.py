"""Which event states have been taken, so that neither a new list nor a restart takes them again.

It mirrors what the API server still holds: an Event that a complete list does not name any more, or whose
deletion the watch reports, is forgotten.
"""

import json
from binascii import crc32
from collections.abc import Collection
from contextlib import suppress
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
    told_at: int = 0


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
            row = connection.execute(
                "SELECT count, told, told_at FROM seen WHERE uid = ?", (_key(uid),)
            ).fetchone()
            return Seen(*row) if row else NOTHING

    def remember(self, uid: str, seen: Seen, watch: str, *, is_new: bool) -> None:
        """Keep what was taken of an Event, or that `watch` still knows it; `is_new` if nothing was before."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)",
                (_key(uid), seen.count, seen.told, seen.told_at, _short(watch), self._generation),
            )
            self._events += is_new
            if self._events > self._limit:
                self._forget_oldest()

    def note_told(self, uid: str, at: int) -> None:
        """What was taken last of an Event is told now."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE seen SET told = count, told_at = ? WHERE uid = ?", (at, _key(uid)))

    def note_lost(self, uid: str) -> None:
        """What was told last of an Event was lost on the way: whatever comes next of it tells something new."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE seen SET told = 0 WHERE uid = ?", (_key(uid),))

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
            self._events -= connection.execute("DELETE FROM seen WHERE uid = ?", (_key(uid),)).rowcount

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
                (_short(watch), generation),
            ).rowcount
            if self._watches and self._unlisted <= {watch}:  # later as well: this may come to nothing
                self._events -= connection.execute(
                    "DELETE FROM seen WHERE watch NOT IN (SELECT value FROM json_each(?))",
                    (json.dumps([*map(_short, self._watches)]),),
                ).rowcount
        self._unlisted.discard(watch)


def _short(watch: str) -> int:
    """Return what stands for a watch in each of thousands of rows, where its name would be a third of the row."""
    return crc32(watch.encode())


def _key(uid: str) -> str | bytes:
    """Return `uid`, as the number that it is if it has the form of a UUID: in half of the room."""
    digits = uid.replace("-", "")
    if len(uid) == 36 and len(digits) == 32 and uid == uid.lower():
        with suppress(ValueError):
            return bytes.fromhex(digits)
    return uid
