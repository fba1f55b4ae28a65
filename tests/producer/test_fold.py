import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.producer.conftest import MakePipeline, Pipeline, event, message
from tocsin_producer.checkpoint import NOTHING, Checkpoint, Seen
from tocsin_producer.database import Database
from tocsin_producer.fold import Fold
from tocsin_producer.message import CONDITION_SEVERITY, Message
from tocsin_producer.outbox import Outbox

INTERVAL = 1800.0
DAY = 86_400


class Bench:
    """A fold with a clock, whose outbox is emptied by a broker that takes everything at once."""

    def __init__(self, database: Database | None = None, *, max_messages: int = 1000) -> None:
        self.time = 1_000_000.0
        self.database = database or Database(None)
        self.checkpoint = Checkpoint(self.database)
        self.outbox = Outbox(self.database, max_messages=max_messages, max_bytes=10**9)
        self.fold = Fold(
            self.database,
            self.checkpoint,
            self.outbox,
            interval_seconds=INTERVAL,
            max_messages=max_messages,
            max_bytes=10**9,
            now=lambda: self.time,
        )
        self.firsts: list[str] = []

    def occur(self, count: int, uid: str = "a") -> list[tuple[str, int]]:
        """Let an Event reach `count`, and return what went out."""
        known = self.checkpoint.seen(uid)
        with self.database.transaction():
            seen = self.fold.put(message(uid, count), known)
            self.checkpoint.remember(uid, seen, "w", is_new=known is NOTHING)
        return self.publish()

    def publish(self) -> list[tuple[str, int]]:
        self.fold.release()
        taken: list[Message] = []
        while more := self.outbox.take(1000):
            self.outbox.settle([self.outbox.acknowledge(one) for one in more])
            taken += more
        self.firsts += [one.uid for one in taken if one.first]
        return [(one.uid, one.count) for one in taken]


def test_an_event_is_told_at_once_and_again_when_its_count_has_doubled() -> None:
    bench = Bench()
    told = [count for count in range(1, 20) if bench.occur(count)]
    assert told == [1, 2, 4, 8, 16]
    assert bench.firsts == ["a"]


def test_a_repeat_is_told_when_the_interval_has_passed() -> None:
    bench = Bench()
    bench.occur(10)
    bench.time += INTERVAL - 1
    assert bench.occur(11) == []
    bench.time += 1
    assert bench.occur(12) == [("a", 12)]
    assert bench.occur(13) == []


def test_the_last_repeat_is_told_though_none_follows_it() -> None:
    bench = Bench()
    bench.occur(10)
    bench.occur(11)
    bench.time += 5
    bench.occur(12)
    assert bench.fold.release() == INTERVAL - 5
    bench.time += INTERVAL - 5
    assert bench.publish() == [("a", 12)]
    assert (bench.fold.held, bench.fold.release()) == (0, None)
    assert bench.occur(13) == []  # the interval counts from when it was told


def test_nothing_is_told_again_that_has_nothing_new_to_say() -> None:
    bench = Bench()
    bench.occur(10)
    bench.time += 3 * INTERVAL
    assert bench.publish() == []


def test_what_waits_for_the_link_is_replaced_at_once() -> None:
    bench = Bench()
    bench.fold.put(message("a", 1), NOTHING)
    bench.fold.put(message("a", 10), Seen(9, 9, int(bench.time)))
    (waiting,) = bench.outbox.take(10)
    assert (waiting.count, waiting.first, bench.fold.held) == (10, True, 0)


def test_a_repeat_that_doubles_drops_the_one_that_was_held() -> None:
    bench = Bench()
    bench.occur(10)
    bench.occur(11)
    assert bench.occur(20) == [("a", 20)]
    bench.time += INTERVAL
    assert bench.publish() == []


def test_what_is_held_is_told_after_a_restart(tmp_path: Path) -> None:
    first = Bench(Database(tmp_path / "state.db"))
    first.occur(10)
    first.occur(11)
    first.database.close()
    second = Bench(Database(tmp_path / "state.db"))
    assert (second.fold.held, second.publish()) == (1, [])
    second.time += INTERVAL
    assert second.publish() == [("a", 11)]


def test_a_clock_that_was_set_back_holds_nothing_for_longer_than_the_interval() -> None:
    bench = Bench()
    bench.occur(10)
    bench.occur(11)
    bench.time -= DAY
    assert bench.publish() == [("a", 11)]
    assert bench.occur(12) == []
    bench.time -= DAY
    assert bench.occur(13) == [("a", 13)]


def test_beyond_its_room_what_is_due_first_is_told_instead_of_given_up() -> None:
    bench = Bench(max_messages=8)  # room for two
    for uid in "abc":
        bench.occur(10, uid)
        bench.time += 1
    assert bench.occur(11, "a") == bench.occur(11, "b") == []
    assert bench.occur(11, "c") == [("a", 11)]
    assert (bench.fold.held, bench.outbox.lost) == (2, 0)


