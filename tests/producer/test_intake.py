import logging
import sqlite3
from pathlib import Path

import pytest

from tests.fakes.recording import Notification
from tests.producer.conftest import MakePipeline, event
from tocsin_producer.checkpoint import Checkpoint, Seen
from tocsin_producer.database import Database
from tocsin_producer.event import read_event
from tocsin_producer.filter import Rule
from tocsin_producer.intake import severity

WARNINGS = [Rule({"type": "Warning"})]


def test_a_new_event_waits_in_the_outbox_and_wakes_the_link(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.intake.offer([event()], "w")
    assert pipeline.told() == [("uid-1", 3)]
    assert len(pipeline.wakes) == 1


def test_a_held_repeat_that_goes_to_make_room_for_another_wakes_the_link(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(max_messages=4, fold_seconds=1800.0)  # room for one that is held
    for uid in "ab":
        pipeline.intake.offer([event(uid, count=10)], "w")
    pipeline.waiting()
    for sent in pipeline.outbox.take(10):
        pipeline.outbox.settle([pipeline.outbox.acknowledge(sent)])
    pipeline.wakes.clear()
    pipeline.intake.offer([event("a", count=11)], "w")
    assert pipeline.wakes == []
    pipeline.intake.offer([event("b", count=11)], "w")
    assert (pipeline.told(), len(pipeline.wakes)) == ([("a", 11)], 1)


def test_the_same_state_is_told_once(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    for _ in range(3):
        pipeline.intake.offer([event()], "w")
    assert len(pipeline.wakes) == 1
    assert pipeline.intake.sums() == {"accepted": 1, "folded": 0, "repeated": 2, "filtered": 0, "malformed": 0}


def test_a_grown_count_is_news_and_a_lower_one_is_not(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    for count in (3, 4, 2, 4):
        pipeline.intake.offer([event(count=count)], "w")
    assert pipeline.told() == [("uid-1", 4)]
    assert pipeline.intake.sums()["accepted"] == 2


def test_what_the_filter_drops_is_counted_and_not_remembered(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(WARNINGS)
    pipeline.intake.offer([event(type="Normal")], "w")
    assert pipeline.intake.sums()["filtered"] == 1
    assert (pipeline.told(), pipeline.wakes, pipeline.checkpoint.seen("uid-1").count) == ([], [], 0)


def test_a_broken_event_is_counted_and_the_others_of_its_page_are_told(
    make_pipeline: MakePipeline,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = make_pipeline()
    with caplog.at_level(logging.WARNING):
        pipeline.intake.offer([event("a"), {"metadata": None}, None, event("b")], "w")
    assert pipeline.told() == [("a", 3), ("b", 3)]
    assert pipeline.intake.sums()["malformed"] == 2
    assert "metadata.uid: expected a uid" in caplog.text


def test_a_page_is_taken_whole_or_not_at_all(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    with pipeline.database.transaction() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON outbox WHEN NEW.uid = 'b'"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
    with pytest.raises(sqlite3.IntegrityError, match="disk full"):
        pipeline.intake.offer([event("a"), event("b")], "w")
    assert (pipeline.told(), pipeline.checkpoint.seen("a").count, pipeline.intake.sums()["accepted"]) == ([], 0, 0)
    with pipeline.database.transaction() as connection:
        connection.execute("DROP TRIGGER full")
    pipeline.intake.offer([event("a"), event("b")], "w")
    assert pipeline.told() == [("a", 3), ("b", 3)]


def test_a_deleted_event_is_forgotten_and_no_news(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.intake.offer([event()], "w")
    pipeline.intake.forget(event())
    assert pipeline.checkpoint.seen("uid-1").count == 0
    assert pipeline.told() == [("uid-1", 3)]


def test_a_restart_with_a_state_file_tells_only_what_is_new(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    first = make_pipeline(path=tmp_path / "state.db")
    first.intake.offer([event("a"), event("b")], "w")
    for taken in first.outbox.take(10):
        first.outbox.settle([first.outbox.acknowledge(taken)])
    first.database.close()

    second = make_pipeline(path=tmp_path / "state.db")
    second.intake.offer([event("a"), event("b", count=4), event("c")], "w")
    assert second.told() == [("b", 4), ("c", 3)]


def test_every_distinct_state_of_the_recording_that_passes_is_accepted_once(
    make_pipeline: MakePipeline,
    recording: list[Notification],
) -> None:
    pipeline = make_pipeline(WARNINGS)
    states = [read_event(notification.event) for notification in recording]
    expected = {(state.uid, state.count) for state in states if state.type == "Warning"}
    for notification in [*recording, *recording]:
        pipeline.intake.offer([notification.event], "w")
    assert pipeline.intake.sums()["accepted"] == len(expected)
    newest = {uid: max(count for other, count in expected if other == uid) for uid, _ in expected}
    assert dict(pipeline.told()) == newest


def test_conditions_of_nodes_matter_more_than_warnings_and_these_more_than_the_rest() -> None:
    kinds = [event(type=type_, involvedObject={"kind": "Node", "name": "pi-1"}) for type_ in ("Normal", "Warning")]
    ranks = [severity(read_event(value)) for value in (*kinds, event(), event(type="Normal"))]
    assert ranks == [3, 2, 1, 0]


def test_what_a_complete_list_does_not_name_any_more_is_forgotten() -> None:
    checkpoint = Checkpoint(Database(None))
    for uid in ("kept", "gone"):
        checkpoint.remember(uid, Seen(1), "w", is_new=True)
    checkpoint.remember("other", Seen(1), "another watch", is_new=True)
    generation = checkpoint.begin_list()
    checkpoint.remember("kept", Seen(1), "w", is_new=True)
    checkpoint.end_list("w", generation)
    assert [checkpoint.seen(uid).count for uid in ("kept", "gone", "other")] == [1, 0, 1]


def test_the_checkpoint_is_bounded_and_forgets_the_longest_unlisted_first() -> None:
    checkpoint = Checkpoint(Database(None), limit=300)
    for number in range(300):
        checkpoint.remember(f"old-{number}", Seen(1), "w", is_new=True)
    checkpoint.begin_list()
    checkpoint.remember("new", Seen(1), "w", is_new=True)
    remembered = sum(checkpoint.seen(f"old-{number}").count for number in range(300))
    assert (checkpoint.seen("new").count, remembered) == (1, 300 - 256)
