"""One SQLite database, one transaction at a time: the only module that touches sqlite3.

What is acknowledged is forgotten by the broker, so a commit has to survive a kill and a power cut: the journal
is a write-ahead log with `synchronous=FULL` (NORMAL would lose the last commits in a power cut). The price, one
fsync per commit, is shared by a batch.

One connection, used by one thread at a time: SQLite has one writer anyway, and so an in-memory database for tests
behaves as a file does.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tocsin_consumer.errors import StoreError
from tocsin_consumer.store_lock import StoreLock

Connection = sqlite3.Connection
Row = Sequence[Any]

#: What to do about a damaged store.
DAMAGED: Final = (
    "; put back a copy of it, or move it away together with its -wal and -shm to begin anew: "
    "then what the broker sends again is told again"
)
# A cache of 1 MiB, half of what SQLite takes by itself.
_PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -1024")
#: How long a transaction waits for another process, such as one that makes a copy.
_BUSY_SECONDS: Final = 5.0
#: Errors of a statement's own, which would fail in the same way in any database.
_ABOUT_A_ROW: Final = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError)
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: Values that one statement takes at most. Every SQLite can do 999 (sqlite.org/limits.html), but prepared it takes
#: a hundred bytes for each, and 128 statements stay prepared.
_VALUES_LIMIT: Final = 256


class Database:
    """A database that threads share; every transaction is kept as a whole or not at all.

    Args:
        url: `sqlite:///` and the path of a file, or `sqlite://` for memory.
        exclusive: no other database that is exclusive may be open at the same place.
        beside: it is that of another process, which made it and has seen that it is whole.
        prepare: called within the first transaction.

    Raises:
        StoreError: it cannot be opened, or is in use or damaged, or there is none to be beside.
    """

    def __init__(
        self, url: str, *, exclusive: bool, beside: bool, prepare: Callable[[Connection, str], None]
    ) -> None:
        #: Transactions that were done, and that could not be.
        self.commits = 0
        self.failures = 0
        self.lock = threading.Lock()
        self.path = url.removeprefix("sqlite://").removeprefix("/") or ":memory:"
        self._file: tuple[int, int] | None = None
        self._version: int | None = None
        if beside and _file_at(self.path) is None:
            raise StoreError(f"store {self.path}: there is none yet; a consumer makes it when it first runs")
        self._held = StoreLock(Path(self.path).resolve()) if exclusive else None
        self._connection: Connection | None = None
        try:
            with self._translated():
                self._connection = _connect(self.path)
            with self.transaction() as connection:
                if not beside:
                    _check(connection, self.path)
                prepare(connection, self.path)
        except BaseException:
            self.close()
            raise
        self._file = _file_at(self.path)

    @property
    def is_lost(self) -> bool:
        """Whether the file was deleted or replaced since it was opened: what is written goes nowhere."""
        return self._file is not None and self._file != _file_at(self.path)

    def changed_elsewhere(self) -> bool:
        """Tell whether another process may have committed something since this was asked last.

        Raises:
            StoreError: the database cannot do it just now.
        """
        with self._translated(), self._locked(-1):
            connection = self._opened()
            (version,) = connection.execute("PRAGMA data_version").fetchone()  # sqlite.org/pragma.html
        before, self._version = self._version, int(version)
        return before != self._version

    def close(self) -> None:
        """Let the database go."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._held is not None:
                self._held.release()

    @contextmanager
    def transaction(self, *, lock_seconds: float = -1) -> Iterator[Connection]:
        """Commit what is done within, or undo all of it; wait so long for others, or for ever if it is negative.

        Raises:
            StoreError: the database cannot do it just now.
        """
        with self._translated():
            with self._locked(lock_seconds), self._committing() as connection:
                yield connection
            if self.is_lost:
                self.failures += 1
                raise StoreError(f"store {self.path}: the file was deleted or replaced while it was in use")
            self.commits += 1

    @contextmanager
    def _locked(self, seconds: float) -> Iterator[None]:
        """Be the only one at the database."""
        if not self.lock.acquire(timeout=seconds):
            raise StoreError(f"store {self.path}: others have been at it for {seconds} s")
        try:
            yield
        finally:
            self.lock.release()

    @contextmanager
    def _committing(self) -> Iterator[Connection]:
        """Begin a transaction that may write, as two that began by reading could not both go on, and end it."""
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:  # of some errors, such as a full disk, SQLite itself makes an end
                connection.execute("ROLLBACK")

    def _opened(self) -> Connection:
        if self._connection is None:
            raise StoreError(f"store {self.path}: is not open")
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Let errors of the database be ours, but for those about a row."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, _ABOUT_A_ROW):
                raise
            self.failures += 1
            hint = DAMAGED if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE else ""
            raise StoreError(f"store {self.path}: {error}{hint}") from error


def in_statements(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut `rows` into runs, each of which shares a statement.

    Python's lock is let go at each step of a statement, and with other threads at work it takes long to get it
    back; so a step is for many rows. How many is a power of two: SQLite keeps what it has prepared, and of few
    lengths that is little.
    """
    start = 0
    while left := len(rows) - start:
        most = min(left, _VALUES_LIMIT // len(rows[start]))
        size = 1 << (most.bit_length() - 1)
        yield rows[start : start + size]
        start += size


def values(rows: Sequence[Row]) -> str:
    """Return the placeholders of `rows` as in VALUES (?, ?), (?, ?)."""
    row = f"({', '.join('?' * len(rows[0]))})"
    return ", ".join([row] * len(rows))


def insert(connection: Connection, statement: str, rows: Sequence[Row], *, ending: str = "") -> None:
    """Insert `rows`; the `statement` is what stands before their values, and `ending` what stands behind."""
    for run in in_statements(rows):
        connection.execute(f"{statement} VALUES {values(run)} {ending}", [value for row in run for value in row])


def upsert(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Row], *, key: Sequence[str]
) -> None:
    """Insert rows, or put them in the place of those with the same key."""
    news = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    insert(
        connection,
        f"INSERT INTO {table} ({', '.join(columns)})",
        rows,
        ending=f"ON CONFLICT ({', '.join(key)}) DO {f'UPDATE SET {news}' if news else 'NOTHING'}",
    )


def _connect(path: str) -> Connection:
    """Open a connection; its transactions are begun by us, not by guesses of Python's."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: Connection, path: str) -> None:
    """See that the database is whole; it reads all of it once.

    Raises:
        StoreError: it is damaged. What was told already stands in it, so it is never replaced silently.
    """
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise StoreError(f"store {path}: database disk image is malformed{DAMAGED}")


def _file_at(path: str) -> tuple[int, int] | None:
    """Return what tells one file from another that has its name; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - it is asked at every commit, and a Path costs more than the question
    except OSError:
        return None
    return status.st_dev, status.st_ino
