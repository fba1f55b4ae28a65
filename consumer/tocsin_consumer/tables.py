"""The tables of the store, how a database is made ready to hold them, and how times stand in them."""

from datetime import UTC, datetime, timedelta
from typing import Final

from tocsin_consumer.database import Connection
from tocsin_consumer.errors import StoreError

SCHEMA_VERSION: Final = 3
#: Version 2 has more tables than version 1, and version 3 a column more than version 2; nothing else has changed.
_KNOWN_VERSIONS: Final = ("1", "2", "3")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    """
    CREATE TABLE IF NOT EXISTS events (
        id INTEGER NOT NULL PRIMARY KEY,
        cluster TEXT NOT NULL,
        uid TEXT NOT NULL,
        count BIGINT NOT NULL,
        payload BLOB NOT NULL,
        received_at BIGINT NOT NULL,
        UNIQUE (cluster, uid, count)
    )
    """,
    "CREATE INDEX IF NOT EXISTS ix_events_received_at ON events (received_at)",
    # settled_at: when the last try was, whatever became of it.
    """
    CREATE TABLE IF NOT EXISTS deliveries (
        id INTEGER NOT NULL PRIMARY KEY,
        event INTEGER NOT NULL REFERENCES events (id),
        receiver TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        due_at BIGINT NOT NULL,
        reason TEXT,
        created_at BIGINT NOT NULL,
        settled_at BIGINT
    )
    """,
    "CREATE INDEX IF NOT EXISTS ix_deliveries_event ON deliveries (event)",
    # Small however long the history: the work of each receiver in the order in which it came.
    "CREATE INDEX IF NOT EXISTS pending ON deliveries (receiver, id) WHERE state = 'pending'",
    """
    CREATE TABLE IF NOT EXISTS dead_letters (
        id INTEGER NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        reason TEXT NOT NULL,
        at BIGINT NOT NULL,
        topic TEXT,
        payload BLOB,
        receiver TEXT,
        event INTEGER REFERENCES events (id)
    )
    """,
    "CREATE INDEX IF NOT EXISTS ix_dead_letters_at ON dead_letters (at)",
    "CREATE INDEX IF NOT EXISTS ix_dead_letters_event ON dead_letters (event)",
    """
    CREATE TABLE IF NOT EXISTS positions (
        cluster TEXT NOT NULL PRIMARY KEY,
        boot BIGINT NOT NULL,
        seq BIGINT NOT NULL
    )
    """,
    # presence.Presence and losses.Loss, since version 2.
    """
    CREATE TABLE IF NOT EXISTS presences (
        cluster TEXT NOT NULL PRIMARY KEY,
        link TEXT NOT NULL,
        told TEXT NOT NULL,
        since BIGINT NOT NULL,
        due_at BIGINT,
        boot BIGINT NOT NULL,
        heard_at BIGINT,
        away_since BIGINT,
        drops BIGINT NOT NULL,
        held BIGINT NOT NULL,
        lost BIGINT NOT NULL,
        lost_away BIGINT NOT NULL,
        over_budget BIGINT NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS losses (
        cluster TEXT NOT NULL PRIMARY KEY,
        since BIGINT NOT NULL,
        due_at BIGINT NOT NULL,
        in_outbox BIGINT NOT NULL,
        at_broker BIGINT NOT NULL
    )
    """,
)

#: What version 3 adds to a table that version 2 has.
_SINCE_VERSION_2: Final = "ALTER TABLE presences ADD COLUMN over_budget BIGINT NOT NULL DEFAULT 0"


def prepare(connection: Connection, name: str) -> None:
    """Create the tables in an empty database, add what an older version lacks, and refuse a newer one.

    Raises:
        StoreError: the database `name` holds something else, or is of a version that this one does not know.
    """
    present = {table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if present and "meta" not in present:
        raise StoreError(f"store {name}: holds tables of something else")
    found = _version(connection) if present else None
    if present and found not in _KNOWN_VERSIONS:
        raise StoreError(
            f"store {name}: has schema version {found}, and this version of tocsin knows {SCHEMA_VERSION}"
        )
    if found != str(SCHEMA_VERSION):
        for statement in _SCHEMA:
            connection.execute(statement)
        if found == "2":
            connection.execute(_SINCE_VERSION_2)
        connection.execute("DELETE FROM meta WHERE key = 'schema_version'")
        connection.execute("INSERT INTO meta (key, value) VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))


def milliseconds(at: datetime) -> int:
    """Return how an aware time is stored: as milliseconds since 1970, compact and in the order of time."""
    return (at - _EPOCH) // _MILLISECOND


def optional_milliseconds(at: datetime | None) -> int | None:
    """Return how a time is stored that may be none."""
    return None if at is None else milliseconds(at)


def time_of(stored: int) -> datetime:
    """Return the time that is stored."""
    return _EPOCH + timedelta(milliseconds=stored)


def optional_time_of(stored: int | None) -> datetime | None:
    """Return the time that is stored, if there is one."""
    return None if stored is None else time_of(stored)


def _version(connection: Connection) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return row[0] if row else None
