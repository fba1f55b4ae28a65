"""The tables of the store, and how a connection to them is set up."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from tocsin_consumer.errors import StoreError

SCHEMA_VERSION: Final = 2
#: Version 2 has more tables than version 1, and changes none of those.
_KNOWN_VERSIONS: Final = ("1", "2")

#: What to do about a damaged store.
DAMAGED: Final = (
    "; put back a copy of it, or move it away together with its -wal and -shm to begin anew: "
    "then what the broker sends again is told again"
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Milliseconds(sa.types.TypeDecorator[datetime]):
    """An aware time as milliseconds since 1970: compact, and in the order of time."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        """Return what is stored."""
        return None if value is None else (value - _EPOCH) // timedelta(milliseconds=1)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Return the time that is stored."""
        return None if value is None else _EPOCH + timedelta(milliseconds=value)


metadata = sa.MetaData()
#: SQLite counts rows by an INTEGER primary key, and by no other.
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
meta = sa.Table(
    "meta", metadata, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)
_is_version: Final[sa.ColumnElement[bool]] = meta.c.key == "schema_version"
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("cluster", sa.Text, nullable=False),
    sa.Column("uid", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("received_at", Milliseconds, nullable=False, index=True),
    sa.UniqueConstraint("cluster", "uid", "count"),
)
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("event", sa.ForeignKey("events.id"), nullable=False, index=True),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, default="pending"),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("due_at", Milliseconds, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("created_at", Milliseconds, nullable=False),
    #: When the last try was, whatever became of it.
    sa.Column("settled_at", Milliseconds),
)
#: Small however long the history: the work of each receiver in the order in which it came.
sa.Index("pending", deliveries.c.receiver, deliveries.c.id, sqlite_where=sa.text("state = 'pending'"))
dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Milliseconds, nullable=False, index=True),
    sa.Column("topic", sa.Text),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("receiver", sa.Text),
    sa.Column("event", sa.ForeignKey("events.id"), index=True),
)
positions = sa.Table(
    "positions",
    metadata,
    sa.Column("cluster", sa.Text, primary_key=True),
    sa.Column("boot", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
#: presence.Presence, since version 2.
presences = sa.Table(
    "presences",
    metadata,
    sa.Column("cluster", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("told", sa.Text, nullable=False),
    sa.Column("since", Milliseconds, nullable=False),
    sa.Column("due_at", Milliseconds),
    sa.Column("boot", sa.BigInteger, nullable=False),
    sa.Column("heard_at", Milliseconds),
    sa.Column("away_since", Milliseconds),
    sa.Column("drops", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
    sa.Column("lost_away", sa.BigInteger, nullable=False),
)
#: losses.Loss, since version 2.
losses = sa.Table(
    "losses",
    metadata,
    sa.Column("cluster", sa.Text, primary_key=True),
    sa.Column("since", Milliseconds, nullable=False),
    sa.Column("due_at", Milliseconds, nullable=False),
    sa.Column("in_outbox", sa.BigInteger, nullable=False),
    sa.Column("at_broker", sa.BigInteger, nullable=False),
)


def prepare(connection: Any, _record: object) -> None:
    """Set up a connection of sqlite3's; transactions are begun by `begin`, not by guesses of the driver's."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin(connection: sa.Connection) -> None:
    """Begin a transaction that may write: two that began by reading could not both go on."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def check(connection: sa.Connection) -> None:
    """See that the database is whole; it reads all of it once.

    Raises:
        StoreError: it is damaged. What was told already stands in it, so it is never replaced silently.
    """
    if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
        raise StoreError(f"store {connection.engine.url.database}: database disk image is malformed{DAMAGED}")


def migrate(connection: sa.Connection) -> None:
    """Create the tables in an empty database, add those that an older version lacks, and refuse a newer one.

    Raises:
        StoreError: it holds something else, or is of a version that this one does not know.
    """
    name = connection.engine.url.database
    present = sa.inspect(connection).get_table_names()
    if present and "meta" not in present:
        raise StoreError(f"store {name}: holds tables of something else")
    found = connection.execute(sa.select(meta.c.value).where(_is_version)).scalar() if present else None
    if present and found not in _KNOWN_VERSIONS:
        raise StoreError(
            f"store {name}: has schema version {found}, and this version of tocsin knows {SCHEMA_VERSION}"
        )
    if found != str(SCHEMA_VERSION):
        metadata.create_all(connection)
        connection.execute(sa.delete(meta).where(_is_version))
        connection.execute(sa.insert(meta).values(key="schema_version", value=str(SCHEMA_VERSION)))
