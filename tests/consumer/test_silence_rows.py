from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.consumer.messages import NOW, event, payload
from tocsin_consumer import silence_rows
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.records import Entry
from tocsin_consumer.silence import Silence, State, Wish
from tocsin_consumer.store import Store

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store("sqlite://")
    yield opened
    opened.close()


def wish(hours: float = 2, *, starts_in: float = 0) -> Wish:
    match = MatchSettings(cluster="edge-.*", reason=["BackOff", "Failed"])
    return Wish(match, NOW + starts_in * HOUR, NOW + hours * HOUR, "lena", "new disks — 换磁盘")


def test_a_silence_that_is_added_is_there_as_it_was_said() -> None:
    store = Store("sqlite://")
    added = store.add_silence(wish(), NOW)
    assert store.silences(NOW) == [added]
    assert (added.match, added.starts_at, added.ends_at) == (wish().match, NOW, NOW + 2 * HOUR)
    assert (added.author, added.comment, added.created_at) == ("lena", "new disks — 换磁盘", NOW)


def test_silences_outlive_the_process(tmp_path: Path) -> None:
    first = Store(f"sqlite:///{tmp_path}/store.db")
    added = first.add_silence(wish(), NOW)
    first.close()
    second = Store(f"sqlite:///{tmp_path}/store.db")
    assert second.silences(NOW) == [added]
    second.close()


def test_an_id_is_short_and_no_two_silences_have_the_same(store: Store) -> None:
    ids = iter(["k7wq", "k7wq", "k7wq", "zz22"])
    with store._database.transaction() as connection:
        first, second = (silence_rows.insert(connection, wish(), NOW, lambda: next(ids)) for _ in range(2))
    assert (first.id, second.id) == ("k7wq", "zz22")
    assert len(silence_rows.new_id()) == 4


def test_those_that_end_first_come_first_and_those_that_have_ended_only_when_asked_for(store: Store) -> None:
    late, early = store.add_silence(wish(5), NOW), store.add_silence(wish(1), NOW)
    assert store.silences(NOW) == [early, late]
    assert store.silences(NOW + HOUR) == [late]
    assert store.silences(NOW - DAY) == [early, late]


def test_to_expire_a_silence_notes_its_end_and_keeps_all_else(store: Store) -> None:
    added = store.add_silence(wish(), NOW)
    assert store.expire_silence(added.id, NOW + HOUR)
    [kept] = store.silences(NOW)
    assert kept == Silence(added.match, NOW, NOW + HOUR, added.author, added.comment, id=added.id, created_at=NOW)
    assert kept.state(NOW + HOUR) == State.EXPIRED


def test_what_has_ended_or_never_was_cannot_be_expired(store: Store) -> None:
    added = store.add_silence(wish(1), NOW)
    assert not store.expire_silence(added.id, NOW + HOUR)
    assert not store.expire_silence("none", NOW)
    assert store.silences(NOW) == [added]


def test_a_silence_that_has_not_begun_can_be_expired(store: Store) -> None:
    added = store.add_silence(wish(5, starts_in=4), NOW)
    assert store.expire_silence(added.id, NOW)
    assert store.silences(NOW) == []


def test_a_silence_is_forgotten_once_its_end_is_as_old_as_what_else_is_forgotten(store: Store) -> None:
    ended, going_on = store.add_silence(wish(1), NOW - DAY), store.add_silence(wish(50), NOW - DAY)
    store.purge(ended.ends_at)
    assert store.silences(NOW - DAY) == [ended, going_on]
    store.purge(ended.ends_at + HOUR)
    assert store.silences(NOW - DAY) == [going_on]


def test_a_silence_that_cannot_be_read_holds_nothing_is_named_and_can_be_expired(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    added = store.add_silence(wish(), NOW)
    with store._database.transaction() as connection:
        connection.execute("""UPDATE silences SET match = '{"colour": "red"}'""")
    assert store.silences(NOW) == []
    assert f"silence {added.id} cannot be read" in caplog.text
    assert store.expire_silence(added.id, NOW)
    assert store.silences(NOW) == []


def test_what_came_since_some_time_is_read_page_by_page_in_the_order_of_its_coming(store: Store) -> None:
    ages = [3, 1, 1, 1, 2, 30, 1]
    entries = [
        Entry(event(uid=f"uid-{n}"), payload(event(uid=f"uid-{n}")), NOW - age * HOUR, ())
        for n, age in enumerate(ages)
    ]
    store.record(entries, [], positions={}, now=NOW)
    for page in (1, 2, 3, 100):
        found = list(store.payloads(NOW - DAY, page=page))
        assert found == [entries[n].payload for n in (0, 4, 1, 2, 3, 6)]
