"""Recordings of what clusters said: on the wire, or to whoever watches their API server.

Each line is understood by itself, whatever stands in the others:
- a payload as on the wire, as `tail --json` prints it or, with `received_at`, as the `file` receiver writes it;
- `topic payload`, or an object with `topic`, `payload` and `tst`, as `mosquitto_sub -v` and `-F %j` print it;
- an Event of Kubernetes or a notification of a watch that holds one, also as `{"at": seconds, "line": {…}}`.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tocsin_consumer.decode import PAYLOAD_LIMIT
from tocsin_consumer.errors import EventFileError
from tocsin_consumer.event_file import from_kubernetes
from tocsin_schemas.event import EventPayload
from tocsin_schemas.status import StatusPayload

#: How a file begins that is compressed by gzip (RFC 1952).
_GZIP: Final = b"\x1f\x8b"
_LINE_LIMIT: Final = 4 * PAYLOAD_LIMIT
#: What a watch says besides of Events; it is passed over.
_OTHER_FRAMES: Final = ("DELETED", "BOOKMARK", "ERROR")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a cluster said, and when that came (aware UTC)."""

    said: EventPayload | StatusPayload
    at: datetime
    #: Whether it is an Event as Kubernetes has it, before a producer has looked at it.
    is_watched: bool = False
    #: Whether the broker had kept it from before.
    is_retained: bool = False


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that nobody understands."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(slots=True)
class Recording:
    """All that a recording holds, in the order of time."""

    recorded: list[Recorded] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)
    #: Lines with something on them; of those, what says nothing that a consumer is told, such as a deletion.
    lines: int = 0
    passed_over: int = 0

    @property
    def events(self) -> Iterator[EventPayload]:
        """The events in it."""
        return (one.said for one in self.recorded if isinstance(one.said, EventPayload))


class _PassedOverError(Exception):
    """A line that holds nothing that a consumer is told."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What one line says; `at` may be seconds since some time that the recording does not tell."""

    said: EventPayload | StatusPayload
    at: datetime | float | None
    is_watched: bool = False
    is_retained: bool = False


def read_recording(path: Path, *, cluster: str | None = None) -> Recording:
    """Read the recording at `path`; `cluster` is where the Events of Kubernetes in it are from.

    Raises:
        EventFileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            lines = gzip.GzipFile(fileobj=file) if file.peek().startswith(_GZIP) else file
            return recording(lines, cluster=cluster)
    except (OSError, EOFError, zlib.error) as error:
        raise EventFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def recording(lines: Iterable[bytes], *, cluster: str | None = None) -> Recording:
    """Return what `lines` say; what is wrong with one of them is no trouble of the others."""
    found = Recording()
    times = _Times()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        found.lines += 1
        try:
            said = _read(text)
            one = Recorded(said.said, times.of(said), said.is_watched, said.is_retained)
        except _PassedOverError:
            found.passed_over += 1
        except ValidationError as error:
            found.bad.append(BadLine(number, _why(error)))
        except (ValueError, OverflowError, RecursionError) as error:
            found.bad.append(BadLine(number, str(error)))
        else:
            found.recorded.append(_from(cluster, one))
    found.recorded.sort(key=lambda one: one.at)
    return found


class _Times:
    """Gives each line its own time, or else that of the last occurrence; a status, that of the line before."""

    def __init__(self) -> None:
        self._start: datetime | None = None
        self._last = datetime.fromtimestamp(0, tz=UTC)

    def of(self, said: _Said) -> datetime:
        self._last = self._of(said)
        return self._last

    def _of(self, said: _Said) -> datetime:
        if isinstance(said.at, datetime):
            return said.at
        if isinstance(said.said, StatusPayload):
            return max(self._last, datetime.fromtimestamp(said.said.since, tz=UTC))
        happened_at = datetime.fromtimestamp(said.said.last, tz=UTC)
        if said.at is None:
            return happened_at
        self._start = self._start or happened_at - timedelta(seconds=said.at)
        return self._start + timedelta(seconds=said.at)


def _read(line: bytes) -> _Said:
    if len(line) > _LINE_LIMIT:
        raise ValueError(f"is larger than {_LINE_LIMIT // 1024} KiB")
    topic, space, payload = line.partition(b" ")
    value = _object_in(payload if space and not topic.startswith(b"{") else line)
    if "topic" in value and "payload" in value:
        return _of_message(value)
    if "v" in value:
        return _of_payload(value, value.get("received_at"))
    if isinstance(value.get("line"), dict):
        return _of_frame(value["line"], _seconds(value.get("at")))
    return _of_frame(value, None)


def _object_in(text: bytes | str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError("holds neither an object of JSON nor a topic with one") from error
    if not isinstance(value, dict):
        raise ValueError("holds no object of JSON")  # noqa: TRY004 - of the line, not of an argument
    return value


def _of_message(value: Mapping[str, Any]) -> _Said:
    """Read what mosquitto_sub prints of a message: the payload as text with `%j`, as it is with `%J`."""
    payload = value["payload"]
    if payload in ("", None):
        raise _PassedOverError  # a retained status was cleared
    said = _of_payload(payload if isinstance(payload, dict) else _object_in(str(payload)), value.get("tst"))
    return replace(said, is_retained=bool(value.get("retain")))


def _of_payload(value: Mapping[str, Any], at: Any) -> _Said:
    said = {name: found for name, found in value.items() if name != "received_at"}
    if at is not None and ("incident" in said or "digest" in said):
        raise ValueError("tells an incident and no event; record with a receiver that is not `grouped`")
    model = StatusPayload if "state" in said and "reason" not in said else EventPayload
    return _Said(model.model_validate(said), None if at is None else _time(at))


def _of_frame(value: Mapping[str, Any], at: float | None) -> _Said:
    if value.get("type") in _OTHER_FRAMES:
        raise _PassedOverError
    if "involvedObject" not in value and not isinstance(value.get("object"), dict):
        raise ValueError("holds no event")
    return _Said(EventPayload.model_validate(from_kubernetes(value)), at, is_watched=True)


def _from(cluster: str | None, one: Recorded) -> Recorded:
    if cluster is None or not one.is_watched:
        return one
    return replace(one, said=one.said.model_copy(update={"cluster": cluster}))


def _time(text: Any) -> datetime:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ValueError(f"expected a time such as 2026-11-23T19:18:54Z, found {str(text)[:40]!r}") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("at: expected seconds")  # noqa: TRY004 - as above
    return float(value)


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
