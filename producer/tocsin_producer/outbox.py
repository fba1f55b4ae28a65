"""What waits between the watch and the link: ordered, one state per Event, bounded.

A message leaves when the broker has it for good, and only if nothing newer has taken its place meanwhile.
Of one Event at most one state is under way, so that its counts cannot overtake each other.

The oldest leave first. But of what waited when a connection was made, only half of what leaves: an outbox that was
full for hours takes minutes, and what happens meanwhile is what people wait for.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from tocsin_producer.database import Database

_log = logging.getLogger(__name__)

#: Why a message had to go: there was no room for it, or no broker takes its size or its topic.
LossReason = Literal["room", "size"]
LOSS_REASONS: Final[tuple[LossReason, ...]] = get_args(LossReason)
#: How much what is said of nodes matters; Warnings and the rest matter less.
NODE_SEVERITY: Final = 2
#: Conditions of nodes matter most. Each says what is the case from now on, so they leave in the order in which
#: they came: a node that is down again must not be told to be ready by what was said before.
CONDITION_SEVERITY: Final = 3
#: With no more than this part of its bounds taken, an outbox that was full is not any more.
ROOM: Final = 0.5


@dataclass(frozen=True, slots=True)
class Message:
    """One state of the Event `uid` on its way. When there is no room, the least severe go first.

    The `first` of an Event is the one before which nothing of it was told.
    """

    uid: str
    count: int
    severity: int
    topic: str
    payload: str
    first: bool = False

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return len(self.topic.encode()) + len(self.payload.encode())


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message that the broker has acknowledged, without its text: thousands may be kept for a while."""

    uid: str
    count: int
    size: int
    is_urgent: bool


_SELECT: Final = "SELECT position, uid, count, severity, topic, payload, first FROM outbox"


def _rows(connection: sqlite3.Connection, after: int) -> Iterator[tuple[int, Message]]:
    """Read messages behind a position, one by one."""
    for position, *fields in connection.execute(f"{_SELECT} WHERE position > ? ORDER BY position", (after,)):
        yield position, Message(*fields)


def is_urgent(message: Message) -> bool:
    """Whether `message` tells something new, or of a node."""
    return message.first or message.severity >= NODE_SEVERITY


