import sqlite3
from contextlib import suppress

from tocsin_producer.checkpoint import Checkpoint, Seen
from tocsin_producer.database import Database


def listed(checkpoint: Checkpoint, watch: str, *uids: str) -> None:
    generation = checkpoint.begin_list()
    for uid in uids:
        checkpoint.remember(uid, Seen(1), watch, is_new=True)
    checkpoint.end_list(watch, generation)


def told(checkpoint: Checkpoint, *uids: str) -> list[int]:
    return [checkpoint.seen(uid).count for uid in uids]


def test_what_a_watch_knew_that_is_not_configured_any_more_is_forgotten() -> None:
    database = Database(None)
    listed(Checkpoint(database), "type=Normal", "a", "b")
    checkpoint = Checkpoint(database, watches=["type=Warning"])
    listed(checkpoint, "type=Warning", "c")
    assert told(checkpoint, "a", "b", "c") == [0, 0, 1]


def test_what_another_watch_has_taken_over_is_not_forgotten_before_that_has_listed_it() -> None:
    database = Database(None)
    listed(Checkpoint(database), "", "a", "b", "gone")
    checkpoint = Checkpoint(database, watches=["type=Warning", "type=Normal"])
    listed(checkpoint, "type=Warning", "a")
    assert told(checkpoint, "a", "b", "gone") == [1, 1, 1]
    listed(checkpoint, "type=Normal", "b")
    assert told(checkpoint, "a", "b", "gone") == [1, 1, 0]


def test_what_only_an_earlier_configuration_watched_is_forgotten_though_that_came_to_nothing_at_first() -> None:
    database = Database(None)
    listed(Checkpoint(database), "", "a")
    checkpoint = Checkpoint(database, watches=["type=Warning"])
    with suppress(sqlite3.OperationalError), database.transaction() as connection:
        checkpoint.end_list("type=Warning", checkpoint.begin_list())
        connection.execute("no such statement")
    assert told(checkpoint, "a") == [1]
    listed(checkpoint, "type=Warning")
    assert told(checkpoint, "a") == [0]
