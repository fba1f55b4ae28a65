"""Folds the repeats of an Event: told are its first occurrence, and then what says more than the last time.

That is when its count has doubled, or when an interval has passed since it was last told. A repeat before that is
held; the newest takes the place of the one before it, and goes when the interval is over. So a crash loop costs a
handful of messages a day, and whoever reads them always learns the last count.

A condition of a node that has changed goes at once, however often: who is told that a node is ready has to be told
that it is not. That a condition is as it should be goes at once if it was not told since any condition of its node
changed: it may end what was told. After that it is a repeat, as a kubelet says it at each start, and held; but it
goes before any other condition of its node does, so that what was the case before is never told after it.
"""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tocsin_producer.checkpoint import Checkpoint, Seen
from tocsin_producer.database import Database
from tocsin_producer.message import CONDITION_SEVERITY, Message, is_condition
from tocsin_producer.outbox import Outbox

#: What is held takes up to this part of the outbox's bounds beside it. Beyond that what is due first goes at once:
#: nothing is given up for a message that could have been sent.
ROOM: Final = 0.25
#: Of so many nodes it is known what was told; of one that has gone for good, until so many others have come.
_NODES: Final = 1000
_NEVER: Final = float("inf")
#: Conditions that are told when they change, and only then.
_CHANGE: Final = re.compile(r"Node((Not)?Ready|(Not)?Schedulable|Has(?!No)\w+Pressure|HasInsufficient\w+)")


class Fold:
    """Holds repeats between the intake and the outbox. `put` is used within the intake's transaction.

    Args:
        interval_seconds: for how long a repeat is held at most; 0 holds none.
        max_messages: bound of the outbox.
        max_bytes: bound of the outbox.
        now: UTC epoch seconds; they are kept across restarts.
    """

    def __init__(
        self,
        database: Database,
        checkpoint: Checkpoint,
        outbox: Outbox,
        *,
        interval_seconds: float,
        max_messages: int,
        max_bytes: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._checkpoint = checkpoint
        self._outbox = outbox
        self._interval_seconds = interval_seconds
        self._max_messages = ROOM * max_messages
        self._max_bytes = ROOM * max_bytes
        self._now = now
        outbox.on_loss = checkpoint.note_lost
        self._messages = self._bytes = 0
        self._due_at = _NEVER
        #: The reasons that were told of each node since any of its conditions changed. A new start begins anew.
        self._told_since: dict[str, set[str]] = {}
        #: How many that were held have gone so far.
        self.released = 0
        database.on_rollback(self._recount)
        database.on_rollback(self._told_since.clear)  # what was told then was not

    def _recount(self) -> None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0), MIN(due_at) FROM folded").fetchone()
        self._messages, self._bytes = row[:2]
        self._due_at = _NEVER if row[2] is None else row[2]

    @property
    def held(self) -> int:
        """How many Events have a repeat that is held."""
        return self._messages

    def put(self, message: Message, seen: Seen, *, reason: str = "") -> Seen:
        """Let the newest state of an Event of which `seen` is known go or hold it; return what is known then.

        Of a condition its `reason` says which it is.
        """
        now = self._now()
        if self._says_more(message, seen, now) or (is_condition(message) and self._is_news(message.node, reason)):
            self._drop(message.uid)
            if is_condition(message):
                self._note_condition(message.node, reason)
            is_there = self._outbox.put(replace(message, first=not seen.told))
            return Seen(message.count, message.count if is_there else 0, int(now))
        self._hold(message, due_at=seen.told_at + self._interval_seconds)
        return replace(seen, count=message.count)

    def _says_more(self, message: Message, seen: Seen, now: float) -> bool:
        """Whether `message` is to go; also where it takes the place of one that waits, or clocks were set back."""
        return (
            message.count >= 2 * seen.told
            or not 0 <= now - seen.told_at < self._interval_seconds
            or self._outbox.is_waiting(message.uid)
        )

    def _is_news(self, node: str, reason: str) -> bool:
        """Whether a condition changes, or may end what was told of its node."""
        return _CHANGE.fullmatch(reason) is not None or reason not in self._told_since.get(node, ())

    def _note_condition(self, node: str, reason: str) -> None:
        """A condition of `node` goes: what is held of conditions goes before it."""
        if self._messages:
            self._let_go("WHERE severity >= ? AND node = ?", CONDITION_SEVERITY, node)
        told = self._told_since.pop(node, set())
        if _CHANGE.fullmatch(reason) is None:
            self._told_since[node] = told | {reason}
            if len(self._told_since) > _NODES:
                del self._told_since[next(iter(self._told_since))]

    def _hold(self, message: Message, *, due_at: float) -> None:
        self._drop(message.uid)
        self._make_room(message.size)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO folded (uid, count, severity, topic, payload, node, size, due_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    message.uid,
                    message.count,
                    message.severity,
                    message.topic,
                    message.payload,
                    message.node,
                    message.size,
                    due_at,
                ),
            )
            self._messages += 1
            self._bytes += message.size
            self._due_at = min(self._due_at, due_at)

    def _make_room(self, size: int) -> None:
        while self._messages and (self._messages + 1 > self._max_messages or self._bytes + size > self._max_bytes):
            self._let_go("WHERE due_at = (SELECT MIN(due_at) FROM folded)")

    def _drop(self, uid: str) -> None:
        """Forget what is held of an Event."""
        if not self._messages:
            return
        with self._database.transaction() as connection:
            row = connection.execute("DELETE FROM folded WHERE uid = ? RETURNING size", (uid,)).fetchone()
        if row is not None:
            self._messages -= 1
            self._bytes -= row[0]

    def release(self) -> float | None:
        """Let go what is due, and return in how many seconds something will be, None if nothing is held.

        Raises:
            sqlite3.Error: the state cannot be written.
        """
        now, latest = self._now(), self._now() + self._interval_seconds
        if self._messages and not now < self._due_at <= latest:  # later than that if clocks were set back
            self._let_go("WHERE due_at <= ? OR due_at > ?", now, latest)
        return self._due_at - now if self._messages else None

    def release_all(self) -> None:
        """Let go all that is held.

        Raises:
            sqlite3.Error: the state cannot be written.
        """
        if self._messages:
            self._let_go("")

    def _let_go(self, which: str, *values: float | str) -> None:
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"DELETE FROM folded {which} RETURNING uid, count, severity, topic, payload, node",  # noqa: S608 - our own words
                values,
            ).fetchall()
            now = int(self._now())
            for row in rows:
                if self._outbox.put(Message(*row)):
                    self._checkpoint.note_told(row[0], now)
            self._recount()
            self.released += len(rows)
