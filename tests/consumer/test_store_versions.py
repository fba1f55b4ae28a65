"""A store of an older version is taken over with all that it holds, and one of a newer version is refused."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.consumer.desk import Desk
from tests.consumer.messages import NOW, event
from tests.consumer.test_incident_life import silence
from tests.consumer.test_store import due, entry, rows, texts
from tocsin_consumer.errors import StoreError
from tocsin_consumer.mute import Mutes
from tocsin_consumer.presence import Link, Presence, Told
from tocsin_consumer.sequence import Position
from tocsin_consumer.store import Store

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '6'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="has schema version 6, and this version of tocsin knows 5"):
        Store(f"sqlite:///{path}")


#: What makes a database of today one of version 4.
TO_VERSION_4 = """
ALTER TABLE problems ADD COLUMN is_known INTEGER NOT NULL DEFAULT 0;
ALTER TABLE problems RENAME COLUMN begun TO was_begun;
ALTER TABLE problems ADD COLUMN begun BIGINT;
UPDATE problems SET begun = revision WHERE muted_by IS NULL OR incident IN (SELECT incident FROM told);
ALTER TABLE problems DROP COLUMN was_begun;
ALTER TABLE told DROP COLUMN said;
ALTER TABLE told DROP COLUMN gathered;
UPDATE meta SET value = '4';
"""
#: What makes it one of version 3.
TO_VERSION_3 = """
ALTER TABLE deliveries RENAME TO new_deliveries;
DROP INDEX ix_deliveries_event;
DROP INDEX pending;
CREATE TABLE deliveries (
    id INTEGER NOT NULL PRIMARY KEY, event INTEGER NOT NULL REFERENCES events (id), receiver TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, due_at BIGINT NOT NULL, reason TEXT,
    created_at BIGINT NOT NULL, settled_at BIGINT
);
INSERT INTO deliveries
SELECT id, event, receiver, state, attempts, due_at, reason, created_at, settled_at FROM new_deliveries;
DROP TABLE new_deliveries;
CREATE INDEX ix_deliveries_event ON deliveries (event);
CREATE INDEX pending ON deliveries (receiver, id) WHERE state = 'pending';
DROP INDEX ix_dead_letters_incident;
DROP INDEX ix_dead_letters_storm;
ALTER TABLE dead_letters DROP COLUMN incident;
ALTER TABLE dead_letters DROP COLUMN storm;
DROP TABLE enrolled;
DROP TABLE storms;
DROP TABLE told;
DROP TABLE problems;
DROP TABLE incidents;
DROP TABLE silences;
UPDATE meta SET value = '3';
"""


def test_a_database_of_version_3_is_brought_up_to_date_in_place_with_all_that_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    first = Store(url)
    first.record([entry(event(), "ops")], [], positions={}, now=NOW)
    first.record([entry(event(uid="dead"), "old")], [], positions={}, now=NOW)
    first.bury_all_but(["ops"], "gone", now=NOW)
    first.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.executescript(TO_VERSION_3)
    connection.close()
    for _ in range(2):
        store = Store(url)
        assert texts(due(store)) == ["uid-1/1"]
        assert store.live_incidents() == []
        assert store.silences(NOW) == []
        store.close()
    assert rows(tmp_path / "store.db", "SELECT receiver, event, incident FROM dead_letters") == [("old", 2, None)]
    assert rows(tmp_path / "store.db", "SELECT key, value FROM meta") == [("schema_version", "5")]


def test_a_database_of_version_1_is_brought_up_to_date_in_place_with_all_that_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    first = Store(url)
    first.record([entry(event(), "ops")], [], positions={"edge-1": Position(2, 7)}, now=NOW)
    first.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.executescript(TO_VERSION_3)
    connection.executescript("DROP TABLE presences; DROP TABLE losses; UPDATE meta SET value = '1'")
    connection.close()
    for _ in range(2):
        store = Store(url)
        assert texts(due(store)) == ["uid-1/1"]
        assert store.positions() == {"edge-1": Position(2, 7)}
        assert store.presences() == []
        store.close()
    assert rows(tmp_path / "store.db", "SELECT key, value FROM meta") == [("schema_version", "5")]


def test_a_database_of_version_2_is_brought_up_to_date_in_place_with_all_that_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    away = Presence("edge-1", Link.OFFLINE, Told.ABSENT, epoch, boot=7, drops=1, held=3, lost=2, lost_away=1)
    Store(url).close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.executescript(TO_VERSION_3)
    connection.executescript(
        """
        DROP TABLE presences;
        CREATE TABLE presences (
            cluster TEXT NOT NULL PRIMARY KEY, link TEXT NOT NULL, told TEXT NOT NULL, since BIGINT NOT NULL,
            due_at BIGINT, boot BIGINT NOT NULL, heard_at BIGINT, away_since BIGINT, drops BIGINT NOT NULL,
            held BIGINT NOT NULL, lost BIGINT NOT NULL, lost_away BIGINT NOT NULL
        );
        INSERT INTO presences VALUES ('edge-1', 'offline', 'absent', 0, NULL, 7, NULL, NULL, 1, 3, 2, 1);
        UPDATE meta SET value = '2';
        """
    )
    connection.close()
    held = replace(away, over_budget=5)
    for expected in (away, held):
        store = Store(url)
        assert store.presences() == [expected]
        store.record([], [], positions={}, presences={"edge-1": held}, now=NOW)
        store.close()
    assert rows(tmp_path / "store.db", "SELECT key, value FROM meta") == [("schema_version", "5")]


def test_who_knew_of_what_is_muted_in_a_database_of_version_4_is_not_told_of_it_again(tmp_path: Path) -> None:
    silenced, url = Mutes(), f"sqlite:///{tmp_path}/store.db"
    before = Desk({"quiet_after": "1d"}, mutes=silenced, store=url)
    before.say(reason="Known")
    before.pass_(MINUTE)
    silence(before, HOUR, reason="Known")
    silence(before, HOUR, reason="Unknown")
    before.say(reason="Unknown")
    before.pass_(10 * MINUTE)
    before.store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.executescript(TO_VERSION_4)
    connection.close()
    after = Desk({"quiet_after": "1d"}, mutes=silenced, store=url)
    after.clock.advance((before.clock.now - after.clock.now).total_seconds())
    assert [line.reason for report in after.pass_(2 * HOUR) for line in report.lines] == ["Unknown"]
