"""What waits between the watch and the link: ordered, one state per Event, bounded.

A message leaves when the broker has acknowledged it, and only if nothing newer has taken its place meanwhile.
Of one Event at most one state is under way, so that its counts cannot overtake each other.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tocsin_producer.database import Database

_log = logging.getLogger(__name__)

#: Why a message had to go: there was no room for it, or no broker takes its size or its topic.
LossReason = Literal["room", "size"]
LOSS_REASONS: Final[tuple[LossReason, ...]] = get_args(LossReason)
#: With no more than this part of its bounds taken, an outbox that was full is not any more.
ROOM: Final = 0.5


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

    def __init__(
        self,
        database: Database,
        *,
        max_messages: int,
        max_bytes: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._now = now
        self._under_way: set[str] = set()
        self._messages = self._bytes = 0
        self._losses: dict[str, int] = dict.fromkeys(LOSS_REASONS, 0)
        self._lost_before: int | None = None
        database.on_rollback(self._recount)

    def _recount(self) -> None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM outbox").fetchone()
        self._messages, self._bytes = row
        self._losses = {reason: self._database.number(_kept(reason)) for reason in LOSS_REASONS}

    @property
    def waiting(self) -> int:
        """How many messages the broker has not acknowledged."""
        return self._messages

    @property
    def bytes(self) -> int:
        """How much room they take up."""
        return self._bytes

    @property
    def fullness(self) -> float:
        """How much of the room is taken, as a part of the bound that is nearer."""
        return max(self._messages / self._max_messages, self._bytes / self._max_bytes)

    @property
    def lost(self) -> int:
        """How many messages had to go since this state began."""
        return sum(self._losses.values())

    @property
    def losses(self) -> Mapping[str, int]:
        """How many messages had to go, by reason."""
        return self._losses

    def oldest_seconds(self) -> float:
        """Return for how long the oldest message has waited, 0 if none waits."""
        with self._database.transaction() as connection:
            (put_at,) = connection.execute("SELECT MIN(put_at) FROM outbox").fetchone()
        return 0.0 if put_at is None else max(0.0, self._now() - put_at)

    def put(self, message: Message) -> None:
        """Let `message` wait, in the place of an older state of its Event if one waits."""
        with self._database.transaction() as connection:
            replaced = connection.execute(
                "SELECT size FROM outbox WHERE uid = ?",
                (message.uid,),
            ).fetchone()
            connection.execute(
                "INSERT INTO outbox (uid, count, severity, topic, payload, size, put_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid)"
                " DO UPDATE SET count = excluded.count, severity = excluded.severity,"
                " topic = excluded.topic, payload = excluded.payload, size = excluded.size",
                (
                    message.uid,
                    message.count,
                    message.severity,
                    message.topic,
                    message.payload,
                    message.size,
                    self._now(),
                ),
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
                (json.dumps(list(self._under_way)),),
            ).fetchone()
            if row is None:
                return
            self._messages -= 1
            self._bytes -= row[0]
            self._note_full()
            self._count_lost("room")

    def _note_full(self) -> None:
        """Warn at the first loss of a streak."""
        if self._lost_before is None:
            self._lost_before = self._losses["room"]
            _log.warning(
                "the outbox is full (outbox.max_messages %d, outbox.max_bytes %d): the oldest of the least severe"
                " events are given up",
                self._max_messages,
                self._max_bytes,
            )

    def _note_room(self) -> None:
        """Tell what a streak of losses came to, once half of the room is free."""
        if self._lost_before is not None and self.fullness <= ROOM:
            _log.info(
                "the outbox has room again; %d events were given up", self._losses["room"] - self._lost_before
            )
            self._lost_before = None

    def _count_lost(self, reason: LossReason) -> None:
        self._losses[reason] += 1
        self._database.keep_number(_kept(reason), self._losses[reason])

    def take(self, limit: int, *, leave: Collection[str] = ()) -> list[Message]:
        """Return up to `limit` messages that are not under way yet, the oldest first; now they are.

        The messages of the Events `leave` stay where they are.
        """
        if limit <= 0 or len(self._under_way) >= self._messages:
            return []
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT uid, count, severity, topic, payload FROM outbox"
                " WHERE uid NOT IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT ?",
                (json.dumps([*self._under_way, *leave]), limit),
            ).fetchall()
            self._under_way.update(row[0] for row in rows)
        return [Message(*row) for row in rows]

    def take_only(self, uid: str) -> Message | None:
        """Return the message of one Event, which is under way now, or None if it does not wait any more."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT uid, count, severity, topic, payload FROM outbox WHERE uid = ?",
                (uid,),
            ).fetchone()
            if row is None:
                return None
            self._under_way.add(uid)
        return Message(*row)

    def acknowledge(self, message: Message) -> None:
        """The broker has `message`: it need not wait any more, unless it is not the newest of its Event.

        Raises:
            sqlite3.Error: the state cannot be written; the message is still under way.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "DELETE FROM outbox WHERE uid = ? AND count = ? RETURNING size",
                (message.uid, message.count),
            ).fetchone()
            if row is not None:
                self._messages -= 1
                self._bytes -= row[0]
        self.put_back(message)
        self._note_room()

    def give_up(self, message: Message) -> None:
        """No broker will ever take `message`: count it as lost.

        Raises:
            sqlite3.Error: the state cannot be written; the message is still under way.
        """
        with self._database.transaction():
            before = self._messages
            self.acknowledge(message)
            if self._messages < before:
                self._count_lost("size")

    def put_back(self, message: Message) -> None:
        """`message` is not under way any more."""
        with self._database.lock:
            self._under_way.discard(message.uid)

    def put_all_back(self) -> None:
        """Nothing is under way any more: the connection is gone."""
        with self._database.lock:
            self._under_way.clear()


def _kept(reason: LossReason) -> str:
    return f"lost_{reason}"