class Outbox:
    """The messages that the broker does not have for good.

    What it has acknowledged stays for a while, as what it may forget when it is killed before it has written that
    down. Such a message does not wait, and makes room for any that does.
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
        #: Where the messages are that were taken: these are under way.
        self._under_way: dict[str, int] = {}
        #: All up to this position are under way, …
        self._taken_until = 0
        #: … and all up to this one waited when the connection was made.
        self._backlog_until: int | None = None
        self._is_turn_of_backlog = False
        #: Of what is under way: the Events of which a newer state has come meanwhile, …
        self._outdated: set[str] = set()
        #: … and the messages that the broker has acknowledged.
        self._acknowledged: dict[str, Receipt] = {}
        self._messages = self._bytes = 0
        self._losses: dict[str, int] = dict.fromkeys(LOSS_REASONS, 0)
        self._lost_before: int | None = None
        database.on_rollback(self._recount)

    def _recount(self) -> None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM outbox").fetchone()
        self._messages, self._bytes = row
        self._taken_until = 0  # what was to make room is there again
        self._losses = {reason: self._database.number(_kept(reason)) for reason in LOSS_REASONS}

    @property
    def waiting(self) -> int:
        """How many messages the broker has not acknowledged."""
        return self._messages - len(self._acknowledged)

    def waiting_not_urgent(self) -> int:
        """Return how many of these are not urgent.

        Raises:
            sqlite3.Error: the state cannot be read.
        """
        with self._database.transaction() as connection:
            (count,) = connection.execute(
                "SELECT COUNT(*) FROM outbox WHERE NOT first AND severity < ?", (NODE_SEVERITY,)
            ).fetchone()
            return int(count) - sum(not receipt.is_urgent for receipt in self._acknowledged.values())

    @property
    def bytes(self) -> int:
        """How much room they take up."""
        return self._bytes

    @property
    def fullness(self) -> float:
        """How much of the room is taken, as a part of the bound that is nearer."""
        with self._database.lock:  # watches ask, while the link notes what is acknowledged
            kept = sum(receipt.size for receipt in self._acknowledged.values())
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
                (json.dumps(list(self._acknowledged)),),
            ).fetchone()
        return 0.0 if put_at is None else max(0.0, self._now() - put_at)

    def put(self, message: Message) -> None:
        """Let `message` wait, in the place of an older state of its Event if one waits; conditions at the end."""
        with self._database.transaction() as connection:
            replaced = connection.execute(
                "SELECT size, first FROM outbox WHERE uid = ?",
                (message.uid,),
            ).fetchone()
            if replaced and message.severity >= CONDITION_SEVERITY:
                connection.execute("DELETE FROM outbox WHERE uid = ?", (message.uid,))
                message = replace(message, first=message.first or bool(replaced[1]))
            connection.execute(
                "INSERT INTO outbox (uid, count, severity, topic, payload, first, size, put_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid)"
                " DO UPDATE SET count = excluded.count, severity = excluded.severity, topic = excluded.topic,"
                " payload = excluded.payload, first = MAX(first, excluded.first), size = excluded.size",
                (
                    message.uid,
                    message.count,
                    message.severity,
                    message.topic,
                    message.payload,
                    message.first,
                    message.size,
                    self._now(),
                ),
            )
            self._messages += 0 if replaced else 1
            self._bytes += message.size - (replaced[0] if replaced else 0)
            self._note_newer(message.uid)
            self._make_room(connection)

    def _note_newer(self, uid: str) -> None:
        """What the broker has of this Event need not be kept: the newer state says all that it says."""
        if self._acknowledged.pop(uid, None) is not None:
            self._leave_way(uid)
        elif uid in self._under_way:
            self._outdated.add(uid)

    def _leave_way(self, uid: str) -> None:
        position = self._under_way.pop(uid, None)
        if position is not None:
            self._taken_until = min(self._taken_until, position - 1)

    def is_waiting(self, uid: str) -> bool:
        """Tell whether a state of this Event waits that is not under way: the next would take its place."""
        if uid in self._under_way:
            return uid in self._outdated
        with self._database.transaction() as connection:
            return connection.execute("SELECT 1 FROM outbox WHERE uid = ?", (uid,)).fetchone() is not None

    def _is_full(self) -> bool:
        return self._messages > self._max_messages or self._bytes > self._max_bytes

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Let go until the bounds hold: what the broker has, then the oldest of the least severe, a loss."""
        while self._is_full() and self._acknowledged:
            kept = next(iter(self._acknowledged.values()))
            self._delete(connection, kept)
            self._forget(kept)
        while self._is_full():
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
            return message.uid not in leave and (not urgent or is_urgent(message))

        with self._all_or_none(), self._database.transaction() as connection:
            backlog_until = self._note_backlog(connection)
            taken: list[Message] = []
            if self._taken_until < backlog_until:
                taken = self._take_fresh(connection, self._share(limit), after=backlog_until, may_go=may_go)
            return taken + self._take_oldest(connection, limit - len(taken), may_go=may_go)

    @contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """Let nothing be under way that a read had found before it failed: nobody would hand it over."""
        with self._database.lock:
            before = self._under_way.copy()
            try:
                yield
            except BaseException:
                self._under_way = before
                raise

    def _share(self, limit: int) -> int:
        """Return how many of `limit` messages may be fresh while there is a backlog; of an odd one in turns."""
        self._is_turn_of_backlog ^= limit % 2 == 1
        return (limit + (not self._is_turn_of_backlog)) // 2

    def _take_fresh(
        self, connection: sqlite3.Connection, limit: int, *, after: int, may_go: Callable[[Message], bool]
    ) -> list[Message]:
        found: list[Message] = []
        for position, message in _rows(connection, after):
            if len(found) == limit:
                break
            if message.severity >= CONDITION_SEVERITY:
                continue  # an older one may be in the backlog
            if message.uid not in self._under_way and may_go(message):
                self._under_way[message.uid] = position
                found.append(message)
        return found

    def _take_oldest(
        self, connection: sqlite3.Connection, limit: int, *, may_go: Callable[[Message], bool]
    ) -> list[Message]:
        """Take what has waited for longest, and note up to where all is under way.

        No condition passes one that has to wait for the acknowledgement of its older state.
        """
        found: list[Message] = []
        is_gapless = do_conditions_go = True
        for position, message in _rows(connection, self._taken_until):
            if len(found) == limit:
                break
            is_condition = message.severity >= CONDITION_SEVERITY
            if is_condition and message.uid in self._outdated:
                is_gapless = do_conditions_go = False
            elif message.uid not in self._under_way:
                if not may_go(message) or (is_condition and not do_conditions_go):
                    is_gapless = False
                    continue
                self._under_way[message.uid] = position
                found.append(message)
            if is_gapless:
                self._taken_until = position
        return found

    def take_only(self, uid: str) -> Message | None:
        """Return the message of one Event, which is under way now, or None if it does not wait any more."""
        with self._database.transaction() as connection:
            row = connection.execute(f"{_SELECT} WHERE uid = ?", (uid,)).fetchone()
            if row is None:
                return None
            self._under_way[uid] = row[0]
        return Message(*row[1:])

    def acknowledge(self, message: Message) -> Receipt:
        """The broker has `message`, but it may not have written it down yet: keep it until `settle`."""
        receipt = Receipt(message.uid, message.count, message.size, is_urgent(message))
        with self._database.lock:
            if message.uid in self._outdated:
                self.put_back(message)
            else:
                self._acknowledged[message.uid] = receipt
        return receipt

    def settle(self, receipts: Iterable[Receipt]) -> None:
        """The broker has these for good.

        Raises:
            sqlite3.Error: the state cannot be written; they are still kept.
        """
        with self._database.lock:  # a newer state that comes has to come before or after all of this
            with self._database.transaction() as connection:
                kept = [receipt for receipt in receipts if self._acknowledged.get(receipt.uid) is receipt]
                for receipt in kept:
                    self._delete(connection, receipt)
            for receipt in kept:
                self._forget(receipt)
            self._note_room()

    def _forget(self, receipt: Receipt) -> None:
        """What was acknowledged is deleted: nothing is left in its place that could be taken."""
        del self._under_way[receipt.uid], self._acknowledged[receipt.uid]

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
            self._leave_way(message.uid)
            self._outdated.discard(message.uid)
            self._acknowledged.pop(message.uid, None)

    def put_all_back(self) -> None:
        """The connection is gone: what was under way, and what was kept, is to go again."""
        with self._database.lock:
            self._under_way.clear()
            self._outdated.clear()
            self._acknowledged.clear()
            self._taken_until = 0
            self._backlog_until = None


def _kept(reason: LossReason) -> str:
    return f"lost_{reason}"