def test_when_the_state_cannot_be_written_what_is_held_stays_held(tmp_path: Path) -> None:
    bench = Bench(Database(tmp_path / "state.db"))
    bench.occur(10)
    bench.occur(11)
    with pytest.raises(sqlite3.OperationalError):
        release_and_fail(bench)
    assert (bench.fold.held, bench.outbox.waiting) == (1, 0)
    bench.fold.release_all()
    assert bench.publish() == [("a", 11)]


def release_and_fail(bench: Bench) -> None:
    with bench.database.transaction() as connection:
        bench.fold.release_all()
        connection.execute("no such statement")


def test_a_crash_loop_of_a_day_costs_at_most_sixty_messages() -> None:
    bench = Bench()
    told = []
    for count in range(1, DAY // 10):
        told += bench.occur(count)
        bench.time += 10
    bench.time += INTERVAL
    told += bench.publish()
    assert told[-1] == ("a", DAY // 10 - 1)
    assert len(told) <= 60


def folding(make_pipeline: MakePipeline, now: Callable[[], float]) -> Pipeline:
    return make_pipeline(fold_seconds=INTERVAL, now=now)


def test_the_intake_counts_what_it_holds_and_wakes_nobody_for_it(make_pipeline: MakePipeline) -> None:
    pipeline = folding(make_pipeline, lambda: 1000.0)
    for count in (4, 5, 5, 8):
        pipeline.intake.offer([event("a", count=count)], "w")
        for waiting in pipeline.outbox.take(10):
            pipeline.outbox.acknowledge(waiting)
    assert pipeline.intake.sums() == {"accepted": 2, "folded": 1, "repeated": 1, "filtered": 0, "malformed": 0}
    assert len(pipeline.wakes) == 2


def test_a_list_after_a_restart_tells_nothing_that_is_held(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for expected in ([("a", 4)], [("a", 4)]):
        pipeline = make_pipeline(fold_seconds=INTERVAL, now=lambda: 1000.0, path=path)
        pipeline.intake.offer([event("a", count=4)], "w")
        assert [(json.loads(one.payload)["uid"], one.count) for one in pipeline.outbox.take(10)] == expected
        pipeline.intake.offer([event("a", count=5)], "w")
        assert pipeline.fold.held == 1
        pipeline.database.close()


_STEPS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from([0.0, 60.0, 900.0, INTERVAL])),
    max_size=50,
)


@given(steps=_STEPS, room=st.integers(4, 20))
def test_whatever_comes_each_event_is_told_first_and_last_and_never_backwards(
    steps: list[tuple[str, int, float]], room: int
) -> None:
    bench = Bench(max_messages=room)
    counts: dict[str, int] = {}
    told: list[tuple[str, int]] = []
    for uid, growth, pause in steps:
        if growth:
            counts[uid] = counts.get(uid, 0) + growth
            went = bench.occur(counts[uid], uid)
            assert (uid, counts[uid]) in went or bench.checkpoint.seen(uid).told
            told += went
        bench.time += pause
    bench.time += INTERVAL
    told += bench.publish()
    assert bench.outbox.lost == 0
    for uid, last in counts.items():
        mine = [count for told_uid, count in told if told_uid == uid]
        assert mine == sorted(set(mine))
        assert mine[-1] == last


def condition(bench: Bench, reason: str, count: int, *, node: str = "pi-1") -> list[tuple[str, int]]:
    """Let a condition of a node reach `count`, and return what went out."""
    said = message(reason, count, severity=CONDITION_SEVERITY, node=node)
    known = bench.checkpoint.seen(reason)
    with bench.database.transaction():
        seen = bench.fold.put(said, known, reason=reason)
        bench.checkpoint.remember(reason, seen, "w", is_new=known is NOTHING)
    return bench.publish()


def test_a_node_that_goes_and_comes_back_is_told_each_time() -> None:
    bench = Bench()
    for count in range(1, 8):
        for reason in ("NodeNotReady", "NodeReady"):
            bench.time += 60
            assert condition(bench, reason, count) == [(reason, count)]


def test_that_a_condition_is_as_it_should_be_is_folded_and_never_told_after_what_came_later() -> None:
    bench = Bench()
    assert condition(bench, "NodeHasNoDiskPressure", 8) == [("NodeHasNoDiskPressure", 8)]
    assert condition(bench, "NodeHasNoDiskPressure", 9) == []
    later = condition(bench, "NodeHasDiskPressure", 3)
    assert later == [("NodeHasNoDiskPressure", 9), ("NodeHasDiskPressure", 3)]
    bench.time += INTERVAL
    assert bench.publish() == []


def test_the_end_of_a_pressure_is_told_each_time_that_there_was_one() -> None:
    bench = Bench()
    for count in range(1, 8):
        for reason in ("NodeHasDiskPressure", "NodeHasNoDiskPressure"):
            bench.time += 60
            assert condition(bench, reason, count) == [(reason, count)]


def test_what_changes_of_another_node_makes_no_repeat_of_this_one_news() -> None:
    bench = Bench()
    assert condition(bench, "NodeHasNoDiskPressure", 8)
    assert condition(bench, "NodeNotReady", 1, node="pi-2")
    assert condition(bench, "NodeHasNoDiskPressure", 9) == []
    assert condition(bench, "NodeNotReady", 2) == [("NodeHasNoDiskPressure", 9), ("NodeNotReady", 2)]
    assert condition(bench, "NodeHasNoDiskPressure", 10) == [("NodeHasNoDiskPressure", 10)]


def test_what_is_held_of_another_node_stays_held() -> None:
    bench = Bench()
    for count in (8, 9):
        for node in ("pi-1", "pi-2"):
            went = condition(bench, f"{node}-Starting", count, node=node)
            assert went == ([(f"{node}-Starting", 8)] if count == 8 else [])
    assert condition(bench, "NodeNotReady", 1, node="pi-2") == [("pi-2-Starting", 9), ("NodeNotReady", 1)]
    assert bench.fold.held == 1


def test_of_nodes_that_come_and_go_for_years_no_more_is_known_than_of_a_thousand() -> None:
    bench = Bench()
    for number in range(1100):
        condition(bench, f"{number}-Starting", 8, node=f"pi-{number}")
    assert len(bench.fold._told_since) == 1000
    assert condition(bench, "1099-Starting", 9, node="pi-1099") == []
    assert condition(bench, "0-Starting", 9, node="pi-0") == [("0-Starting", 9)]


def test_a_recovery_that_a_failed_transaction_was_to_tell_is_told_again() -> None:
    bench = Bench()
    condition(bench, "NodeHasNoDiskPressure", 8)
    condition(bench, "NodeHasDiskPressure", 1)
    known = bench.checkpoint.seen("NodeHasNoDiskPressure")
    said = message("NodeHasNoDiskPressure", 9, severity=CONDITION_SEVERITY, node="pi-1")
    with suppress(sqlite3.OperationalError), bench.database.transaction() as connection:
        bench.fold.put(said, known, reason="NodeHasNoDiskPressure")
        connection.execute("no such statement")
    assert condition(bench, "NodeHasNoDiskPressure", 9) == [("NodeHasNoDiskPressure", 9)]


def crowd(bench: Bench, *uids: str) -> None:
    """Let one Event after the other occur once, while the link is down."""
    for uid in uids:
        with bench.database.transaction():
            bench.checkpoint.remember(uid, bench.fold.put(message(uid, 1), NOTHING), "w", is_new=True)


def test_of_an_event_whose_first_occurrence_was_lost_for_room_the_next_is_the_first() -> None:
    bench = Bench(max_messages=2)
    crowd(bench, "a", "b", "c")
    assert bench.outbox.lost == 1
    bench.publish()
    bench.firsts.clear()
    assert bench.occur(2, "a") == [("a", 2)]
    assert bench.occur(3, "a") == []
    bench.occur(2, "b")
    assert bench.firsts == ["a"]


def test_an_event_for_which_there_is_no_room_at_all_counts_as_accepted(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(max_messages=1, fold_seconds=INTERVAL)
    pipeline.outbox.put(message("node", severity=CONDITION_SEVERITY))
    pipeline.intake.offer([event("a", count=4)], "w")
    sums = pipeline.intake.sums()
    assert (sums["accepted"], sums["folded"], pipeline.outbox.lost) == (1, 0, 1)


def test_an_event_for_which_there_is_no_room_at_all_is_not_told() -> None:
    bench = Bench(max_messages=2)
    with bench.database.transaction():
        for uid in "bc":
            bench.outbox.put(message(uid, severity=CONDITION_SEVERITY))
    crowd(bench, "a")
    assert (bench.outbox.lost, bench.checkpoint.seen("a").told) == (1, 0)


def test_a_repeat_that_was_held_and_for_which_there_is_no_room_is_not_told() -> None:
    bench = Bench(max_messages=4)
    bench.occur(10)
    assert bench.occur(11) == []
    for number in range(4):
        bench.outbox.put(message(f"node-{number}", severity=CONDITION_SEVERITY))
    bench.time += INTERVAL
    bench.fold.release()
    assert (bench.outbox.lost, bench.checkpoint.seen("a").told) == (1, 0)
