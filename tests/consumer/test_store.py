import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.consumer.messages import NOW, event, payload
from tocsin_consumer.dead_letter_rows import DEAD_PAYLOAD_LIMIT
from tocsin_consumer.errors import StoreError
from tocsin_consumer.losses import Loss
from tocsin_consumer.presence import Link, Presence, Told
from tocsin_consumer.records import Backlog, DeadPayload, Delivery, Entry, Outcome
from tocsin_consumer.sequence import Position
from tocsin_consumer.store import Store
from tocsin_schemas.event import EventPayload

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store("sqlite://")
    yield opened
    opened.close()


def entry(said: EventPayload, *receivers: str, received_at: datetime = NOW) -> Entry:
    return Entry(said, payload(said), received_at, receivers)


def record(store: Store, *entries: Entry) -> None:
    store.record(entries, [], positions={}, now=NOW)


def due(store: Store, receiver: str = "ops", *, now: datetime = NOW, limit: int = 100) -> list[Delivery]:
    return store.due(receiver, now, limit=limit)


def texts(deliveries: list[Delivery]) -> list[str]:
    return [f"{d.notification.event.uid}/{d.notification.event.count}" for d in deliveries]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_what_is_recorded_is_due_for_each_of_its_receivers_in_the_order_of_its_coming(store: Store) -> None:
    record(store, entry(event(uid="a"), "ops", "dump"), entry(event(uid="b"), "ops"), entry(event(uid="c")))
    assert texts(due(store)) == ["a/1", "b/1"]
    assert texts(due(store, "dump")) == ["a/1"]
    assert due(store)[0].notification.event == event(uid="a")
    assert due(store)[0].notification.received_at == NOW


def test_what_is_recorded_outlives_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    first = Store(url)
    first.record([entry(event(), "ops")], [], positions={"edge-1": Position(2, 7)}, now=NOW)
    first.close()
    second = Store(url)
    assert texts(due(second)) == ["uid-1/1"]
    assert second.positions() == {"edge-1": Position(2, 7)}
    second.close()


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    with store._database.transaction() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    store.close()


def test_the_highest_count_of_each_known_event_is_told(store: Store) -> None:
    record(store, entry(event(uid="a", count=3)), entry(event(uid="a", count=9)), entry(event(uid="b", count=1)))
    keys = [("edge-1", "a"), ("edge-1", "b"), ("edge-1", "c"), ("edge-2", "a")]
    assert store.highest_counts(keys) == {("edge-1", "a"): 9, ("edge-1", "b"): 1}
    assert store.highest_counts([]) == {}


def test_a_batch_is_recorded_as_a_whole_or_not_at_all(store: Store) -> None:
    record(store, entry(event(uid="a"), "ops"))
    with pytest.raises(Exception, match="UNIQUE"):
        record(store, entry(event(uid="b"), "ops"), entry(event(uid="a"), "ops"))
    assert texts(due(store)) == ["a/1"]


def test_a_later_state_of_an_event_is_due_when_the_earlier_is_settled(store: Store) -> None:
    record(store, entry(event(count=1), "ops"), entry(event(count=4), "ops"), entry(event(uid="b"), "ops"))
    first, other = due(store)
    assert texts([first, other]) == ["uid-1/1", "b/1"]
    store.settle([Outcome(first, "pending", NOW, reason="busy", due_at=NOW + MINUTE)])
    assert texts(due(store)) == ["b/1"]
    store.settle([Outcome(first, "delivered", NOW)])
    assert texts(due(store)) == ["uid-1/4", "b/1"]


def test_an_earlier_state_that_waits_for_one_receiver_holds_up_no_other(store: Store) -> None:
    record(store, entry(event(count=1), "ops"), entry(event(count=2), "ops", "dump"))
    assert texts(due(store, "dump")) == ["uid-1/2"]


def test_a_failed_delivery_is_due_again_at_its_time_with_its_tries_counted(store: Store) -> None:
    record(store, entry(event(), "ops"))
    store.settle([Outcome(due(store)[0], "pending", NOW, reason="busy", due_at=NOW + MINUTE)])
    assert due(store) == []
    assert store.next_due_at("ops") == NOW + MINUTE
    again = due(store, now=NOW + MINUTE)[0]
    assert again.attempts == 1
    assert again.created_at == NOW


