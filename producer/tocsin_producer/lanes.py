"""Which of the messages that wait leave next.

Conditions of nodes have a lane for each node, in which they follow each other: only the oldest may go, and the
next when the broker has acknowledged it, so that no refusal and no break lets a newer one arrive before an older
one. They go before all else, but leave one of four messages to the rest: a storm of conditions may last.

Of the rest the oldest leave first. But of what waited when a connection was made, the backlog, only half of what
leaves: an outbox that was full for hours takes minutes, and what happens meanwhile is what people wait for.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Final

from tocsin_producer.message import CONDITION_SEVERITY, Message, is_condition, is_urgent
from tocsin_producer.under_way import UnderWay

#: Of so many messages one is no condition, while others wait.
_PART_OF_THE_REST: Final = 4

SELECT: Final = "SELECT position, uid, count, severity, topic, payload, node, first FROM outbox"
# These name the severity as the index does, which would not serve them otherwise.
_CONDITIONS: Final = f"FROM outbox WHERE severity >= {CONDITION_SEVERITY}"
_NODES: Final = f"SELECT DISTINCT node {_CONDITIONS}"
_OF_NODE: Final = f"SELECT position, uid {_CONDITIONS} AND node = ? ORDER BY position"

Place = tuple[int, Message]


def _rows(connection: sqlite3.Connection, after: int) -> Iterator[Place]:
    """Read messages behind a position, one by one."""
    for position, *fields in connection.execute(f"{SELECT} WHERE position > ? ORDER BY position", (after,)):
        yield position, Message(*fields)


class Lanes:
    """The order in which messages leave; what is under way has left. Used within transactions."""

    def __init__(self, under_way: UnderWay) -> None:
        self._under_way = under_way
        #: Of these nodes a condition may wait.
        self._nodes: set[str] = set()
        #: Up to this position all is under way that is no condition, …
        self._taken_until = 0
        #: … and all up to this one waited when the connection was made.
        self._backlog_until: int | None = None
        self._is_turn_of_backlog = False
        self._owed_to_the_rest = 0

    def look_anew(self, connection: sqlite3.Connection) -> None:
        """What waits is not what it was."""
        self._nodes = {node for (node,) in connection.execute(_NODES)}
        self._taken_until = 0

    def look_from(self, position: int) -> None:
        """There may be something to take from `position` on."""
        self._taken_until = min(self._taken_until, position - 1)

    def note_put(self, message: Message) -> None:
        """`message` waits."""
        if is_condition(message):
            self._nodes.add(message.node)

    def begin_connection(self) -> None:
        """What waits when this is asked next is the backlog, and nothing is under way."""
        self._taken_until = 0
        self._backlog_until = None

    def backlog_until(self, connection: sqlite3.Connection) -> int:
        """Return up to which position the backlog reaches."""
        if self._backlog_until is None:
            row = connection.execute("SELECT COALESCE(MAX(position), 0) FROM outbox").fetchone()
            self._backlog_until = int(row[0])
        return self._backlog_until

    def next(
        self, connection: sqlite3.Connection, limit: int, *, leave: Collection[str], urgent: bool
    ) -> list[Place]:
        """Find up to `limit` messages; not of the Events `leave`, and only what is urgent if `urgent` is given.

        What is found counts as taken from now on; if this raises, nothing does.
        """

        def may_go(message: Message) -> bool:
            is_free = message.uid not in self._under_way and message.uid not in leave
            return is_free and not is_condition(message) and (not urgent or is_urgent(message))

        conditions = self._conditions(connection, leave)
        share = limit - self._share_of_the_rest(limit)
        rest = self._rest(connection, limit - len(conditions[:share]), may_go=may_go)
        return [_read(connection, position) for position in conditions[: limit - len(rest)]] + rest

    def _share_of_the_rest(self, limit: int) -> int:
        """Return how many of `limit` messages are no conditions, if any waits; fractions of one add up."""
        share, self._owed_to_the_rest = divmod(self._owed_to_the_rest + limit, _PART_OF_THE_REST)
        return share

    def _conditions(self, connection: sqlite3.Connection, leave: Collection[str]) -> list[int]:
        """Find the condition of each node that is next, unless it is one to leave; those behind it wait for it."""
        found = [self._next_of(connection, node) for node in list(self._nodes)]
        return sorted(one[0] for one in found if one is not None and one[1] not in leave)

    def _next_of(self, connection: sqlite3.Connection, node: str) -> tuple[int, str] | None:
        """Return position and Event of the oldest condition of `node` that the broker has not acknowledged.

        None if one is in flight.
        """
        if self._under_way.has_condition_of(node):
            return None
        position = None
        for position, uid in connection.execute(_OF_NODE, (node,)):
            if uid not in self._under_way.acknowledged:
                return None if uid in self._under_way else (position, uid)
        if position is None:
            self._nodes.discard(node)
        return None

    def is_next(self, connection: sqlite3.Connection, message: Message) -> bool:
        """Tell whether nothing that waits has to go before `message`."""
        if not is_condition(message):
            return True
        found = self._next_of(connection, message.node)
        return found is not None and found[1] == message.uid

    def is_waited_for(self, connection: sqlite3.Connection, message: Message) -> bool:
        """Tell whether anything else waits in the lane of `message`."""
        others = (uid for _, uid in connection.execute(_OF_NODE, (message.node,)) if uid != message.uid)
        return is_condition(message) and any(uid not in self._under_way.acknowledged for uid in others)

    def _rest(
        self, connection: sqlite3.Connection, limit: int, *, may_go: Callable[[Message], bool]
    ) -> list[Place]:
        """Find what is no condition."""
        backlog_until = self.backlog_until(connection)
        fresh: list[Place] = []
        if self._taken_until < backlog_until:
            rows = _rows(connection, backlog_until)
            fresh = list(islice((row for row in rows if may_go(row[1])), self._share_of_fresh(limit)))
        besides = {position for position, _ in fresh}
        return fresh + self._oldest(connection, limit - len(fresh), besides=besides, may_go=may_go)

    def _share_of_fresh(self, limit: int) -> int:
        """Return how many of `limit` messages may be fresh while there is a backlog; of an odd one in turns."""
        self._is_turn_of_backlog ^= limit % 2 == 1
        return (limit + (not self._is_turn_of_backlog)) // 2

    def _oldest(
        self,
        connection: sqlite3.Connection,
        limit: int,
        *,
        besides: Collection[int],
        may_go: Callable[[Message], bool],
    ) -> list[Place]:
        """Find what has waited for longest `besides` what was found already, and note up to where all is taken."""
        found: list[Place] = []
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


def _read(connection: sqlite3.Connection, position: int) -> Place:
    row = connection.execute(f"{SELECT} WHERE position = ?", (position,)).fetchone()
    return row[0], Message(*row[1:])
