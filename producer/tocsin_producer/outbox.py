"""What waits between the watch and the link: one state per Event, bounded, leaving in the order of `lanes`.

A message leaves when the broker has it for good, and only if nothing newer has taken its place meanwhile.
Of one Event at most one state is under way, so that its counts cannot overtake each other.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal, get_args

from tocsin_producer.database import Database
from tocsin_producer.lanes import SELECT, Lanes
from tocsin_producer.message import CONDITION_SEVERITY, NODE_SEVERITY, Message, Receipt
from tocsin_producer.under_way import UnderWay

_log = logging.getLogger(__name__)

#: Why a message had to go: there was no room for it, or no broker takes its size or its topic.
LossReason = Literal["room", "size"]
LOSS_REASONS: Final[tuple[LossReason, ...]] = get_args(LossReason)
#: With no more than this part of its bounds taken, an outbox that was full is not any more.
ROOM: Final = 0.5


class Outbox:
    """The messages that the broker does not have for good.

    What it has acknowledged stays for a while, as what it may forget when it is killed before it has written that
    down. Such a message does not wait, and makes room for any that does.

    `on_loss` is called with each Event whose message has to go for want of room, within the same transaction.
    """

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
        self.on_loss: Callable[[str], None] = lambda _uid: None
        self._under_way = UnderWay()
        self._lanes = Lanes(self._under_way)
        self._messages = self._bytes = 0
        self._losses: dict[str, int] = dict.fromkeys(LOSS_REASONS, 0)
        self._lost_before: int | None = None
        database.on_rollback(self._recount)

    def _recount(self) -> None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM outbox").fetchone()
            self._lanes.look_anew(connection)  # what was to make room is there again
        self._messages, self._bytes = row
        self._losses = {reason: self._database.number(_kept(reason)) for reason in LOSS_REASONS}

    @property
    def waiting(self) -> int:
        """How many messages the broker has not acknowledged."""
        return self._messages - len(self._under_way.acknowledged)

    def waiting_not_urgent(self) -> int:
        """Return how many of these are not urgent.

        Raises:
            sqlite3.Error: the state cannot be read.
        """
        with self._database.transaction() as connection:
            (count,) = connection.execute(
                "SELECT COUNT(*) FROM outbox WHERE NOT first AND severity < ?", (NODE_SEVERITY,)
            ).fetchone()
            return int(count) - sum(not receipt.is_urgent for receipt in self._under_way.acknowledged.values())

    @property
    def bytes(self) -> int:
        """How much room they take up."""
        return self._bytes

    @property
    def fullness(self) -> float:
        """How much of the room is taken, as a part of the bound that is nearer."""
        with self._database.lock:  # watches ask, while the link notes what is acknowledged
            waiting_bytes = self._bytes - self._under_way.acknowledged_bytes
            return max(self.waiting / self._max_messages, waiting_bytes / self._max_bytes)

    @property
    def lost(self) -> int:
        """How many messages had to go since this state began."""
        return sum(self._losses.values())

    @property
    def losses(self) -> Mapping[str, int]:
        """How many messages had to go, by reason."""
        return self._losses

    def oldest_seconds(self) -> float:
        """Return for how long the message has waited that came first, 0 if none waits or clocks were set back."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT uid, put_at FROM outbox ORDER BY position")
            waiting = (put_at for uid, put_at in rows if uid not in self._under_way.acknowledged)
            put_at = next(waiting, None)
        return 0.0 if put_at is None else max(0.0, self._now() - put_at)

    def put(self, message: Message) -> bool:
        """Let `message` wait, in the place of an older state of its Event if one waits; conditions at the end.

        Returns:
            Whether there was room for it.
        """
        with self._database.transaction() as connection:
            replaced = connection.execute(
                "SELECT size, first, severity FROM outbox WHERE uid = ?", (message.uid,)
            ).fetchone()
            if replaced and max(message.severity, replaced[2]) >= CONDITION_SEVERITY:
                connection.execute("DELETE FROM outbox WHERE uid = ?", (message.uid,))
                message = replace(message, first=message.first or bool(replaced[1]))
            self._insert(connection, message)
            self._messages += 0 if replaced else 1
            self._bytes += message.size - (replaced[0] if replaced else 0)
            self._lanes.note_put(message)
            self._lanes.look_from(self._under_way.note_newer(message.uid))
            return message.uid not in self._make_room(connection)

    def _insert(self, connection: sqlite3.Connection, message: Message) -> None:
        connection.execute(
            "INSERT INTO outbox (uid, count, severity, topic, payload, node, first, size, put_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid)"
            " DO UPDATE SET count = excluded.count, severity = excluded.severity, topic = excluded.topic,"
            " payload = excluded.payload, node = excluded.node, first = MAX(first, excluded.first),"
            " size = excluded.size",
            (
                message.uid,
                message.count,
                message.severity,
                message.topic,
                message.payload,
                message.node,
                message.first,
                message.size,
                self._now(),
            ),
        )

    def is_waiting(self, uid: str) -> bool:
        """Tell whether a state of this Event waits that is not under way: the next would take its place."""
        if uid in self._under_way:
            return self._under_way.is_outdated(uid)
        with self._database.transaction() as connection:
            return connection.execute("SELECT 1 FROM outbox WHERE uid = ?", (uid,)).fetchone() is not None

    def _is_full(self) -> bool:
        return self._messages > self._max_messages or self._bytes > self._max_bytes

    def _make_room(self, connection: sqlite3.Connection) -> set[str]:
        """Let go until the bounds hold: what the broker has, then the oldest of the least severe: losses."""
        lost: set[str] = set()
        while self._is_full() and self._under_way.acknowledged:
            kept = next(iter(self._under_way.acknowledged.values()))
            self._delete(connection, kept)
            self._under_way.end(kept.uid)
        while self._is_full():
            row = connection.execute(
                "DELETE FROM outbox WHERE position = (SELECT position FROM outbox"
                " WHERE uid NOT IN (SELECT value FROM json_each(?)) ORDER BY severity, position LIMIT 1)"
                " RETURNING size, uid",
                (json.dumps(list(self._under_way.uids)),),
            ).fetchone()
            if row is None:
                break
            self._messages -= 1
            self._bytes -= row[0]
            self._note_full()
            self._count_lost("room")
            self.on_loss(row[1])
            lost.add(row[1])
        return lost

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

    def begin_connection(self) -> None:
        """All that waits now is a backlog, past which what comes from now on may go; see `take`.

        Raises:
            sqlite3.Error: the state cannot be read; what waits when the first is taken is the backlog then.
        """
        with self._database.lock:
            self._lanes.begin_connection()
            with self._database.transaction() as connection:
                self._lanes.backlog_until(connection)

    def take(self, limit: int, *, leave: Collection[str] = (), urgent: bool = False) -> list[Message]:
        """Return up to `limit` messages that are not under way yet; now they are.

        The messages of the Events `leave` stay where they are, and only what is urgent goes if `urgent` is given.

        Raises:
            sqlite3.Error: the state cannot be read; none of them is under way.
        """
        if limit <= 0 or len(self._under_way) >= self._messages:
            return []
        with self._database.lock:  # a newer state that comes has to come before or after all of this
            with self._database.transaction() as connection:
                found = self._lanes.next(connection, limit, leave=leave, urgent=urgent)
            for position, message in found:
                self._under_way.begin(message, position)
        return [message for _, message in found]

    def take_only(self, uid: str) -> Message | None:
        """Return the message of one Event, which is under way now.

        None if it does not wait any more, or for an older condition of its node.
        """
        with self._database.transaction() as connection:
            row = connection.execute(f"{SELECT} WHERE uid = ?", (uid,)).fetchone()
            message = Message(*row[1:]) if row else None
            if message is None or not self._lanes.is_next(connection, message):
                return None
            self._under_way.begin(message, row[0])
        return message

    def is_waited_for(self, message: Message) -> bool:
        """Tell whether newer conditions wait for `message`, which is one of the same node.

        Raises:
            sqlite3.Error: the state cannot be read.
        """
        with self._database.transaction() as connection:
            return self._lanes.is_waited_for(connection, message)

    def acknowledge(self, message: Message) -> Receipt:
        """The broker has `message`, but it may not have written it down yet: keep it until `settle`."""
        with self._database.lock:
            receipt, position = self._under_way.acknowledge(message)
            self._lanes.look_from(position)
        return receipt

    def settle(self, receipts: Iterable[Receipt]) -> None:
        """The broker has these for good.

        Raises:
            sqlite3.Error: the state cannot be written; they are still kept.
        """
        with self._database.lock:  # a newer state that comes has to come before or after all of this
            with self._database.transaction() as connection:
                acknowledged = self._under_way.acknowledged
                kept = [receipt for receipt in receipts if acknowledged.get(receipt.uid) is receipt]
                for receipt in kept:
                    self._delete(connection, receipt)
            for receipt in kept:
                self._under_way.end(receipt.uid)
            self._note_room()

    def give_up(self, message: Message) -> None:
        """No broker will ever take `message`: count it as lost, unless a newer state has taken its place.

        Raises:
            sqlite3.Error: the state cannot be written; the message is still under way.
        """
        with self._database.transaction() as connection:
            if self._delete(connection, message):
                self._count_lost("size")
        self.put_back(message)

    def _delete(self, connection: sqlite3.Connection, message: Message | Receipt) -> bool:
        """Delete `message`, and tell whether it was still there and not a newer state of its Event."""
        row = connection.execute(
            "DELETE FROM outbox WHERE uid = ? AND count = ? RETURNING size", (message.uid, message.count)
        ).fetchone()
        if row is None:
            return False
        self._messages -= 1
        self._bytes -= row[0]
        return True

    def put_back(self, message: Message) -> None:
        """`message` is not under way any more."""
        with self._database.lock:
            self._lanes.look_from(self._under_way.end(message.uid))

    def put_all_back(self) -> None:
        """The connection is gone: what was under way, and what was kept, is to go again."""
        with self._database.lock:
            self._under_way.clear()
            self._lanes.begin_connection()


def _kept(reason: LossReason) -> str:
    return f"lost_{reason}"
