"""A file with one JSON object a line (NDJSON), rotated by size."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

from tocsin_consumer.document import document
from tocsin_consumer.errors import TemporaryError
from tocsin_consumer.hints import Override
from tocsin_consumer.labels import Language
from tocsin_consumer.notification import Notification
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receiver_settings import FileSettings
from tocsin_consumer.receivers.receiver import Note, Receipt, Rendering, unnoted
from tocsin_consumer.render import to_json


class FileReceiver:
    """Appends to a file; `path.1` is the last one that was full, `path.2` the one before.

    The file is opened for each line, so that it may be moved away or deleted at any time.
    """

    def __init__(
        self,
        name: str,
        settings: FileSettings,
        *,
        time_zone: ZoneInfo,  # noqa: ARG002 - all receivers are built alike; times are UTC in this one
        language: Language,  # noqa: ARG002 - as above; it has no words
        hints: Sequence[Override] = (),  # noqa: ARG002 - as above
        limits: tuple[RateLimit, ...] = (),
    ) -> None:
        self._name = name
        self._limits = limits
        self._path = settings.path
        self._max_size = settings.max_size
        self._backups = settings.backups

    @property
    def name(self) -> str:
        """The name that routes know it by."""
        return self._name

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """None but what is configured."""
        return self._limits

    @property
    def is_local(self) -> bool:
        """Whether to deliver takes less time than to write down that it is done."""
        return True

    def render(self, notification: Notification) -> Rendering:
        """Return the event as one line of JSON, without the line break at its end."""
        return Rendering(to_json(document(notification)), "application/json")

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:
        """Append the line.

        Raises:
            TemporaryError: the disk is full, or there is no such directory; nothing was written then.
        """
        line = rendering.content.encode("utf-8", "backslashreplace") + b"\n"
        note()
        try:
            self._rotate(len(line))
            with self._path.open("a+b", buffering=0) as file:
                _append(file, line)
        except OSError as error:
            raise TemporaryError(f"cannot write {self._path}: {error.strerror}") from error
        return Receipt("written")

    def close(self) -> None:
        """Nothing is kept open."""

    def _rotate(self, length: int) -> None:
        """Make room for `length` bytes: the file becomes the first backup, and the last backup goes."""
        if not self._path.is_file() or self._path.stat().st_size + length <= self._max_size:
            return
        if self._path.stat().st_size == 0:
            return  # one line larger than the file may be has a file of its own
        for number in range(self._backups, 1, -1):
            with suppress(FileNotFoundError):
                self._backup(number - 1).replace(self._backup(number))
        if self._backups:
            self._path.replace(self._backup(1))
        else:
            self._path.unlink()

    def _backup(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _append(file: BinaryIO, line: bytes) -> None:
    """Write the whole line or nothing; a half line that a crash has left behind is ended first."""
    end = file.seek(0, os.SEEK_END)
    if end:
        file.seek(-1, os.SEEK_END)
        line = line if file.read(1) == b"\n" else b"\n" + line
    try:
        while line:
            line = line[file.write(line) :]
    except OSError:
        with suppress(OSError):  # what cannot be cut back is ended by the next line
            file.truncate(end)
        raise
