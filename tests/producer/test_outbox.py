import itertools
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.producer.conftest import message
from tocsin_producer import lanes as lanes_module
from tocsin_producer.database import Database
from tocsin_producer.message import CONDITION_SEVERITY, NODE_SEVERITY, Message, Receipt
from tocsin_producer.outbox import Outbox


def finish(outbox: Outbox, message: Message) -> None:
    """Let the broker have `message` for good."""
    outbox.settle([outbox.acknowledge(message)])


def make(database: Database | None = None, *, max_messages: int = 100, max_bytes: int = 10**6) -> Outbox:
    return Outbox(database or Database(None), max_messages=max_messages, max_bytes=max_bytes)


def uids(messages: list[Message]) -> list[tuple[str, int]]:
    return [(taken.uid, taken.count) for taken in messages]


def test_the_oldest_leaves_first() -> None:
    outbox = make()
    for uid in "abc":
        outbox.put(message(uid))
    assert uids(outbox.take(2)) == [("a", 1), ("b", 1)]
    assert uids(outbox.take(2)) == [("c", 1)]


def test_a_newer_state_takes_the_place_of_the_one_that_waits() -> None:
    outbox = make()
    for waiting in (message("a", 1), message("b", 1), message("a", 2)):
        outbox.put(waiting)
    assert outbox.waiting == 2
    assert uids(outbox.take(10)) == [("a", 2), ("b", 1)]


def test_of_one_event_only_one_state_is_under_way() -> None:
    outbox = make()
    outbox.put(message("a", 1))
    (first,) = outbox.take(10)
    outbox.put(message("a", 2))
    assert outbox.take(10) == []
    finish(outbox, first)
    assert uids(outbox.take(10)) == [("a", 2)]


def test_a_message_leaves_when_it_is_acknowledged() -> None:
    outbox = make()
    outbox.put(message("a"))
    finish(outbox, outbox.take(1)[0])
    assert (outbox.waiting, outbox.take(1)) == (0, [])


def test_the_acknowledgement_of_an_old_state_does_not_take_the_new_one_with_it() -> None:
    outbox = make()
    outbox.put(message("a", 1))
    (first,) = outbox.take(1)
    outbox.put(message("a", 2))
    finish(outbox, first)
    assert outbox.waiting == 1


def test_what_was_under_way_is_taken_again_after_the_connection_is_gone() -> None:
    outbox = make()
    outbox.put(message("a"))
    outbox.take(1)
    outbox.put_all_back()
    assert uids(outbox.take(1)) == [("a", 1)]


def test_what_was_refused_is_taken_again() -> None:
    outbox = make()
    outbox.put(message("a"))
    outbox.put_back(outbox.take(1)[0])
    assert uids(outbox.take(1)) == [("a", 1)]


def test_when_it_is_full_the_oldest_of_the_least_severe_goes_and_is_counted() -> None:
    outbox = make(max_messages=3)
    for waiting in (message("node", severity=2), message("old"), message("info", severity=0), message("new")):
        outbox.put(waiting)
    assert uids(outbox.take(10)) == [("node", 1), ("old", 1), ("new", 1)]
    assert outbox.lost == 1


def test_it_is_bounded_in_bytes_as_well() -> None:
    outbox = make(max_bytes=2500)
    for number in range(10):
        outbox.put(message(str(number), payload="x" * 1000))
    assert uids(outbox.take(10)) == [("8", 1), ("9", 1)]
    assert (outbox.waiting, outbox.lost) == (2, 8)


def test_what_is_under_way_is_not_given_up_for_want_of_room() -> None:
    outbox = make(max_messages=2)
    outbox.put(message("a"))
    outbox.put(message("b"))
    (under_way,) = outbox.take(1)
    outbox.put(message("c"))
    finish(outbox, under_way)
    assert uids(outbox.take(10)) == [("c", 1)]
    assert outbox.lost == 1


