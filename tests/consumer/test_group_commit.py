"""Many messages share a commit: what holds of each of them, whatever the others are and wherever it ends."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import NO_STORMS, NOW, ROOT, RULES, arrival, event
from tocsin_consumer import delivery_rows
from tocsin_consumer.counters import Counters
from tocsin_consumer.database import Connection, in_statements
from tocsin_consumer.feed import Feed
from tocsin_consumer.inbox import Arrival, Inbox
from tocsin_consumer.mute import Mutes
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.records import Entry, Outcome
from tocsin_consumer.route import Route
from tocsin_consumer.settings import RouteSettings
from tocsin_consumer.store import Store

ROUTE = Route(RouteSettings.model_validate({"receivers": ["ops"]}), single=["ops"])

State = tuple[str, int]


class Sut:
    """A feed with its pipeline and a store in memory, and a receiver that takes whatever is due."""

    def __init__(self) -> None:
        self.store = Store("sqlite://")
        self.acknowledged: list[State] = []
        self.told: list[State] = []
        self.start()

    def start(self) -> None:
        self.inbox = Inbox()
        self.pipeline = Pipeline(
            ROOT,
            ROUTE,
            rules=RULES,
            mutes=Mutes(),
            storm_rules=NO_STORMS,
            store=self.store,
            notify=lambda _: None,
            clock=lambda: NOW,
        )
        self.feed = Feed(self.inbox, self.pipeline, acknowledge=self.acknowledge, uplink=lambda: None)

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        decoded = [self.pipeline._decode(one) for one in arrivals]
        self.acknowledged += [state_of(said) for said in decoded]

    def take_in(self, *states: State) -> None:
        for uid, count in states:
            self.inbox.put(arrival(event(uid=uid, count=count)))
        self.feed.step(lambda _: False)

    def deliver(self) -> None:
        while found := self.store.due("ops", NOW, limit=3):
            self.told += [state_of(delivery.notification.event) for delivery in found]
            self.store.settle([Outcome(delivery, "delivered", NOW) for delivery in found])

    def query(self, sql: str) -> list[Any]:
        with self.store._database.transaction() as connection:
            return connection.execute(sql).fetchall()


def state_of(said: Any) -> State:
    return said.uid, said.count


@pytest.fixture
def sut() -> Iterator[Sut]:
    made = Sut()
    yield made
    made.store.close()


def test_of_a_batch_that_fails_within_its_commit_only_the_message_to_blame_is_a_dead_letter(
    sut: Sut, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    insert = delivery_rows.insert_deliveries

    def fail_of_bad(connection: Connection, entries: Sequence[Entry], ids: Sequence[int], now: datetime) -> None:
        insert(connection, entries, ids, now)
        if any(entry.event.uid == "bad" for entry in entries):
            raise OverflowError("too large")

    monkeypatch.setattr(delivery_rows, "insert_deliveries", fail_of_bad)
    states = [("bad" if number == 5 else f"u{number}", 1) for number in range(12)]
    sut.take_in(*states)
    sut.deliver()
    assert sut.told == [state for state in states if state[0] != "bad"]
    assert sut.acknowledged == states
    assert sut.query("SELECT reason FROM dead_letters") == [("internal error: OverflowError",)]
    assert sut.pipeline.counters == Counters(seen=12, rejected=1, events=11, deliveries=11)
    assert caplog.messages.count("a message failed") == 1


def test_a_batch_that_fails_is_halved_until_who_is_to_blame_is_alone(
    sut: Sut, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    process = sut.pipeline.process

    def fail_of_bad(arrivals: Sequence[Arrival]) -> None:
        sizes.append(len(arrivals))
        if any(b'"bad"' in one.message.payload for one in arrivals):
            raise OverflowError("too large")
        process(arrivals)

    monkeypatch.setattr(sut.pipeline, "process", fail_of_bad)
    sut.take_in(*[(f"u{number}", 1) for number in range(7)], ("bad", 1))
    assert sizes == [8, 4, 4, 2, 2, 1, 1]


def test_what_one_batch_holds_of_an_event_is_told_in_its_order_and_each_state_once(sut: Sut) -> None:
    sut.take_in(("a", 1), ("b", 2), ("a", 1), ("a", 4), ("b", 1), ("a", 2), ("b", 3))
    sut.deliver()
    assert [state for state in sut.told if state[0] == "a"] == [("a", 1), ("a", 4)]
    assert [state for state in sut.told if state[0] == "b"] == [("b", 2), ("b", 3)]
    assert sut.pipeline.counters == Counters(seen=7, events=4, repeats=1, stale=2, deliveries=4)


def test_events_of_a_batch_are_told_in_the_order_in_which_they_came(sut: Sut) -> None:
    states = [(f"u{number}", 1) for number in (3, 1, 4, 15, 9, 2, 6, 5, 35, 8)]
    sut.take_in(*states)
    sut.deliver()
    assert sut.told == states


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 700])
@pytest.mark.parametrize(("width", "most"), [(2, 128), (6, 32), (12, 16)])
def test_rows_share_statements_of_few_lengths_and_of_no_more_values_than_one_may_take(
    count: int, width: int, most: int
) -> None:
    rows = [(number,) * width for number in range(count)]
    runs = list(in_statements(rows))
    assert [row for run in runs for row in run] == rows
    assert {len(run) for run in runs} <= {1 << power for power in range(10)}
    assert max(map(len, runs), default=0) <= most
    assert most * width <= 256
    assert len(runs) <= count // most + most.bit_length()


def test_a_batch_of_more_rows_than_a_statement_takes_is_kept_as_a_whole(sut: Sut) -> None:
    entries = [Entry(event(uid=f"u{number}"), b"{}", NOW, ("ops",)) for number in range(700)]
    sut.store.record(entries, [], positions={}, now=NOW)
    keys = [("edge-1", f"u{number}") for number in range(701)]
    assert sut.store.highest_counts(keys) == dict.fromkeys(keys[:700], 1)
    assert sut.query("SELECT event FROM deliveries ORDER BY id") == [(number,) for number in range(1, 701)]


_batches = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=1, max_size=8),
        st.sampled_from(["goes on", "comes again", "is killed before its acknowledgement"]),
        st.booleans(),
    ),
    max_size=8,
)


@given(_batches)
def test_however_messages_share_commits_and_come_again_each_state_is_told_once_and_counts_rise(
    batches: list[tuple[list[State], str, bool]],
) -> None:
    sut = Sut()
    expected: list[State] = []
    highest: dict[str, int] = {}
    for states, what, delivers in batches:
        for uid, count in states:
            if count > highest.get(uid, 0):
                highest[uid] = count
                expected.append((uid, count))
        sut.take_in(*states)
        if what == "is killed before its acknowledgement":
            sut.start()
        if what != "goes on":
            sut.take_in(*states)
        if delivers:
            sut.deliver()
    sut.deliver()
    sut.store.close()
    assert sorted(sut.told) == sorted(expected)
    for name in "abc":
        counts = [count for uid, count in sut.told if uid == name]
        assert counts == sorted(set(counts))
