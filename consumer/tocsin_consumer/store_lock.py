"""Keeps a second process off a store: each would deliver what the other delivers."""

import fcntl
import os
from pathlib import Path
from typing import TextIO

from tocsin_consumer.errors import StoreError


def holder(store: Path) -> str | None:
    """Return which process holds the lock, as a text in brackets that may be empty; None if nobody does."""
    try:
        file = Path(f"{store}.lock").open(encoding="ascii")  # noqa: SIM115 - closed below
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _written(file)
    return None


def _written(file: TextIO) -> str:
    file.seek(0)
    process = file.read(20).strip()
    return f" (process {process})" if process.isdecimal() else ""


class StoreLock:
    """Held from its making to its release, or to the end of the process, however that comes.

    It is on a file beside the store: SQLite's own locks are for moments. The file stays when the lock goes:
    if it were deleted, two processes could each lock a file of that name.

    Raises:
        StoreError: another process holds it, or there can be no such file.
    """

    def __init__(self, store: Path) -> None:
        path = Path(f"{store}.lock")
        try:
            self._file = path.open("a+", encoding="ascii")
        except OSError as error:
            raise StoreError(f"store {store}: {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            process = _written(self._file)
            self.release()
            raise StoreError(
                f"store {store}: in use by another tocsin-consumer{process}; "
                "each consumer needs a store and a broker.client_id of its own"
            ) from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let another process have it; a second time this does nothing."""
        self._file.close()