def test_through_a_day_without_a_link_it_stays_within_its_bounds_and_tells_what_it_lost(tmp_path: Path) -> None:
    """A storm of 20,000 states of 6,000 Events, a third of them severe, with room for 300 or 100 kB."""
    path = tmp_path / "outbox.db"
    database = Database(path)
    outbox = make(database, max_messages=300, max_bytes=100_000)
    latest: dict[str, int] = {}
    for number in range(20_000):
        uid = f"event-{number * 7919 % 6000}"
        latest[uid] = latest.get(uid, 0) + 1
        payload = "x" * (100 + number % 500)
        outbox.put(message(uid, latest[uid], severity=2 if number % 3 == 0 else 1, payload=payload))
        assert (outbox.waiting <= 300, outbox.bytes <= 100_000) == (True, True)
    database.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_000_000

    again = make(Database(path), max_messages=300, max_bytes=100_000)
    waiting = again.take(10_000)
    assert {taken.severity for taken in waiting} == {2}
    assert len({taken.uid for taken in waiting}) == len(waiting) == again.waiting > 100
    assert all(taken.count <= latest[taken.uid] for taken in waiting)
    assert again.lost == again.losses["room"] >= 6000 - len(waiting)


def test_it_tells_how_long_the_oldest_has_waited_and_never_less_than_nothing() -> None:
    time = [1000.0]
    outbox = Outbox(Database(None), max_messages=10, max_bytes=1000, now=lambda: time[0])
    assert outbox.oldest_seconds() == 0
    outbox.put(message("a", 1))
    time[0] = 1030.0
    outbox.put(message("b"))
    outbox.put(message("a", 2))
    assert outbox.oldest_seconds() == 30
    outbox.acknowledge(outbox.take(1)[0])
    assert outbox.oldest_seconds() == 0
    outbox.put_all_back()
    time[0] = 5.0
    assert outbox.oldest_seconds() == 0


def test_what_is_left_out_stays_and_can_be_taken_alone() -> None:
    outbox = make()
    outbox.put(message("a"))
    outbox.put(message("b"))
    assert uids(outbox.take(10, leave=["a"])) == [("b", 1)]
    assert outbox.take_only("a") == message("a")
    assert outbox.take_only("c") is None
    assert outbox.take(10) == []


