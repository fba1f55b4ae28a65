"""What waits between the watch and the link: ordered, one state per Event, bounded.

A message leaves when the broker has it for good, and only if nothing newer has taken its place meanwhile.
Of one Event at most one state is under way, so that its counts cannot overtake each other.

Conditions of nodes leave before all else. Of each node at most one is in flight, the oldest: the next goes only
when the broker has acknowledged it, so that no refusal and no break lets a newer one arrive before an older one.

Of the rest the oldest leave first. But of what waited when a connection was made, only half of what leaves: an
outbox that was full for hours takes minutes, and what happens meanwhile is what people wait for.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final, Literal, get_args

from tocsin_producer.database import Database
from tocsin_producer.message import CONDITION_SEVERITY, NODE_SEVERITY, Message, Receipt, is_condition, is_urgent
from tocsin_producer.under_way import UnderWay

_log = logging.getLogger(__name__)

#: Why a message had to go: there was no room for it, or no broker takes its size or its topic.
LossReason = Literal["room", "size"]
LOSS_REASONS: Final[tuple[LossReason, ...]] = get_args(LossReason)
#: With no more than this part of its bounds taken, an outbox that was full is not any more.
ROOM: Final = 0.5


_SELECT: Final = "SELECT position, uid, count, severity, topic, payload, node, first FROM outbox"
# These name the severity as the index does, which would not serve them otherwise.
_NODES: Final = f"SELECT DISTINCT node FROM outbox WHERE severity >= {CONDITION_SEVERITY}"  # noqa: S608 - our own
_OF_NODE: Final = f"{_SELECT} WHERE severity >= {CONDITION_SEVERITY} AND node = ? ORDER BY position"


def _rows(connection: sqlite3.Connection, after: int) -> Iterator[tuple[int, Message]]:
    """Read messages behind a position, one by one."""
    for position, *fields in connection.execute(f"{_SELECT} WHERE position > ? ORDER BY position", (after,)):
        yield position, Message(*fields)


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
        #: Of these nodes a condition may be in the outbox.
        self._nodes: set[str] = set()
        #: Up to this position all is under way that is no condition, …
        self._taken_until = 0
        #: … and all up to this one waited when the connection was made.
        self._backlog_until: int | None = None
        self._is_turn_of_backlog = False
        self._messages = self._bytes = 0
        self._losses: dict[str, int] = dict.fromkeys(LOSS_REASONS, 0)
        self._lost_before: int | None = None
        database.on_rollback(self._recount)

    def _recount(self) -> None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM outbox").fetchone()
            nodes = connection.execute(_NODES).fetchall()
        self._messages, self._bytes = row
        self._nodes = {node for (node,) in nodes}
        self._taken_until = 0  # what was to make room is there again
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
            kept = sum(receipt.size for receipt in self._under_way.acknowledged.values())
        return max(self.waiting / self._max_messages, (self._bytes - kept) / self._max_bytes)

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
            (put_at,) = connection.execute(
                "SELECT MIN(put_at) FROM outbox WHERE uid NOT IN (SELECT value FROM json_each(?))",
                (json.dumps(list(self._under_way.acknowledged)),),
            ).fetchone()
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
            self._look_from(self._under_way.note_newer(message.uid))
            return message.uid not in self._make_room(connection)

    def _insert(self, connection: sqlite3.Connection, message: Message) -> None:
        connection.execute(
            "INSERT INTO outbox (uid, count, severity, topic, payload, node, first, size, put_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid)"
            " DO UPDATE SET count = excluded.count, severity = excluded.severity, topic = excluded.topic,"
            " payload = excluded.payload, first = MAX(first, excluded.first), size = excluded.size",
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
        if is_condition(message):
            self._nodes.add(message.node)

    def _look_from(self, position: int) -> None:
        """There may be something to take from `position` on."""
        self._taken_until = min(self._taken_until, position - 1)

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
        self._backlog_until = None
        with self._database.transaction() as connection:
            self._note_backlog(connection)

    def _note_backlog(self, connection: sqlite3.Connection) -> int:
        if self._backlog_until is None:
            row = connection.execute("SELECT COALESCE(MAX(position), 0) FROM outbox").fetchone()
            self._backlog_until = int(row[0])
        return self._backlog_until

    def take(self, limit: int, *, leave: Collection[str] = (), urgent: bool = False) -> list[Message]:
        """Return up to `limit` messages that are not under way yet; now they are.

        The messages of the Events `leave` stay where they are, and only what is urgent goes if `urgent` is given.

        Raises:
            sqlite3.Error: the state cannot be read; none of them is under way.
        """
        if limit <= 0 or len(self._under_way) >= self._messages:
            return []

        def may_go(message: Message) -> bool:
            is_free = message.uid not in self._under_way and message.uid not in leave
            return is_free and not is_condition(message) and (not urgent or is_urgent(message))

        with self._database.lock:  # a newer state that comes has to come before or after all of this
            with self._database.transaction() as connection:
                backlog_until = self._note_backlog(connection)
                taken = self._conditions(connection, leave)[:limit]
                if self._taken_until < backlog_until:
                    share = self._share(limit - len(taken))
                    taken += self._fresh(connection, share, after=backlog_until, may_go=may_go)
                taken += self._oldest(connection, limit - len(taken), besides=dict(taken), may_go=may_go)
            for position, message in taken:
                self._under_way.begin(message, position)
        return [message for _, message in taken]

    def _share(self, limit: int) -> int:
        """Return how many of `limit` messages may be fresh while there is a backlog; of an odd one in turns."""
        self._is_turn_of_backlog ^= limit % 2 == 1
        return (limit + (not self._is_turn_of_backlog)) // 2

    def _conditions(self, connection: sqlite3.Connection, leave: Collection[str]) -> list[tuple[int, Message]]:
        """Find the condition of each node that is next, unless it is one to leave; those behind it wait for it."""
        found = [self._next_condition(connection, node) for node in list(self._nodes)]
        return sorted(
            (one for one in found if one is not None and one[1].uid not in leave), key=lambda one: one[0]
        )

    def _next_condition(self, connection: sqlite3.Connection, node: str) -> tuple[int, Message] | None:
        """Return the oldest condition of `node` that the broker has not acknowledged, None if one is in flight."""
        if self._under_way.has_condition_of(node):
            return None
        position = None
        for position, *fields in connection.execute(_OF_NODE, (node,)):
            message = Message(*fields)
            if message.uid not in self._under_way.acknowledged:
                return None if message.uid in self._under_way else (position, message)
        if position is None:
            self._nodes.discard(node)
        return None

    def _fresh(
        self, connection: sqlite3.Connection, limit: int, *, after: int, may_go: Callable[[Message], bool]
    ) -> list[tuple[int, Message]]:
        """Find what has come since the connection was made."""
        return list(islice((row for row in _rows(connection, after) if may_go(row[1])), limit))

    def _oldest(
        self,
        connection: sqlite3.Connection,
        limit: int,
        *,
        besides: Mapping[int, Message],
        may_go: Callable[[Message], bool],
    ) -> list[tuple[int, Message]]:
        """Find what has waited for longest `besides` what was found already, and note up to where all is taken."""
        found: list[tuple[int, Message]] = []
        is_gapless, taken_until = True, self._taken_until
        for position, message in _rows(connection, self._taken_until):
            if len(found) == limit:
                break
            if position not in besides and may_go(message):
                found.append((position, message))
            elif not (position in besides or is_condition(message) or message.uid in self._under_way):
                is_gapless = False
            if is_gapless:
                taken_until = position
        self._taken_until = taken_until
        return found

    def take_only(self, uid: str) -> Message | None:
        """Return the message of one Event, which is under way now, or None if it does not wait any more.

        If it is a condition, that is the oldest of its node, behind which it waits.
        """
        with self._database.transaction() as connection:
            row = connection.execute(f"{_SELECT} WHERE uid = ?", (uid,)).fetchone()
            found = (row[0], Message(*row[1:])) if row else None
            if found is not None and is_condition(found[1]):
                found = self._next_condition(connection, found[1].node)
            if found is None:
                return None
            self._under_way.begin(found[1], found[0])
        return found[1]

    def acknowledge(self, message: Message) -> Receipt:
        """The broker has `message`, but it may not have written it down yet: keep it until `settle`."""
        with self._database.lock:
            receipt, position = self._under_way.acknowledge(message)
            self._look_from(position)
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
            self._look_from(self._under_way.end(message.uid))

    def put_all_back(self) -> None:
        """The connection is gone: what was under way, and what was kept, is to go again."""
        with self._database.lock:
            self._under_way.clear()
            self._taken_until = 0
            self._backlog_until = None


def _kept(reason: LossReason) -> str:
    return f"lost_{reason}"
