"""What an upgrade makes of a state file of version 3, as it was written by the release before."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tocsin_producer import database as database_module
from tocsin_producer.checkpoint import Checkpoint, Seen
from tocsin_producer.database import Database, next_boot
from tocsin_producer.errors import StateError
from tocsin_producer.fold import Fold
from tocsin_producer.message import Message
from tocsin_producer.outbox import Outbox
from tocsin_producer.schema import VERSION

#: The tables of version 3, as that release made them.
_VERSION_3: Final = """
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    count INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    first INTEGER NOT NULL,
    size INTEGER NOT NULL,
    put_at REAL NOT NULL
);
CREATE TABLE folded (
    uid TEXT NOT NULL UNIQUE,
    count INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    size INTEGER NOT NULL,
    due_at REAL NOT NULL
);
CREATE INDEX outbox_least_severe ON outbox (severity, position);
CREATE TABLE seen (
    uid PRIMARY KEY,
    count INTEGER NOT NULL,
    told INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    watch INTEGER NOT NULL,
    generation INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 3;
"""
_NOW: Final = 1_000_000.0
_NODE_3, _CONDITION = 2, 3


def payload(uid: str, kind: str = "Pod", name: str = "api-7c9") -> str:
    return json.dumps({"v": 1, "kind": kind, "name": name, "msg": "x" * 300, "uid": uid})


def written_by_version_3(path: Path, *messages: tuple[str, int, str]) -> None:
    """Make the file: each of `messages` is a uid, a severity and a payload, in the order in which they wait."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(_VERSION_3)
    with connection:
        for uid, severity, text in messages:
            connection.execute(
                "INSERT INTO outbox (uid, count, severity, topic, payload, first, size, put_at)"
                " VALUES (?, 7, ?, 't', ?, ?, ?, ?)",
                (uid, severity, text, uid == "first", 1 + len(text), _NOW - 60),
            )
        held = payload("held", "Node", "pi-2")
        connection.execute(
            "INSERT INTO folded VALUES ('held', 9, 3, 't', ?, ?, ?)", (held, 1 + len(held), _NOW + 600)
        )
        connection.execute("INSERT INTO seen VALUES ('held', 9, 8, ?, 5, 2)", (int(_NOW) - 60,))
        connection.execute("INSERT INTO numbers VALUES ('boot', 2000000000), ('lost_room', 4), ('lost_size', 1)")
    connection.close()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    written_by_version_3(
        path,
        ("warning", 1, payload("warning")),
        ("ready", _CONDITION, payload("ready", "Node", "pi-1")),
        ("not-ready", _CONDITION, payload("not-ready", "Node", "pi-1")),
        ("elsewhere", _CONDITION, payload("elsewhere", "Node", "pi-2")),
        ("of-node", _NODE_3, payload("of-node", "Node", "pi-1")),
        ("first", 1, payload("first")),
    )
    return path


def open_outbox(path: Path) -> tuple[Database, Outbox]:
    database = Database(path, now=lambda: _NOW)
    return database, Outbox(database, max_messages=5000, max_bytes=10**9, now=lambda: _NOW)


def leave(outbox: Outbox) -> list[list[Message]]:
    """Let the broker take all, and return it as it went: what is in one list was in flight together."""
    bursts = []
    while taken := outbox.take(16):
        bursts.append(taken)
        outbox.settle([outbox.acknowledge(one) for one in taken])
    return bursts


def test_what_waited_goes_out_in_its_order_and_conditions_node_by_node(old: Path) -> None:
    _, outbox = open_outbox(old)
    assert (outbox.waiting, outbox.oldest_seconds()) == (6, 60)
    bursts = leave(outbox)
    assert [[one.uid for one in burst] for burst in bursts] == [
        ["ready", "elsewhere", "warning", "of-node", "first"],
        ["not-ready"],
    ]
    went = {one.uid: one for burst in bursts for one in burst}
    assert went["warning"] == Message("warning", 7, 1, "t", payload("warning"))
    assert went["first"].first
    assert (went["ready"].node, went["of-node"].node, went["elsewhere"].node) == ("pi-1", "pi-1", "pi-2")


def test_counts_boot_losses_and_what_is_held_go_on(old: Path) -> None:
    database, outbox = open_outbox(old)
    checkpoint = Checkpoint(database)
    fold = Fold(
        database,
        checkpoint,
        outbox,
        interval_seconds=1800,
        max_messages=100,
        max_bytes=10**6,
        now=lambda: _NOW + 600,
    )
    assert checkpoint.seen("held") == Seen(9, 8, int(_NOW) - 60)
    assert next_boot(database, now=lambda: 5.0) == 2_000_000_001
    assert dict(outbox.losses) == {"room": 4, "size": 1}
    assert fold.held == 1
    fold.release()
    held = [one for burst in leave(outbox) for one in burst if one.uid == "held"]
    assert [(one.count, one.node) for one in held] == [(9, "pi-2")]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"kind":"Node"}', '{"kind":"Node","name":null}'])
