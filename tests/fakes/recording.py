"""Recorded watches: how they are read, and played again to a stand-in API server."""

import copy
import functools
import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tests.fakes.apiserver_store import Event, EventStore

NotificationType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True)
class Notification:
    """One line of a recording: when it came, counted from the start of the recording, and what it said."""

    at_seconds: float
    type: NotificationType
    event: Event


def read_recording(path: Path) -> Iterator[Notification]:
    """Read `{"at": seconds, "line": {"type": …, "object": {…}}}` lines, gzipped if the name ends in .gz."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in content.splitlines():
        fields = json.loads(line)
        yield Notification(fields["at"], fields["line"]["type"], fields["line"]["object"])


def play(
    events: EventStore,
    recording: Iterable[Notification],
    *,
    speed: float,
    stop: threading.Event,
    sleep: Callable[[float], object] | None = None,
    shift_to: datetime | None = None,
) -> None:
    """Feed a server with the notifications in their rhythm, `speed` times faster, until `stop` is set.

    The first comes at once. With `shift_to` the events are dated again, as if that one came at this instant.
    """
    pause = stop.wait if sleep is None else sleep
    before: float | None = None
    for notification in _redated(recording, speed=speed, shift_to=shift_to):
        if before is not None and notification.at_seconds > before:
            pause((notification.at_seconds - before) / speed)
        if stop.is_set():
            return
        before = notification.at_seconds
        _feed(events, notification)


def _feed(events: EventStore, notification: Notification) -> None:
    if notification.type == "DELETED":
        events.delete(notification.event["metadata"]["uid"])
    else:
        events.put(notification.event)


def _redated(
    recording: Iterable[Notification], *, speed: float, shift_to: datetime | None
) -> Iterator[Notification]:
    """Map recorded time to played time: the same for all dates, so those within an event stay consistent."""
    begin: datetime | None = None
    for notification in recording:
        if shift_to is None:
            yield notification
            continue
        begin = begin or happened_at(notification.event)
        move = functools.partial(_played_at, begin=begin, speed=speed, shift_to=shift_to)
        yield replace(notification, event=redate(notification.event, move))


def _played_at(recorded_at: datetime, *, begin: datetime, speed: float, shift_to: datetime) -> datetime:
    return shift_to + (recorded_at - begin) / speed


def happened_at(event: Event) -> datetime:
    """When the event was last seen: by its series, else its times, else its creation."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        event["metadata"].get("creationTimestamp"),
    )
    return datetime.fromisoformat(next(time for time in times if time))


def redate(event: Event, move: Callable[[datetime], datetime]) -> Event:
    """Copy the event with every time of it moved; absent and null ones stay, and each keeps its format."""
    moved = copy.deepcopy(event)
    _redate_field(moved["metadata"], "creationTimestamp", move)
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        _redate_field(moved, name, move)
    _redate_field(moved.get("series") or {}, "lastObservedTime", move)
    return moved


def _redate_field(holder: dict[str, Any], name: str, move: Callable[[datetime], datetime]) -> None:
    if text := holder.get(name):
        holder[name] = _as_written(move(datetime.fromisoformat(text)), is_micro_time="." in text)


def _as_written(at: datetime, *, is_micro_time: bool) -> str:
    """Write a `Time` (whole seconds) or a `MicroTime` (always six digits) of apimachinery."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if is_micro_time else "%Y-%m-%dT%H:%M:%SZ")
