"""The tables of the store, how a database is made ready to hold them, and how times stand in them."""

from datetime import UTC, datetime, timedelta
from typing import Final

from tocsin_consumer.database import Connection
from tocsin_consumer.errors import StoreError

SCHEMA_VERSION: Final = 5
#: Version 2 has more tables than version 1, version 3 a column more than version 2, version 4 silences, and
#: incidents, to which deliveries and dead letters can belong, and version 5 keeps what receivers were told of each
#: problem; nothing else has changed.
_KNOWN_VERSIONS: Final = ("1", "2", "3", "4", "5")

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
    # incident.Incident and incident.Problem, since version 4; `event` is a payload, `objects` an object of JSON.
    """
    CREATE TABLE IF NOT EXISTS incidents (
        id INTEGER NOT NULL PRIMARY KEY,
        route TEXT NOT NULL,
        grouped TEXT NOT NULL,
        opened_at BIGINT NOT NULL,
        receivers TEXT NOT NULL,
        revision BIGINT NOT NULL,
        occurrences BIGINT NOT NULL,
        beyond BIGINT NOT NULL,
        due_at BIGINT,
        closed_at BIGINT
    )
    """,
    "CREATE INDEX IF NOT EXISTS live ON incidents (id) WHERE closed_at IS NULL",
    """
    CREATE TABLE IF NOT EXISTS problems (
        incident INTEGER NOT NULL REFERENCES incidents (id),
        cluster TEXT NOT NULL,
        namespace TEXT NOT NULL,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        reason TEXT NOT NULL,
        event BLOB NOT NULL,
        heard_at BIGINT NOT NULL,
        began_at BIGINT NOT NULL,
        objects TEXT NOT NULL,
        has_more INTEGER NOT NULL,
        occurrences BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        news_at BIGINT NOT NULL,
        begun BIGINT NOT NULL,
        ended TEXT,
        muted_by TEXT,
        PRIMARY KEY (incident, cluster, namespace, kind, owner, reason)
    ) WITHOUT ROWID
    """,
    # dispatch.Told; `said` is an array of keys of problems with whether each goes on, `gathered` one of keys.
    """
    CREATE TABLE IF NOT EXISTS told (
        incident INTEGER NOT NULL REFERENCES incidents (id),
        receiver TEXT NOT NULL,
        at BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        occurrences BIGINT NOT NULL,
        said TEXT NOT NULL,
        gathered TEXT NOT NULL,
        PRIMARY KEY (incident, receiver)
    ) WITHOUT ROWID
    """,
    # records.Storm, and the incidents that are told in its digest.
    """
    CREATE TABLE IF NOT EXISTS storms (
        id TEXT NOT NULL PRIMARY KEY,
        receiver TEXT NOT NULL,
        scope TEXT NOT NULL,
        since BIGINT NOT NULL,
        due_at BIGINT,
        is_told INTEGER NOT NULL,
        ended_at BIGINT
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS enrolled (
        storm TEXT NOT NULL REFERENCES storms (id),
        incident INTEGER NOT NULL REFERENCES incidents (id),
        PRIMARY KEY (storm, incident)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS ix_enrolled_incident ON enrolled (incident)",
    # Of an event or, since version 4, of an incident or a storm as it is when it is delivered.
    # settled_at: when the last try was, whatever became of it.
    """
    CREATE TABLE IF NOT EXISTS deliveries (
        id INTEGER NOT NULL PRIMARY KEY,
        event INTEGER REFERENCES events (id),
        incident INTEGER REFERENCES incidents (id),
        cause TEXT,
        storm TEXT REFERENCES storms (id),
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
    "CREATE INDEX IF NOT EXISTS ix_deliveries_incident ON deliveries (incident)",
    "CREATE INDEX IF NOT EXISTS ix_deliveries_storm ON deliveries (storm) WHERE storm IS NOT NULL",
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
        event INTEGER REFERENCES events (id),
        incident INTEGER REFERENCES incidents (id),
        storm TEXT REFERENCES storms (id)
    )
    """,
    "CREATE INDEX IF NOT EXISTS ix_dead_letters_at ON dead_letters (at)",
    "CREATE INDEX IF NOT EXISTS ix_dead_letters_event ON dead_letters (event)",
    "CREATE INDEX IF NOT EXISTS ix_dead_letters_incident ON dead_letters (incident) WHERE incident IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS ix_dead_letters_storm ON dead_letters (storm) WHERE storm IS NOT NULL",
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
    # silence.Silence, since version 4; `match` is an object of JSON.
    """
    CREATE TABLE IF NOT EXISTS silences (
        id TEXT NOT NULL PRIMARY KEY,
        match TEXT NOT NULL,
        starts_at BIGINT NOT NULL,
        ends_at BIGINT NOT NULL,
        author TEXT NOT NULL,
        comment TEXT NOT NULL,
        created_at BIGINT NOT NULL
    )
    """,
)

#: Before version 4, every delivery was of an event.
_BEFORE_4: Final = (
    "ALTER TABLE deliveries RENAME TO old_deliveries",
    "DROP INDEX ix_deliveries_event",
    "DROP INDEX pending",
    "ALTER TABLE dead_letters ADD COLUMN incident INTEGER REFERENCES incidents (id)",
    "ALTER TABLE dead_letters ADD COLUMN storm TEXT REFERENCES storms (id)",
)
_AFTER_4: Final = (
    """
    INSERT INTO deliveries (id, event, receiver, state, attempts, due_at, reason, created_at, settled_at)
    SELECT id, event, receiver, state, attempts, due_at, reason, created_at, settled_at FROM old_deliveries
    """,
    "DROP TABLE old_deliveries",
)
#: What has to be done with the tables of a version before those of this one are created, and what then.
_BEFORE: Final = {
    "1": _BEFORE_4,
    "2": ("ALTER TABLE presences ADD COLUMN over_budget BIGINT NOT NULL DEFAULT 0", *_BEFORE_4),
    "3": _BEFORE_4,
}
_AFTER: Final = {
    "1": _AFTER_4,
    "2": _AFTER_4,
    "3": _AFTER_4,
    "4": (
        "ALTER TABLE told ADD COLUMN said TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE told ADD COLUMN gathered TEXT NOT NULL DEFAULT '[]'",
        """
        UPDATE told SET said = (
            SELECT json_group_array(json_array(
                cluster, namespace, kind, owner, reason, ended IS NULL OR problems.revision > told.revision
            ))
            FROM problems WHERE problems.incident = told.incident
                AND COALESCE(begun, CASE WHEN is_known THEN problems.revision END) <= told.revision
        )
        """,
        "UPDATE problems SET begun = revision WHERE begun IS NULL",
        "ALTER TABLE problems DROP COLUMN is_known",
    ),
}


def prepare(connection: Connection, name: str) -> None:
    """Create the tables in an empty database, add what an older version lacks, and refuse a newer one.

    Raises:
        StoreError: the database `name` holds something else, or is of a version that this one does not know.
    """
    found = _known_version(connection, name)
    if found != str(SCHEMA_VERSION):
        for statement in (*_BEFORE.get(found or "", ()), *_SCHEMA, *_AFTER.get(found or "", ())):
            connection.execute(statement)
        connection.execute("DELETE FROM meta WHERE key = 'schema_version'")
        connection.execute("INSERT INTO meta (key, value) VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))


def expect(connection: Connection, name: str) -> None:
    """See that the database `name` is of this version, and change nothing in it.

    Raises:
        StoreError: it is not.
    """
    found = _known_version(connection, name)
    if found != str(SCHEMA_VERSION):
        raise StoreError(
            f"store {name}: has schema version {found or 0}, not {SCHEMA_VERSION}; "
            "a consumer of this version brings it up to date when it runs"
        )


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


def _known_version(connection: Connection, name: str) -> str | None:
    """Return the version of a database, or None if it is empty.

    Raises:
        StoreError: it holds something else, or is of a version that this one does not know.
    """
    present = {table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not present:
        return None
    if "meta" not in present:
        raise StoreError(f"store {name}: holds tables of something else")
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    found = row[0] if row else None
    if found not in _KNOWN_VERSIONS:
        raise StoreError(
            f"store {name}: has schema version {found}, and this version of tocsin knows {SCHEMA_VERSION}"
        )
    return str(found)
