"""The producer's state in one SQLite database: a file when a path is given, memory otherwise."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tocsin_producer.errors import StateError

_log = logging.getLogger(__name__)

#: Raised with every change of the tables; state of another version is set aside.
_SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    count INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX outbox_least_severe ON outbox (severity, position);
CREATE TABLE seen (
    uid TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    watch TEXT NOT NULL,
    generation INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

# The write-ahead log makes a commit survive kill -9. After a power cut the last commits may be gone, all of a
# commit or nothing of it: the list at the next start tells those events again.
_PRAGMAS: Final = ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -512", "temp_store = MEMORY")


class Database:
    """One connection that threads share, one transaction at a time.

    Args:
        path: the file, or None for memory. A file that is no usable database is renamed and begun anew: what it
            held is listed again from the API server as far as that still has it.

    Raises:
        StateError: the file cannot be made or opened.
    """

    def __init__(self, path: Path | None, *, now: Callable[[], float] = time.time) -> None:
        self._lock = threading.RLock()
        self._connection = _open(path, now)
        self._on_rollback: list[Callable[[], None]] = []

    def on_rollback(self, recount: Callable[[], None]) -> None:
        """Call `recount`, now and whenever a transaction came to nothing, for who keeps sums in memory."""
        self._on_rollback.append(recount)
        recount()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the database for one transaction: all of it is kept or nothing."""
        with self._lock:
            if self._connection.in_transaction:  # within another transaction of this thread
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # if not, SQLite itself has: a full disk does that
            self._connection.execute("ROLLBACK")
        for recount in self._on_rollback:
            recount()

    def number(self, name: str) -> int:
        """Return a number that was kept, 0 if it never was."""
        with self.transaction() as connection:
            row = connection.execute("SELECT value FROM numbers WHERE name = ?", (name,)).fetchone()
            return row[0] if row else 0

    def keep_number(self, name: str, value: int) -> None:
        """Keep a number."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def next_boot(database: Database, *, now: Callable[[], float] = time.time) -> int:
    """Return a number that is higher than that of every earlier boot of this producer, with or without state.

    It is the clock's, unless an earlier one was as high: clocks of small boards start in the past.
    """
    boot = max(database.number("boot") + 1, int(now()))
    database.keep_number("boot", boot)
    return boot


def _open(path: Path | None, now: Callable[[], float]) -> sqlite3.Connection:
    if path is None:
        return _connect(":memory:")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _connect(str(path))
    except sqlite3.OperationalError as error:
        raise StateError(f"cannot open {path}: {error}") from error
    except OSError as error:
        raise StateError(f"cannot open {path}: {error.strerror}") from error
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{path.name}.unusable-{int(now())}")
        _log.error("%s cannot be used (%s); set aside as %s and begun anew", path, error, aside.name)
        _set_aside(path, aside)
        return _connect(str(path))


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
    elif version != _SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"its schema is version {version}, not {_SCHEMA_VERSION}")
    elif connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("it is damaged")


def _set_aside(path: Path, aside: Path) -> None:
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