def test_a_clock_that_was_set_back_holds_nothing_up(store: Store) -> None:
    record(store, entry(event(), "ops"))
    for step in (MINUTE, 90 * MINUTE, 180 * MINUTE):
        assert texts(due(store, now=NOW - step)) == ["uid-1/1"]


def test_a_clock_that_was_set_back_makes_no_wait_between_tries_longer(store: Store) -> None:
    record(store, entry(event(), "ops"))
    tried_at = NOW + 120 * MINUTE
    store.settle([Outcome(due(store)[0], "pending", tried_at, reason="busy", due_at=tried_at + MINUTE)])
    assert due(store, now=tried_at) == []
    assert texts(due(store, now=tried_at - 90 * MINUTE)) == ["uid-1/1"]


def test_the_next_time_is_not_that_of_a_state_behind_another(store: Store) -> None:
    record(store, entry(event(count=1), "ops"), entry(event(count=2), "ops"))
    store.settle([Outcome(due(store)[0], "pending", NOW, reason="busy", due_at=NOW + MINUTE)])
    assert store.next_due_at("ops") == NOW + MINUTE
    assert store.next_due_at("dump") is None


def test_a_delivery_that_is_given_up_is_a_dead_letter(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    record(store, entry(event(), "ops"))
    store.settle([Outcome(due(store)[0], "dead", NOW, reason="no such group")])
    assert due(store) == []
    store.close()
    found = rows(tmp_path / "store.db", "SELECT kind, reason, receiver, event FROM dead_letters")
    assert found == [("delivery", "no such group", "ops", 1)]


def test_a_payload_that_nobody_understands_is_kept_up_to_a_length(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    store.record([], [DeadPayload("a/b", b"x" * (DEAD_PAYLOAD_LIMIT + 1), "why", NOW)], positions={}, now=NOW)
    store.close()
    found = rows(tmp_path / "store.db", "SELECT kind, topic, length(payload), reason FROM dead_letters")
    assert found == [("payload", "a/b", DEAD_PAYLOAD_LIMIT, "why")]


def test_a_delivery_that_is_given_up_twice_is_one_dead_letter(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    record(store, entry(event(), "ops"))
    outcome = Outcome(due(store)[0], "dead", NOW, reason="no such group")
    for _ in range(2):  # the first time, the commit seemed to fail
        store.settle([outcome])
    assert rows(tmp_path / "store.db", "SELECT COUNT(*) FROM dead_letters") == [(1,)]


def test_deliveries_to_receivers_that_are_gone_become_dead_letters(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    record(store, entry(event(uid="a"), "ops", "old"), entry(event(uid="b"), "old"))
    assert store.bury_all_but(["ops"], "gone", now=NOW) == 2
    assert store.bury_all_but(["ops"], "gone", now=NOW) == 0
    assert store.backlog() == {"ops": Backlog(1, NOW)}
    store.close()
    assert rows(tmp_path / "store.db", "SELECT receiver, reason, event FROM dead_letters") == [
        ("old", "gone", 1),
        ("old", "gone", 2),
    ]


def test_what_is_old_is_forgotten_but_never_what_is_pending_or_dead(store: Store) -> None:
    old = NOW - timedelta(days=40)
    told, waiting, dead = (entry(event(uid=uid), "ops", received_at=old) for uid in ("told", "waiting", "dead"))
    record(store, told, waiting, dead, entry(event(uid="new")))
    first, _, third = due(store)
    store.settle([Outcome(first, "delivered", NOW), Outcome(third, "dead", NOW, reason="no")])
    assert store.purge(NOW - timedelta(days=30)) == 1
    known = store.highest_counts([("edge-1", uid) for uid in ("told", "waiting", "dead", "new")])
    assert sorted(uid for _, uid in known) == ["dead", "new", "waiting"]


def test_an_old_dead_letter_is_forgotten_and_its_event_with_it(store: Store) -> None:
    record(store, entry(event(), "ops", received_at=NOW - timedelta(days=60)))
    store.settle([Outcome(due(store)[0], "dead", NOW - timedelta(days=40), reason="no")])
    assert store.purge(NOW - timedelta(days=30)) == 1


def test_what_is_forgotten_at_once_is_bounded(store: Store) -> None:
    record(store, *(entry(event(uid=f"u{number}")) for number in range(5)))
    assert [store.purge(NOW + MINUTE, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is not a database, but long enough to look like one" * 100)
    with pytest.raises(StoreError, match="store.db: file is not a database"):
        Store(f"sqlite:///{path}")


def test_a_damaged_database_is_refused_with_what_to_do_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    record(store, *(entry(event(uid=f"u{number}", msg="x" * 2000), "ops") for number in range(100)))
    store.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(StoreError, match="put back a copy of it, or move it away"):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    rows(path, "CREATE TABLE cats (name)")
    with pytest.raises(StoreError, match="holds tables of something else"):
        Store(f"sqlite:///{path}")


def test_what_is_known_about_clusters_outlives_the_process_until_it_is_forgotten(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    away = Presence(
        "edge-1",
        Link.OFFLINE,
        Told.UNSTABLE,
        since=NOW,
        due_at=NOW + MINUTE,
        boot=7,
        heard_at=NOW,
        away_since=NOW - MINUTE,
        drops=4,
        held=3,
        lost=2,
        lost_away=1,
        over_budget=5,
    )
    never = Presence("edge-2", Link.UNSEEN, Told.ABSENT, since=NOW)
    loss = Loss("edge-1", NOW, NOW + MINUTE, in_outbox=2, at_broker=1)
    first = Store(url)
    kept = {"edge-1": away, "edge-2": never}
    first.record([], [], positions={}, presences=kept, losses={"edge-1": loss}, now=NOW)
    first.record([], [], positions={}, presences={"edge-1": replace(away, held=9)}, now=NOW)
    first.close()
    second = Store(url)
    assert second.presences() == [replace(away, held=9), never]
    assert second.losses() == [loss]
    gone: dict[str, None] = {"edge-1": None}
    second.record([], [], positions={}, presences=gone, losses=gone, now=NOW)
    assert second.presences() == [never]
    assert second.losses() == []
    second.close()


def test_a_directory_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open database file"):
        Store(f"sqlite:///{tmp_path}/none/store.db")


def test_a_second_process_is_kept_off_an_exclusive_store_until_the_first_lets_go(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    first = Store(url, exclusive=True)
    with pytest.raises(StoreError, match=rf"in use by another tocsin-consumer \(process {os.getpid()}\)"):
        Store(url, exclusive=True)
    first.close()
    Store(url, exclusive=True).close()


def test_another_name_of_the_same_store_is_kept_off_as_well(tmp_path: Path) -> None:
    (tmp_path / "other.db").symlink_to(tmp_path / "store.db")
    first = Store(f"sqlite:///{tmp_path}/store.db", exclusive=True)
    with pytest.raises(StoreError, match="in use by another tocsin-consumer"):
        Store(f"sqlite:///{tmp_path}/other.db", exclusive=True)
    first.close()


def test_a_store_that_could_not_be_opened_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    rows(path, "CREATE TABLE cats (name)")
    for _ in range(2):
        with pytest.raises(StoreError, match="holds tables of something else"):
            Store(f"sqlite:///{path}", exclusive=True)


def test_an_exclusive_store_needs_its_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"store\.db\.lock cannot be opened: No such file or directory"):
        Store(f"sqlite:///{tmp_path}/none/store.db", exclusive=True)


def test_a_full_disk_is_an_error_that_keeps_what_there_was(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    record(store, entry(event(uid="a"), "ops"))
    with store._database.transaction() as connection:
        connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match="full"):
        record(store, *(entry(event(uid=f"b{number}", msg="x" * 5000), "ops") for number in range(50)))
    assert texts(due(store)) == ["a/1"]
    store.close()


def test_what_is_written_to_a_file_that_was_deleted_or_replaced_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "tocsin.db"
    with closing(Store(f"sqlite:///{file}")) as store:
        store.positions()
        copy = file.read_bytes()
        file.unlink()
        with pytest.raises(StoreError, match="the file was deleted or replaced while it was in use"):
            store.positions()
        file.write_bytes(copy)
        assert store.is_lost
