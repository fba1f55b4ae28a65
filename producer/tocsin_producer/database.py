"""The producer's state in one SQLite database: a file when a path is given, memory otherwise."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Final

from tocsin_producer.errors import StateError
from tocsin_producer.schema import prepare

_log = logging.getLogger(__name__)

# The write-ahead log makes a commit survive kill -9. After a power cut the last commits may be gone, all of a
# commit or nothing of it: the list at the next start tells those events again. The lock is held as long as the
# process lives, so that no other producer uses the same file.
_PRAGMAS: Final = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "cache_size = -512",
    "temp_store = MEMORY",
)
#: How long a predecessor may take to let go of the file.
_LOCK_SECONDS: Final = 10.0
#: No boot is higher: every reader of JSON keeps it exactly (RFC 8259, section 6), and SQLite takes far more.
BOOT_LIMIT: Final = 2**53
#: How many databases that were set aside are kept.
_ASIDE_KEPT: Final = 2
_HEADER: Final = b"SQLite format 3\0"
_LOGS: Final = ("-wal", "-shm")
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Database:
    """One connection that threads share, one transaction at a time.

    Args:
        path: the file, or None for memory. A file that is no usable database is renamed and begun anew: what it
            held is listed again from the API server as far as that still has it.

    `trouble` says why nothing can be written, as long as that is so; `on_damage` is called when the file turns out
    to be damaged, which only a new start can mend.

    Raises:
        StateError: the file cannot be made or opened, or another process uses it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        now: Callable[[], float] = time.time,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> None:
        self.lock = threading.RLock()
        self.trouble: str | None = None
        self.on_damage: Callable[[], None] = lambda: None
        self._changes_before = 0
        self._connection = _open(None if path is None else os.fspath(path), now=now, lock_seconds=lock_seconds)
        self._transaction = _Transaction(self, self._connection)
        self._on_rollback: list[Callable[[], None]] = []
        self._are_sums_stale = False

    def on_rollback(self, recount: Callable[[], None]) -> None:
        """Call `recount`, now and whenever a transaction came to nothing, for who keeps sums in memory.

        It runs within a transaction; if it fails after a rollback, it runs again before the next transaction.
        """
        self._on_rollback.append(recount)
        recount()

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Hold the database for one transaction: all of it is kept or nothing.

        Raises:
            StateError: the file is damaged; a new start sets it aside.
            sqlite3.Error: it cannot be written just now; `trouble` says why until it can.
        """
        return self._transaction

    def begin(self) -> bool:
        """Begin a transaction, unless this thread is in one; return whether it was begun."""
        if self._connection.in_transaction:
            return False
        try:
            if self._are_sums_stale:
                self._recount()
            self._changes_before = self._connection.total_changes
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self.give_up(error)
            raise
        return True

    def commit(self) -> None:
        """Keep all of the transaction."""
        try:
            self._connection.execute("COMMIT")
        except BaseException as error:
            self.give_up(error)
            raise
        if self._connection.total_changes > self._changes_before:
            self._note_recovery()

    def give_up(self, error: BaseException) -> None:
        """Keep nothing of the transaction, because of `error`."""
        self._roll_back()
        if isinstance(error, sqlite3.Error):
            self._note_trouble(error)

    def _roll_back(self) -> None:
        """End what came to nothing; the error that the caller hears of is the one that brought it about."""
        self._end()
        self._are_sums_stale = True
        with suppress(sqlite3.Error):  # tried again before the next transaction, which fails if this still does
            self._recount()

    def _recount(self) -> None:
        """Let who keeps sums read them anew, in a transaction that nothing else is called for."""
        try:
            self._connection.execute("BEGIN")
            for recount in self._on_rollback:
                recount()
            self._are_sums_stale = False
        finally:
            self._end()

    def _end(self) -> None:
        if self._connection.in_transaction:  # if not, SQLite itself has: a full disk does that
            self._connection.execute("ROLLBACK")

    def _note_trouble(self, error: sqlite3.Error) -> None:
        """Say once that nothing can be written."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            self.on_damage()
            raise StateError(f"the state file is damaged ({error}); it is set aside at the next start") from error
        if self.trouble is None:
            _log.error("the state cannot be written: %s; no event is taken until it can, and none is lost", error)
        self.trouble = str(error)

    def _note_recovery(self) -> None:
        if self.trouble is not None:
            _log.info("the state can be written again")
        self.trouble = None

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
        with self.lock:
            self._connection.close()


