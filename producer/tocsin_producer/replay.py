"""A recorded watch in the place of an API server: to try a filter, to show the path, to test.

A recording has one `{"at": seconds, "line": {"type": …, "object": …}}` per line, gzipped if its name says so.
"""

import gzip
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tocsin_producer.errors import RecordingError
from tocsin_producer.intake import Intake
from tocsin_schemas.pulse import Pulse

if TYPE_CHECKING:
    import io

#: The checkpoint's name for what comes from a recording.
_WATCH = "replay"


class ReplaySource:
    """Feeds a recording to the intake at `speed` times its own pace; 0 is as fast as it goes."""

    def __init__(
        self, path: str | os.PathLike[str], intake: Intake, *, speed: float, on_end: Callable[[], None]
    ) -> None:
        self._path = path
        self._intake = intake
        self._speed = speed
        self._on_end = on_end
        self.pulse = Pulse()
        self.has_listed = True
        self.contact_seconds = None

    def run(self, stop: threading.Event) -> None:
        """Play until the end or until `stop` is set.

        Raises:
            RecordingError: the recording cannot be read, or not to its end.
        """
        previous: float | None = None
        for at, frame in _lines(os.fspath(self._path)):
            if self._speed and previous is not None:
                stop.wait(max(0.0, at - previous) / self._speed)
            if stop.is_set():
                return
            previous = at
            self._feed(frame)
        self._on_end()

    def abort(self) -> None:
        """Nothing to break off: the recording waits on `stop` alone."""

    def _feed(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "DELETED":
            self._intake.forget(frame.get("object"))
        elif frame["type"] in ("ADDED", "MODIFIED"):
            self._intake.offer([frame.get("object")], _WATCH)


def _lines(path: str) -> Iterator[tuple[float, dict[str, Any]]]:
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):  # noqa: B007 - an error names it
                yield _line(line)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordingError(f"{path}:{number}: not a line of a recorded watch") from error
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: cannot be read after line {number}: {error}") from error


def _line(text: bytes) -> tuple[float, dict[str, Any]]:
    record = json.loads(text)
    frame = record["line"]
    if not isinstance(frame["type"], str):
        raise TypeError("a watch event is of some type")
    return float(record["at"]), frame


def _open(path: str) -> "gzip.GzipFile | io.BufferedReader":
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
