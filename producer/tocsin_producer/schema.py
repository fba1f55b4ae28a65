"""The tables of the producer's state, and how those of the version before become these."""

import logging
import sqlite3
from typing import Final

_log = logging.getLogger(__name__)

#: Raised with every change of the tables, together with a way from the version before. Any other is set aside.
VERSION: Final = 4

_TABLES: Final = """
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    count INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    first INTEGER NOT NULL,
    size INTEGER NOT NULL,
    put_at REAL NOT NULL,
    node TEXT NOT NULL DEFAULT ''
);
CREATE TABLE folded (
    uid TEXT NOT NULL UNIQUE,
    count INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    size INTEGER NOT NULL,
    due_at REAL NOT NULL,
    node TEXT NOT NULL DEFAULT ''
);
CREATE INDEX outbox_least_severe ON outbox (severity, position);
CREATE INDEX outbox_conditions ON outbox (node, position) WHERE severity >= 3;
CREATE TABLE seen (
    uid PRIMARY KEY,
    count INTEGER NOT NULL,
    told INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    watch INTEGER NOT NULL,
    generation INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

# Of version 3 no message named its node. It is the name of the involved object, as for those that are put now; one
# that cannot be read names none, and waits like the rest.
_NODE: Final = """
    CASE WHEN json_valid(payload) AND json_extract(payload, '$.kind') = 'Node'
        THEN COALESCE(json_extract(payload, '$.name'), '') ELSE '' END
"""
_FROM_3: Final = f"""
ALTER TABLE outbox ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE folded ADD COLUMN node TEXT NOT NULL DEFAULT '';
UPDATE outbox SET node = {_NODE};
UPDATE folded SET node = {_NODE};
CREATE INDEX outbox_conditions ON outbox (node, position) WHERE severity >= 3;
"""  # noqa: S608 - our own words


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database, or those of the version before into these.

    Raises:
        sqlite3.DatabaseError: it is damaged, or of a version that is not known.
        sqlite3.OperationalError: it cannot be written; it is as it was.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        _change(connection, _TABLES)
        return
    if version not in (VERSION - 1, VERSION):
        raise sqlite3.DatabaseError(f"its schema is version {version}, not {VERSION}")
    if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("it is damaged")
    if version < VERSION:
        _change(connection, _FROM_3)
        _log.info("the state file was of version %d and is of version %d now; all in it is kept", version, VERSION)


def _change(connection: sqlite3.Connection, statements: str) -> None:
    """Do it all or nothing: the version is a part of the same transaction."""
    connection.executescript(f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {VERSION}; COMMIT;")