class _Transaction(AbstractContextManager[sqlite3.Connection]):
    """Enters a transaction, or the one that its thread is in already.

    One object for all of them: they are entered several times for each event, and a generator takes three times as
    long.
    """

    def __init__(self, database: Database, connection: sqlite3.Connection) -> None:
        self._database = database
        self._connection = connection
        #: Of those that are entered now, whether each was begun by this.
        self._begun: list[bool] = []

    def __enter__(self) -> sqlite3.Connection:
        self._database.lock.acquire()
        try:
            self._begun.append(self._database.begin())
        except BaseException:
            self._database.lock.release()
            raise
        return self._connection

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        try:
            if self._begun.pop():
                self._database.commit() if error is None else self._database.give_up(error)
        finally:
            self._database.lock.release()


def next_boot(database: Database, *, now: Callable[[], float] = time.time) -> int:
    """Return a number that is higher than that of every earlier boot that this state knows of.

    It is the clock's, unless an earlier one was as high: clocks of small boards start in the past. Without state
    such a clock gives too low a number; then the link finds the earlier one at the broker, see `later_boot`.
    It is never higher than `BOOT_LIMIT`: there boots repeat.
    """
    boot = min(max(database.number("boot") + 1, int(now())), BOOT_LIMIT)
    database.keep_number("boot", boot)
    return boot


def later_boot(database: Database, than: int) -> int:
    """Return a number that is higher than `than`, and keep it if that is possible: this boot can do without.

    `than` is lower than `BOOT_LIMIT`; what claims to be a later boot than that is none.
    """
    boot = min(than + 1, BOOT_LIMIT)
    with suppress(sqlite3.Error, StateError):
        database.keep_number("boot", boot)
    return boot


def _open(path: str | None, *, now: Callable[[], float], lock_seconds: float) -> sqlite3.Connection:
    if path is None:
        return _connect(":memory:", lock_seconds)
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return _open_file(path, now=now, lock_seconds=lock_seconds)
    except sqlite3.OperationalError as error:
        raise StateError(f"cannot open {path}: {_explain(error)}") from error
    except OSError as error:
        raise StateError(f"cannot open {path}: {error.strerror}") from error


def _open_file(path: str, *, now: Callable[[], float], lock_seconds: float) -> sqlite3.Connection:
    """Open a database; a file that is no usable one is set aside, and the database begun anew."""
    try:
        _check_header(path)
        return _connect_in_turn(path, lock_seconds)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        aside = f"{path}.unusable-{int(now())}"
        try:
            _set_aside(path, aside)
        except OSError as obstacle:
            raise StateError(
                f"{path} cannot be used ({error}), and not be set aside: {obstacle.strerror}"
            ) from obstacle
        _log.error("%s cannot be used (%s); set aside as %s and begun anew", path, error, os.path.basename(aside))
        return _connect(path, lock_seconds)


def _check_header(path: str) -> None:
    """Look before SQLite does, which deletes the log of what turns out to be no database."""
    with suppress(FileNotFoundError), open(path, "rb") as file:
        if file.read(len(_HEADER)) not in (b"", _HEADER):
            raise sqlite3.DatabaseError("file is not a database")


def _explain(error: sqlite3.OperationalError) -> str:
    if _is_busy(error):
        return "another process uses it; each producer needs a file of its own"
    return str(error)


def _connect_in_turn(path: str, lock_seconds: float) -> sqlite3.Connection:
    """Open a file at once, or when the process that uses it lets go of it, for which we wait a while."""
    try:
        return _connect(path, 0.0)
    except sqlite3.OperationalError as error:
        if not _is_busy(error) or lock_seconds <= 0:
            raise
    _log.warning("another process uses %s; waiting %g s for its end", path, lock_seconds)
    return _connect(path, lock_seconds)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _connect(path: str, lock_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=lock_seconds)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_aside(path: str, aside: str) -> None:
    """Rename a database and its log; what was committed last may be in the log alone."""
    _forget_asides(path, keep=_ASIDE_KEPT - 1)
    os.rename(path, aside)
    for suffix in _LOGS:
        with suppress(FileNotFoundError):
            os.rename(path + suffix, aside + suffix)


def _forget_asides(path: str, *, keep: int) -> None:
    """Delete what was set aside before, but for the latest `keep`: they must not fill the disk."""
    folder, name = os.path.split(path)
    prefix = f"{name}.unusable-"
    times = (file.removeprefix(prefix) for file in os.listdir(folder or ".") if file.startswith(prefix))
    for time_aside in sorted((int(text) for text in times if text.isdecimal()), reverse=True)[keep:]:
        for suffix in ("", *_LOGS):
            with suppress(FileNotFoundError):
                os.unlink(f"{path}.unusable-{time_aside}{suffix}")
