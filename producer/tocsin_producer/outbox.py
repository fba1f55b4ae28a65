"""What waits between the watch and the link: ordered, one state per Event, bounded.

A message leaves when the broker has acknowledged it, and only if nothing newer has taken its place meanwhile.
Of one Event at most one state is under way, so that its counts cannot overtake each other.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

from tocsin_producer.database import Database

_LOST: Final = "lost"


@dataclass(frozen=True, slots=True)
class Message:
    """One state of the Event `uid` on its way. When there is no room, the least severe go first."""

    uid: str
    count: int
    severity: int
    topic: str
    payload: str

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return len(self.topic.encode()) + len(self.payload.encode())


class Outbox:
    """The messages that the broker has not acknowledged yet."""

    def __init__(self, database: Database, *, max_messages: int, max_bytes: int) -> None:
        self._database = database
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._under_way: set[str] = set()
        self._messages = self._bytes = self._lost = 0
        database.on_rollback(self._recount)

    def _recount(self) -> None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM outbox").fetchone()
        self._messages, self._bytes = row
        self._lost = self._database.number(_LOST)

    @property
    def waiting(self) -> int:
        """How many messages the broker has not acknowledged."""
        return self._messages

    @property
    def lost(self) -> int:
        """How many messages had to go for want of room since this state began."""
        return self._lost

    def put(self, message: Message) -> None:
        """Let `message` wait, in the place of an older state of its Event if one waits."""
        with self._database.transaction() as connection:
            replaced = connection.execute(
                "SELECT size FROM outbox WHERE uid = ?",
                (message.uid,),
            ).fetchone()
            connection.execute(
                "INSERT INTO outbox (uid, count, severity, topic, payload, size) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (uid) DO UPDATE SET count = excluded.count, severity = excluded.severity,"
                " topic = excluded.topic, payload = excluded.payload, size = excluded.size",
                (message.uid, message.count, message.severity, message.topic, message.payload, message.size),
            )
            self._messages += 0 if replaced else 1
            self._bytes += message.size - (replaced[0] if replaced else 0)
            self._make_room(connection)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Give up the oldest of the least severe until the bounds hold, and count them."""
        while self._messages > self._max_messages or self._bytes > self._max_bytes:
            row = connection.execute(
                "DELETE FROM outbox WHERE position = (SELECT position FROM outbox"
                " WHERE uid NOT IN (SELECT value FROM json_each(?)) ORDER BY severity, position LIMIT 1)"
                " RETURNING size",
                (self._listed_under_way(),),
            ).fetchone()
            if row is None:
                return
            self._messages -= 1
            self._bytes -= row[0]
            self._count_lost()

    def _count_lost(self) -> None:
        self._lost += 1
        self._database.keep_number(_LOST, self._lost)

    def take(self, limit: int) -> list[Message]:
        """Return up to `limit` messages that are not under way yet, the oldest first; now they are."""
        if limit <= 0 or len(self._under_way) >= self._messages:
            return []
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT uid, count, severity, topic, payload FROM outbox"
                " WHERE uid NOT IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT ?",
                (self._listed_under_way(), limit),
            ).fetchall()
            self._under_way.update(row[0] for row in rows)
        return [Message(*row) for row in rows]

    def _listed_under_way(self) -> str:
        return json.dumps(list(self._under_way))

    def acknowledge(self, message: Message) -> None:
        """The broker has `message`: it need not wait any more, unless it is not the newest of its Event."""
        with self._database.transaction() as connection:
            self._under_way.discard(message.uid)
            row = connection.execute(
                "DELETE FROM outbox WHERE uid = ? AND count = ? RETURNING size",
                (message.uid, message.count),
            ).fetchone()
            if row is not None:
                self._messages -= 1
                self._bytes -= row[0]

    def give_up(self, message: Message) -> None:
        """No broker will ever take `message`: count it as lost."""
        with self._database.transaction():
            before = self._messages
            self.acknowledge(message)
            if self._messages < before:
                self._count_lost()

    def put_back(self, message: Message) -> None:
        """`message` was not taken: it waits again."""
        with self._database.transaction():
            self._under_way.discard(message.uid)

    def put_all_back(self) -> None:
        """Nothing is under way any more: the connection is gone."""
        with self._database.transaction():
            self._under_way.clear()
