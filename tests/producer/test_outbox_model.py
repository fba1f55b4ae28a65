"""An outbox against what it promises, told in plain lists, whatever is done to it in whatever order."""

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.producer.conftest import message
from tocsin_producer.database import Database
from tocsin_producer.message import Message, Receipt, is_condition, is_urgent
from tocsin_producer.outbox import Outbox

ROOM = 4
_UIDS = st.sampled_from("abcdef")
#: The Events of which a state may be a condition, and of which node.
_NODES = dict.fromkeys("abc", "pi-1") | dict.fromkeys("def", "pi-2")


class Outside(RuleBasedStateMachine):
    """What intake and link do with an outbox. It has no room for all, and a transaction may come to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(None)
        self.outbox = Outbox(self.database, max_messages=ROOM, max_bytes=10**6)
        self.counts: dict[str, int] = {}
        #: The highest count of each Event that was handed over in this connection, and that the broker has.
        self.handed: dict[str, int] = {}
        self.told: dict[str, int] = {}
        self.under_way: list[Message] = []
        #: The states that were put last, in their order: those of conditions leave in this one.
        self.newest: dict[str, Message] = {}
        self.receipts: list[Receipt] = []
        #: The last position when the first message of this connection was taken.
        self.backlog_until: int | None = None

    def teardown(self) -> None:
        self.database.close()

    def rows(self) -> list[tuple[int, str, int]]:
        with self.database.transaction() as connection:
            return connection.execute("SELECT position, uid, count FROM outbox ORDER BY position").fetchall()

    def kept(self) -> set[str]:
        """Return the Events whose state in the outbox is what the broker has acknowledged."""
        counts = {uid: count for _, uid, count in self.rows()}
        return {
            receipt.uid
            for receipt in self.receipts
            if receipt is self.outbox._under_way.acknowledged.get(receipt.uid)
            and receipt.count == counts[receipt.uid]
        }

    def waiting_bytes(self) -> int:
        """Return how much room takes up what the broker does not have."""
        kept = self.kept()
        with self.database.transaction() as connection:
            sizes = dict(connection.execute("SELECT uid, size FROM outbox").fetchall())
        return sum(size for uid, size in sizes.items() if uid not in kept)

    def free(self) -> list[tuple[int, str]]:
        """Return what waits, is not under way and is no condition, by position."""
        taken = {one.uid for one in self.under_way} | self.kept()
        return [
            (position, uid)
            for position, uid, _ in self.rows()
            if uid not in taken and not is_condition(self.newest[uid])
        ]

    def conditions(self, leave: Collection[str] = ()) -> list[Message]:
        """Return the conditions that may go: of each node the one that was put first, if none is in flight."""
        held = {one.node for one in self.under_way if is_condition(one)}
        waits = {uid for _, uid, _ in self.rows()} - self.kept()
        found = []
        for one in self.newest.values():
            if one.uid in waits and is_condition(one) and one.node not in held:
                held.add(one.node)
                if one.uid not in leave and one.uid not in [other.uid for other in self.under_way]:
                    found.append(one)
        return found

    @rule(uid=_UIDS, growth=st.integers(1, 3), first=st.booleans(), severity=st.sampled_from([0, 1, 2, 3, 3, 3]))
    def put(self, uid: str, growth: int, severity: int, *, first: bool) -> None:
        self.counts[uid] = self.counts.get(uid, 0) + growth
        payload = "é" * self.counts[uid]
        one = message(uid, self.counts[uid], severity=severity, payload=payload, node=_NODES[uid])
        self.newest.pop(uid, None)
        self.newest[uid] = one
        self.outbox.put(replace(one, first=first))

    @rule(uids=st.lists(_UIDS, max_size=3), severity=st.sampled_from([1, 3]))
    def put_and_fail(self, uids: list[str], severity: int) -> None:
        before = self.rows()
        with suppress(sqlite3.OperationalError), self.database.transaction() as connection:
            for uid in uids:
                self.outbox.put(message(uid, self.counts.get(uid, 0) + 1, severity=severity, node=_NODES[uid]))
            connection.execute("no such statement")
        assert self.rows() == before

    @rule(limit=st.integers(1, 5))
    def take(self, limit: int) -> None:
        conditions, free = [one.uid for one in self.conditions()], self.free()
        is_there_any = len(self.rows()) > len(self.outbox._under_way)
        taken = self.outbox.take(limit)
        if is_there_any and self.backlog_until is None:
            self.backlog_until = max((position for position, *_ in self.rows()), default=0)
        went = {one.uid for one in taken}
        assert len(taken) == len(went) == min(limit, len(conditions) + len(free))
        went_of_nodes = [one.uid for one in taken if is_condition(one)]
        assert went_of_nodes == conditions[: len(went_of_nodes)]
        assert len(went_of_nodes) >= min(len(conditions), limit - (limit + 3) // 4)
        until = self.backlog_until or 0
        backlog = [uid for position, uid in free if position <= until]
        fresh = [uid for position, uid in free if position > until]
        for lane in (backlog, fresh):
            gone = [uid for uid in lane if uid in went]
            assert gone == lane[: len(gone)] == [one.uid for one in taken if one.uid in lane]
        left = limit - len(went_of_nodes)
        assert len(went & set(backlog)) >= min(len(backlog), left // 2)
        self.hand_over(taken)

    @rule(limit=st.integers(1, 5), leave=st.sets(_UIDS, max_size=4), urgent=st.booleans())
    def take_some(self, limit: int, leave: set[str], *, urgent: bool) -> None:
        free = [uid for _, uid in self.free()]
        conditions = [one.uid for one in self.conditions(leave)]
        taken = self.outbox.take(limit, leave=leave, urgent=urgent)
        if len(self.rows()) > len(self.outbox._under_way) - len(taken) and self.backlog_until is None:
            self.backlog_until = max((position for position, *_ in self.rows()), default=0)
        of_nodes = [one.uid for one in taken if is_condition(one)]
        assert of_nodes == conditions[: len(of_nodes)]
        assert len(taken) == limit or len(of_nodes) == len(conditions)
        assert all(is_condition(one) or (one.uid in free and one.uid not in leave) for one in taken)
        assert all(is_urgent(one) for one in taken) or not urgent
        self.hand_over(taken)

    @precondition(lambda self: not self.under_way)
    @rule(uid=_UIDS)
    def take_only(self, uid: str) -> None:
        waits = {uid for _, uid, _ in self.rows()} - self.kept()
        conditions = {one.node: one.uid for one in self.conditions()}
        if uid in waits:
            is_next = not is_condition(self.newest[uid]) or conditions[_NODES[uid]] == uid
            taken = self.outbox.take_only(uid)
            assert (taken is not None) == is_next
            self.hand_over([taken] if taken else [])

    def hand_over(self, taken: list[Message]) -> None:
        for one in taken:
            assert one.count >= self.handed.get(one.uid, 0)
            self.handed[one.uid] = one.count
        self.under_way += taken

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        one = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.told[one.uid] = one.count
        self.receipts.append(self.outbox.acknowledge(one))

    @precondition(lambda self: self.under_way)
    @rule()
    def refuse(self) -> None:
        self.outbox.put_back(self.under_way.pop(0))

    @rule(many=st.integers(1, 4))
    def settle(self, many: int) -> None:
        self.outbox.settle(self.receipts[:many])
        del self.receipts[:many]

    @rule()
    def break_off(self) -> None:
        self.outbox.put_all_back()
        self.under_way, self.receipts, self.backlog_until = [], [], None
        self.handed.clear()

    @invariant()
    def its_sums_are_those_of_its_rows(self) -> None:
        rows = self.rows()
        assert self.outbox.waiting == len(rows) - len(self.kept())
        assert len(rows) <= max(ROOM, len(self.under_way))
        assert self.outbox.bytes - self.outbox._under_way.acknowledged_bytes == self.waiting_bytes()

    @invariant()
    def nothing_is_lost_that_is_not_counted(self) -> None:
        waits = {uid: count for _, uid, count in self.rows()}
        untold = [
            uid for uid, count in self.counts.items() if max(waits.get(uid, 0), self.told.get(uid, 0)) < count
        ]
        assert len(untold) <= self.outbox.lost


TestOutside = Outside.TestCase
TestOutside.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