def test_what_cannot_be_read_names_no_node_and_still_goes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.db"
    written_by_version_3(path, ("odd", _CONDITION, text), ("next", _CONDITION, text), ("a", 1, text))
    bursts = leave(open_outbox(path)[1])
    assert [[(one.uid, one.node) for one in burst] for burst in bursts] == [
        [("odd", ""), ("a", "")],
        [("next", "")],
    ]


def test_the_tables_are_those_of_a_file_that_was_begun_anew(old: Path, tmp_path: Path) -> None:
    open_outbox(old)[0].close()
    open_outbox(tmp_path / "new.db")[0].close()
    assert tables(old) == tables(tmp_path / "new.db")


def tables(path: Path) -> tuple[int, dict[str, list[tuple[object, ...]]]]:
    connection = sqlite3.connect(path)
    try:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
        columns = {
            name: [
                *connection.execute(f"PRAGMA table_info({name})"),
                *connection.execute(f"PRAGMA index_info({name})"),
            ]
            for name in names
        }
        return connection.execute("PRAGMA user_version").fetchone()[0], columns
    finally:
        connection.close()


#: Opens a state file and is killed before the statement of that number.
_KILLED: Final = """
import itertools, os, signal, sqlite3, sys
from tocsin_producer.database import Database

path, last = sys.argv[1], int(sys.argv[2])
numbers, connect = itertools.count(1), sqlite3.connect

def kill_in_time(statement):
    if next(numbers) == last:
        os.kill(os.getpid(), signal.SIGKILL)

def traced(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.set_trace_callback(kill_in_time)
    return connection

sqlite3.connect = traced
Database(path)
"""


def test_a_kill_at_any_statement_leaves_the_old_file_or_the_new_one_whole(tmp_path: Path) -> None:
    """More waits than the cache holds, so that half of it is in the log when the transaction is cut off."""
    old, path = tmp_path / "old.db", tmp_path / "state.db"
    nodes = [(f"{number:04}", _CONDITION, payload("", "Node", f"pi-{number}")) for number in range(3000)]
    written_by_version_3(old, *nodes)
    versions = []
    for statement in range(1, 100):
        for file in tmp_path.glob("state.db*"):
            file.unlink()
        shutil.copy(old, path)
        killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), str(statement)], check=False)
        versions.append(tables(path)[0])
        database, outbox = open_outbox(path)
        assert [(one.uid, one.node) for one in outbox.take(5000)] == [
            (uid, f"pi-{number}") for number, (uid, *_) in enumerate(nodes)
        ]
        database.close()
        if killed.returncode == 0:
            break
    assert set(versions) == {VERSION - 1, VERSION}
    assert versions == sorted(versions)
    assert len(versions) > 10
    assert not list(tmp_path.glob("*.unusable-*"))


@pytest.mark.parametrize("version", [1, VERSION - 2, VERSION + 1])
def test_a_file_of_a_version_that_is_not_known_is_set_aside(old: Path, version: int) -> None:
    connection = sqlite3.connect(old)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    _, outbox = open_outbox(old)
    assert outbox.waiting == 0
    assert tables(old.with_name(f"state.db.unusable-{_NOW:.0f}"))[0] == version


def test_where_there_is_no_room_for_the_new_tables_the_old_file_stays_and_is_used_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    written_by_version_3(path, *((str(number), 1, payload("", "Node", "x" * 200)) for number in range(500)))
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "_PRAGMAS", (*database_module._PRAGMAS, "max_page_count = 1"))
        with pytest.raises(StateError, match="cannot open .*: database or disk is full"):
            open_outbox(path)
    assert tables(path)[0] == VERSION - 1
    assert open_outbox(path)[1].waiting == 500
