"""The steps of a checkup that look at a state file and its folder; neither is changed."""

import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tocsin_schemas.checkup import Finding, failed, ok, warning

#: How every database of SQLite's begins (sqlite.org/fileformat.html).
_HEADER: Final = b"SQLite format 3\0"
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MIB: Final = 1024**2
#: With less than this, a journal and a log file soon fill the rest.
_ROOM: Final = 64 * _MIB
#: After so many instructions of SQLite's machine the time is looked at.
_INSTRUCTIONS: Final = 10_000


def check_folder(path: Path, key: str) -> Finding[Path]:
    """See whether a file can be made at `path`, which stands at `key`; the value is `path`."""
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return failed(
            f"{folder} cannot be written by user {os.geteuid()}: {error.strerror}",
            cause=f"{key} is on a read-only file system, or its folder belongs to another user",
            run=f"ls -ld {folder}; df -h {folder}",
        )
    if free < _ROOM:
        return warning(
            f"{folder} has {free // _MIB} MiB left",
            cause="the disk is nearly full; without room nothing can be kept, and nothing is acknowledged",
            run=f"df -h {folder}; du -xh {folder} | sort -h | tail",
            value=path,
        )
    return ok(f"{folder} can be written by user {os.geteuid()}, {free / 1024**3:.1f} GiB free", path)


def check_database(path: Path, *, seconds: float = 10.0) -> Finding[None]:
    """See whether a database is whole. One that a running process keeps for itself has been checked by it."""
    try:
        if not _is_database(path):
            return _damaged(path, "file is not a database")
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=0)) as connection:
            return _checked(connection, path, seconds)
    except FileNotFoundError:
        return ok(f"{path} is not there yet; the first start makes it")
    except OSError as error:
        return _unreadable(path, error.strerror or type(error).__name__)
    except sqlite3.DatabaseError as error:
        return _judge(path, error)


def _is_database(path: Path) -> bool:
    """Look before SQLite does, which deletes the log of what turns out to be no database."""
    with path.open("rb") as file:
        return file.read(len(_HEADER)) in (b"", _HEADER)


def _checked(connection: sqlite3.Connection, path: Path, seconds: float) -> Finding[None]:
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() >= deadline, _INSTRUCTIONS)
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return ok(f"{path} is whole") if problem == "ok" else _damaged(path, problem)


def _judge(path: Path, error: sqlite3.DatabaseError) -> Finding[None]:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return ok(f"{path} is in use by a running process, which has checked it at its start")
    if code == sqlite3.SQLITE_INTERRUPT:
        return ok(f"{path} is large: as far as was looked in a few seconds, it is whole")
    return _damaged(path, str(error)) if code in _DAMAGE else _unreadable(path, str(error))


def _damaged(path: Path, why: str) -> Finding[None]:
    return failed(
        f"{path} is damaged: {why.splitlines()[0]}",
        cause="the disk or the card is failing, or something else has written to the file",
        run=f"dmesg | tail; stop tocsin, and then: mv {path} {path}.damaged, or put back a copy",
    )


def _unreadable(path: Path, why: str) -> Finding[None]:
    return failed(
        f"{path} cannot be opened by user {os.geteuid()}: {why}",
        cause="the file belongs to another user",
        run=f"ls -l {path}*",
    )