def test_what_was_delivered_stays_under_way_until_that_is_written() -> None:
    database = Database(None)
    outbox = make(database)
    outbox.put(message("a"))
    (taken,) = outbox.take(1)
    with database.transaction() as connection:
        connection.execute("CREATE TRIGGER full BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.Error):
        finish(outbox, taken)
    assert (outbox.waiting, outbox.take(1), outbox.bytes) == (0, [], taken.size)


def test_a_newer_state_goes_at_once_when_the_broker_has_acknowledged_the_older_one() -> None:
    outbox = make()
    outbox.put(message("a", 1))
    receipt = outbox.acknowledge(*outbox.take(1))
    outbox.put(message("a", 2))
    assert outbox.waiting == 1
    (newer,) = outbox.take(1)
    outbox.settle([receipt])
    assert (newer.count, outbox.take(1), outbox.waiting) == (2, [], 1)
    finish(outbox, newer)
    assert (outbox.waiting, outbox.bytes) == (0, 0)


def test_a_newer_state_that_comes_while_the_older_one_is_settled_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(None)
    outbox = make(database)
    outbox.put(message("a", 1))
    receipt = outbox.acknowledge(*outbox.take(1))

    @contextmanager
    def just_after_another() -> Iterator[sqlite3.Connection]:
        with monkeypatch.context() as patched:
            patched.setattr(database, "transaction", transaction)
            outbox.put(message("a", 2))
        with transaction() as connection:
            yield connection

    transaction = database.transaction
    with monkeypatch.context() as patched:
        patched.setattr(database, "transaction", just_after_another)
        outbox.settle([receipt])
    assert uids(outbox.take(1)) == [("a", 2)]


def test_how_full_it_is_can_be_asked_while_the_link_notes_what_is_acknowledged() -> None:
    outbox = make()
    for number in range(100):
        outbox.put(message(str(number)))
    errors: list[RuntimeError] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                assert outbox.fullness <= 1
        except RuntimeError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    switch_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        asking.start()
        for _ in range(20):
            taken = outbox.take(100)
            for one in taken:
                outbox.acknowledge(one)
            for one in taken:
                outbox.put_back(one)
    finally:
        sys.setswitchinterval(switch_seconds)
        done.set()
        asking.join()
    assert errors == []


def test_a_newer_state_that_came_before_the_acknowledgement_goes_at_once_as_well() -> None:
    outbox = make()
    outbox.put(message("a", 1))
    (older,) = outbox.take(1)
    outbox.put(message("a", 2))
    finish(outbox, older)
    assert [taken.count for taken in outbox.take(1)] == [2]


def test_what_the_broker_has_acknowledged_makes_room_and_is_no_loss() -> None:
    outbox = make(max_messages=2)
    outbox.put(message("a"))
    outbox.put(message("b"))
    for taken in outbox.take(2):
        outbox.acknowledge(taken)
    outbox.put(message("c"))
    outbox.put(message("d"))
    assert (outbox.waiting, outbox.lost, outbox.fullness) == (2, 0, 1.0)
    outbox.put(message("e"))
    assert (outbox.waiting, outbox.lost) == (2, 1)


def test_after_a_break_what_was_acknowledged_and_not_settled_waits_again() -> None:
    outbox = make()
    outbox.put(message("a"))
    (taken,) = outbox.take(1)
    outbox.acknowledge(taken)
    outbox.put_all_back()
    assert outbox.waiting == 1
    assert outbox.take(1) == [taken]


def test_a_message_that_no_broker_can_take_is_counted_as_lost() -> None:
    outbox = make()
    outbox.put(message("a"))
    outbox.give_up(outbox.take(1)[0])
    assert (outbox.waiting, outbox.lost) == (0, 1)


def test_a_file_keeps_what_waits_and_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "state" / "outbox.db"
    database = Database(path)
    outbox = make(database, max_messages=2)
    for uid in "abc":
        outbox.put(message(uid))
    outbox.take(1)
    database.close()

    again = make(Database(path), max_messages=2)
    assert (again.waiting, again.lost) == (2, 1)
    assert uids(again.take(10)) == [("b", 1), ("c", 1)]


def test_a_transaction_that_fails_leaves_everything_as_it_was() -> None:
    database = Database(None)
    outbox = make(database)
    outbox.put(message("a"))
    with pytest.raises(sqlite3.IntegrityError):
        put_and_fail(database, outbox)
    assert outbox.waiting == 1
    assert uids(outbox.take(10)) == [("a", 1)]


def test_what_was_to_make_room_in_a_transaction_that_fails_goes_again() -> None:
    database = Database(None)
    outbox = make(database, max_messages=2)
    outbox.put(message("a"))
    outbox.put(message("c"))
    for taken in outbox.take(2):
        outbox.acknowledge(taken)
    with pytest.raises(sqlite3.IntegrityError):
        put_and_fail(database, outbox)
    assert (outbox.waiting, uids(outbox.take(10))) == (1, [("a", 1)])


def test_a_read_that_fails_half_way_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = make()
    outbox.put(message("backlog"))
    drain(outbox, 1)
    for uid in "abc":
        outbox.put(message(uid))

    def fail_half_way(connection: sqlite3.Connection, after: int) -> Iterator[tuple[int, Message]]:
        yield from itertools.islice(rows(connection, after), 2)
        raise sqlite3.OperationalError("disk I/O error")

    rows = lanes_module._rows
    with monkeypatch.context() as patched:
        patched.setattr(lanes_module, "_rows", fail_half_way)
        with pytest.raises(sqlite3.OperationalError):
            outbox.take(10)
    assert uids(outbox.take(10)) == [("a", 1), ("b", 1), ("c", 1)]


def put_and_fail(database: Database, outbox: Outbox) -> None:
    with database.transaction() as connection:
        outbox.put(message("b"))
        connection.execute("INSERT INTO outbox (uid) VALUES ('incomplete')")


_STEPS = st.lists(st.tuples(st.sampled_from(["put", "take", "ack", "cut"]), st.sampled_from("abcde")), max_size=60)


@given(steps=_STEPS, room=st.integers(1, 4))
def test_every_event_is_acknowledged_waiting_or_counted_as_lost_and_never_goes_backwards(
    steps: list[tuple[str, str]],
    room: int,
) -> None:
    outbox = make(max_messages=room)
    counts: dict[str, int] = dict.fromkeys("abcde", 0)
    acknowledged: dict[str, int] = {}
    under_way: list[Message] = []
    for step, uid in steps:
        if step == "put":
            counts[uid] += 1
            outbox.put(message(uid, counts[uid]))
        elif step == "take":
            under_way += outbox.take(2)
        elif step == "cut":
            under_way.clear()
            outbox.put_all_back()
        elif under_way:
            done = under_way.pop(0)
            assert done.count > acknowledged.get(done.uid, 0)
            acknowledged[done.uid] = done.count
            finish(outbox, done)
    outbox.put_all_back()
    waiting = {left.uid: left.count for left in outbox.take(100)}
    assert len(waiting) == outbox.waiting <= room + len(under_way)
    untold = [
        uid
        for uid, count in counts.items()
        if count and max(acknowledged.get(uid, 0), waiting.get(uid, 0)) < count
    ]
    assert len(untold) <= outbox.lost


def test_what_the_broker_has_acknowledged_takes_no_room_away_from_what_comes() -> None:
    outbox = Outbox(Database(None), max_messages=100, max_bytes=100)
    outbox.put(message("a", payload="é" * 24))  # 49 bytes with its topic
    assert outbox.fullness == 0.49
    outbox.acknowledge(outbox.take(1)[0])
    assert outbox.fullness == 0
    outbox.put(message("b", payload="x" * 9))
    assert outbox.fullness == 0.1
    outbox.put_all_back()
    assert outbox.fullness == 0.59


def test_it_is_as_full_as_the_bound_that_is_nearer() -> None:
    database = Database(None)
    outbox = Outbox(database, max_messages=4, max_bytes=100)
    outbox.put(message("a", payload=""))
    assert outbox.fullness == 0.25
    outbox.put(message("b", payload="x" * 73))
    assert outbox.fullness == 0.75


def test_a_streak_of_losses_is_told_at_its_beginning_and_summed_up_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outbox = Outbox(Database(None), max_messages=4, max_bytes=10_000)
    with caplog.at_level("INFO"):
        for streak in (1, 2):
            for number in range(9):
                outbox.put(message(f"{streak}-{number}"))
            for taken in outbox.take(4):
                finish(outbox, taken)
    assert [(record.levelname, record.message.partition(";")[2]) for record in caplog.records] == [
        ("WARNING", ""),
        ("INFO", " 5 events were given up"),
    ] * 2


def drain(outbox: Outbox, limit: int) -> list[str]:
    """Take once, let the broker have it for good, and return whose it was."""
    taken = outbox.take(limit)
    for one in taken:
        finish(outbox, one)
    return [one.uid for one in taken]


@pytest.mark.parametrize(("limit", "turns"), [(4, 2), (1, 8)])
def test_what_happens_while_a_backlog_leaves_is_not_stuck_behind_it(limit: int, turns: int) -> None:
    outbox = make()
    for number in range(40):
        outbox.put(message(f"old-{number:02}"))
    drain(outbox, 2)
    for number in range(10):
        outbox.put(message(f"new-{number}"))
    went = [uid for _ in range(turns) for uid in drain(outbox, limit)]
    assert sorted(uid for uid in went if uid.startswith("new")) == ["new-0", "new-1", "new-2", "new-3"]
    assert [uid for uid in went if uid.startswith("old")] == ["old-02", "old-03", "old-04", "old-05"]


def test_with_nothing_new_a_backlog_has_the_whole_window() -> None:
    outbox = make()
    for number in range(9):
        outbox.put(message(f"{number}"))
    assert drain(outbox, 5) == ["0", "1", "2", "3", "4"]
    assert drain(outbox, 5) == ["5", "6", "7", "8"]


def test_once_a_backlog_has_left_the_oldest_leave_first_again() -> None:
    outbox = make()
    outbox.put(message("old"))
    drain(outbox, 2)
    for number in range(4):
        outbox.put(message(f"{number}"))
    assert [drain(outbox, 1) for _ in range(4)] == [["0"], ["1"], ["2"], ["3"]]


def test_what_waits_when_a_connection_breaks_is_the_backlog_of_the_next() -> None:
    outbox = make()
    outbox.put(message("a"))
    drain(outbox, 1)
    for uid in "bcde":
        outbox.put(message(uid))
    outbox.put_all_back()
    outbox.take(0)
    assert drain(outbox, 1) == ["b"]
    outbox.put(message("f"))
    assert drain(outbox, 2) == ["f", "c"]


def test_only_what_is_urgent_is_taken_if_so_asked_and_the_rest_later() -> None:
    outbox = make()
    outbox.put(message("repeat", 2))
    outbox.put(message("node", 2, severity=NODE_SEVERITY))
    outbox.put(replace(message("first"), first=True))
    assert outbox.waiting_not_urgent() == 1
    assert uids(outbox.take(10, urgent=True)) == [("node", 2), ("first", 1)]
    assert outbox.take(10, urgent=True) == []
    assert uids(outbox.take(10)) == [("repeat", 2)]


def test_a_first_state_that_is_replaced_while_it_waits_is_still_the_first() -> None:
    outbox = make()
    outbox.put(replace(message("a", 1), first=True))
    outbox.put(message("a", 2))
    assert [one.first for one in outbox.take(1)] == [True]


def test_a_state_waits_until_it_is_under_way() -> None:
    outbox = make()
    assert not outbox.is_waiting("a")
    outbox.put(message("a", 1))
    assert outbox.is_waiting("a")
    (first,) = outbox.take(1)
    assert not outbox.is_waiting("a")
    outbox.put(message("a", 2))
    assert outbox.is_waiting("a")
    outbox.acknowledge(first)
    assert outbox.is_waiting("a")


def test_a_message_that_was_put_back_goes_before_younger_ones() -> None:
    outbox = make()
    for uid in "abcd":
        outbox.put(message(uid))
    first, _ = outbox.take(2)
    outbox.put_back(first)
    assert uids(outbox.take(2)) == [("a", 1), ("c", 1)]


def test_what_is_given_up_takes_no_newer_state_of_its_event_with_it_and_is_then_no_loss() -> None:
    outbox = make()
    outbox.put(message("a", 1))
    (first,) = outbox.take(1)
    outbox.put(message("a", 2))
    outbox.give_up(first)
    assert outbox.lost == 0
    assert uids(outbox.take(1)) == [("a", 2)]


def condition(uid: str, count: int = 1, *, node: str = "pi-1") -> Message:
    return message(uid, count, severity=CONDITION_SEVERITY, node=node)


def drain_all(outbox: Outbox, limit: int = 16) -> list[tuple[str, int]]:
    """Let the broker have all that goes, and return it in the order in which it left."""
    left: list[tuple[str, int]] = []
    while taken := outbox.take(limit):
        left += uids(taken)
        outbox.settle([outbox.acknowledge(one) for one in taken])
    return left


def test_a_condition_of_a_node_waits_behind_what_came_before_its_newest_state() -> None:
    outbox = make()
    for one in (condition("not-ready", 1), condition("ready", 1), condition("not-ready", 2)):
        outbox.put(one)
    assert drain_all(outbox) == [("ready", 1), ("not-ready", 2)]


def test_conditions_of_nodes_leave_before_all_that_waits() -> None:
    outbox = make(max_messages=2000)
    for number in range(1000):
        outbox.put(message(f"old-{number}"))
    outbox.begin_connection()
    outbox.put(message("fresh"))
    outbox.put(condition("not-ready"))
    outbox.put(condition("elsewhere", node="pi-2"))
    assert uids(outbox.take(4)) == [("not-ready", 1), ("elsewhere", 1), ("fresh", 1), ("old-0", 1)]


def test_of_each_node_one_condition_is_in_flight_and_the_next_goes_when_it_is_acknowledged() -> None:
    outbox = make()
    outbox.put(condition("ready", 1))
    (first,) = outbox.take(1)
    for one in (condition("ready", 2), condition("not-ready"), condition("elsewhere", node="pi-2"), message("a")):
        outbox.put(one)
    assert uids(outbox.take(10)) == [("elsewhere", 1), ("a", 1)]
    outbox.acknowledge(first)
    (second,) = outbox.take(10)
    assert uids([second]) == [("ready", 2)]
    outbox.acknowledge(second)
    assert uids(outbox.take(10)) == [("not-ready", 1)]


def test_a_condition_that_is_left_or_was_put_back_holds_back_the_later_ones_of_its_node() -> None:
    outbox = make()
    for one in (condition("ready"), condition("not-ready"), condition("elsewhere", node="pi-2")):
        outbox.put(one)
    assert uids(outbox.take(10, leave=["ready"])) == [("elsewhere", 1)]
    (ready,) = outbox.take(10)
    outbox.put_back(ready)
    assert outbox.waiting == 3
    assert uids(outbox.take(10)) == [("ready", 1)]


def test_a_condition_that_waits_for_an_older_one_of_its_node_is_not_taken_alone() -> None:
    outbox = make()
    for one in (condition("ready", 1), condition("not-ready"), condition("ready", 2)):
        outbox.put(one)
    assert outbox.take_only("ready") is None
    older = outbox.take_only("not-ready")
    assert older == condition("not-ready")
    assert outbox.take_only("ready") is None
    outbox.acknowledge(older)
    assert outbox.take_only("ready") == condition("ready", 2)


def test_a_condition_is_waited_for_by_what_came_after_it_of_its_node() -> None:
    outbox = make()
    for one in (condition("told"), condition("ready"), condition("elsewhere", node="pi-2"), message("a")):
        outbox.put(one)
    told, *_ = outbox.take(1)
    outbox.acknowledge(told)
    assert not outbox.is_waited_for(condition("ready"))
    outbox.put(condition("not-ready"))
    assert outbox.is_waited_for(condition("ready"))
    assert not outbox.is_waited_for(message("a"))


@pytest.mark.parametrize("limit", [1, 4, 16])
def test_a_storm_of_conditions_leaves_one_of_four_messages_to_the_rest(limit: int) -> None:
    outbox = make()
    for number in range(32):
        outbox.put(condition(f"condition-{number}", node=f"pi-{number}"))
        outbox.put(message(f"warning-{number}"))
    went = [uid for _ in range(16 // limit) for uid in drain(outbox, limit)]
    assert [uid for uid in went if uid.startswith("warning")] == [f"warning-{number}" for number in range(4)]
    assert [uid for uid in went if uid.startswith("cond")] == [f"condition-{number}" for number in range(12)]


def test_with_nothing_else_conditions_have_the_whole_window() -> None:
    outbox = make()
    for number in range(20):
        outbox.put(condition(f"{number}", node=f"pi-{number}"))
    assert len(drain(outbox, 16)) == 16


def test_only_urgent_things_are_asked_for_and_conditions_are_always() -> None:
    outbox = make()
    outbox.put(message("repeat", 2))
    outbox.put(condition("ready", 2))
    assert uids(outbox.take(10, urgent=True)) == [("ready", 2)]


def test_conditions_that_wait_in_a_file_leave_in_their_order_after_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path / "outbox.db")
    outbox = make(database)
    for one in (message("a"), condition("ready"), condition("not-ready")):
        outbox.put(one)
    outbox.take(1)
    database.close()
    assert drain_all(make(Database(tmp_path / "outbox.db"))) == [("ready", 1), ("a", 1), ("not-ready", 1)]


@pytest.mark.parametrize(
    ("older", "newer"), [(message("a", 1), condition("a", 2)), (condition("a", 1), message("a", 2))]
)
def test_a_state_that_becomes_a_condition_or_no_longer_is_one_still_leaves(older: Message, newer: Message) -> None:
    outbox = make()
    outbox.put(older)
    outbox.put(message("other"))
    taken, _ = outbox.take(2)
    outbox.put(newer)
    assert outbox.take(10) == []
    outbox.acknowledge(taken)
    assert outbox.take(10) == [newer]


def test_thousands_of_conditions_drain_without_each_being_read_for_each() -> None:
    """Of one node, behind one that is held back, and with a Warning behind them all."""
    database = Database(None)
    outbox = make(database, max_messages=10_000)
    outbox.put(condition("refused", node="pi-2"))
    for number in range(2000):
        outbox.put(condition(f"{number}", node=f"pi-{2 + number % 2}"))
    outbox.put(message("warning"))
    thousands_of_steps: list[None] = []
    with database.transaction() as connection:
        connection.set_progress_handler(lambda: thousands_of_steps.append(None), 1000)
    while taken := outbox.take(16, leave=["refused"]):
        outbox.settle([outbox.acknowledge(one) for one in taken])
    assert outbox.waiting == 1001
    assert len(thousands_of_steps) < 500


_NODE_STEPS = ("up", "down", "take", "acknowledge", "refuse", "break", "settle")


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(_NODE_STEPS), st.sampled_from(["pi-1", "pi-2"])), max_size=60),
    st.integers(1, 4),
)
def test_the_last_condition_of_a_node_that_leaves_is_the_last_that_came(
    steps: list[tuple[str, str]], limit: int
) -> None:
    outbox, counts = make(), dict.fromkeys(itertools.product(("up", "down"), ("pi-1", "pi-2")), 0)
    last: dict[str, tuple[str, int]] = {}
    left: dict[str, tuple[str, int]] = {}
    under_way: list[Message] = []
    receipts: list[Receipt] = []
    for step, node in steps:
        if step in ("up", "down"):
            counts[step, node] += 1
            last[node] = (f"{node}-{step}", counts[step, node])
            outbox.put(condition(*last[node], node=node))
        elif step == "take":
            under_way += outbox.take(limit)
            assert len({one.node for one in under_way}) == len(under_way)
        elif step == "acknowledge" and under_way:
            one = under_way.pop(0)
            left[one.node] = (one.uid, one.count)
            receipts.append(outbox.acknowledge(one))
        elif step == "refuse" and under_way:
            outbox.put_back(under_way.pop())
        elif step == "settle":
            outbox.settle(receipts)
            receipts.clear()
        elif step == "break":
            outbox.put_all_back()
            outbox.begin_connection()
            under_way.clear()
            receipts.clear()
    outbox.put_all_back()
    while rest := outbox.take(limit):
        left |= {one.node: (one.uid, one.count) for one in rest}
        outbox.settle([outbox.acknowledge(one) for one in rest])
    assert left == last
