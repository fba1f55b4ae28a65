"""One open watch on Events (apiserver `pkg/storage/etcd3/watcher.go`)."""

import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

from tests.fakes.apiserver_answer import encode, expired_watch
from tests.fakes.apiserver_clock import Clock
from tests.fakes.apiserver_options import ListOptions
from tests.fakes.apiserver_store import Change, Event, EventStore, at_revision

# `frame`: a whole chunk that holds half a line. `chunk`: half of a chunk that promised the whole line.
CutWithin: TypeAlias = Literal["frame", "chunk"]

_DEFAULT_TIMEOUT_SECONDS = 1800  # `--min-request-timeout`; the real one adds up to as much again, at random
_LOOK_FOR_CLIENT_SECONDS = 0.1


class Watch:
    """What one client is sent, from the resourceVersion that it asked for until the watch ends.

    Tests may reach in while it is open: `send`, `send_bookmark`, `cut_next_frame`, `close`, `close_after`.
    """

    def __init__(self, store: EventStore, clock: Clock, options: ListOptions) -> None:
        self.options = options
        self.frames_sent = 0
        self._store = store
        self._clock = clock
        self._ends_at = clock.now() + (options.timeout_seconds or _DEFAULT_TIMEOUT_SECONDS)
        self._last_frame: float = math.inf
        self._cut_within: CutWithin | None = None
        self._pending: deque[Callable[[], bytes]] = deque()
        self._revision = store.revision if options.resource_version is None else options.resource_version
        self._begin()

    def send(self, line: bytes) -> None:
        """Send `line` as it is, after what is due before it."""
        with self._clock.changed:
            self._pending.append(lambda: line)
            self._clock.notify()

    def send_bookmark(self) -> None:
        """Send a BOOKMARK of the current resourceVersion, if the client allows bookmarks."""
        with self._clock.changed:
            if self.options.allow_watch_bookmarks:
                self._pending.append(lambda: encode(_bookmark(self._revision)))
                self._clock.notify()

    def expire(self) -> None:
        """Say that the resourceVersion is too old, as recorded, nothing else, and end."""
        self._pending.clear()
        self._revision = sys.maxsize  # no change comes after this one
        self.send(encode({"type": "ERROR", "object": expired_watch()}))
        self.close()

    def close(self) -> None:
        """End in good order once everything due is sent."""
        self.close_after(seconds=0)

    def close_after(self, *, seconds: float = math.inf, frames: float = math.inf) -> None:
        """End in good order after so many seconds or frames from now, whichever comes first."""
        with self._clock.changed:
            self._ends_at = min(self._ends_at, self._clock.now() + seconds)
            self._last_frame = min(self._last_frame, self.frames_sent + frames)
            self._clock.notify()

    def cut_next_frame(self, within: CutWithin) -> None:
        """Break the connection in the middle of the next frame."""
        with self._clock.changed:
            self._cut_within = within

    @property
    def cut_within(self) -> CutWithin | None:
        """How the frame that is about to be sent breaks, if it does."""
        return self._cut_within

    def frames(self, *, is_client_gone: Callable[[], bool]) -> Iterator[bytes]:
        """Every line of the watch, each as soon as it is due, until the watch ends or the client has gone."""
        while True:
            for frame in self._due():
                if self.frames_sent >= self._last_frame:
                    return
                self._count_frame()
                yield frame
            if self._has_ended() or is_client_gone():
                return
            self._wait()

    def _count_frame(self) -> None:
        with self._clock.changed:
            self.frames_sent += 1
            self._clock.notify()

    def _begin(self) -> None:
        """Queue what comes before any change: an error, or all Events that there are."""
        if self.options.send_initial_events:
            self._send_initial_events()
        elif self.options.resource_version and self._store.is_forgotten(self.options.resource_version):
            self.expire()

    def _send_initial_events(self) -> None:
        snapshot = self._store.snapshot()
        self._revision = snapshot.revision
        for _, event in snapshot.entries:
            if self.options.field_selector.matches(event):
                self.send(_frame("ADDED", event))
        if self.options.allow_watch_bookmarks:
            self.send(encode(_bookmark(snapshot.revision, initial_events_end=True)))

    def _due(self) -> list[bytes]:
        """Take what is to be sent now: first the changes, so that a bookmark comes after all it vouches for."""
        with self._clock.changed:
            changes = self._store.changes_after(self._revision)
            self._revision = max(self._revision, self._store.revision)
            waiting = tuple(self._pending)
            self._pending.clear()
            frames = [frame for change in changes if (frame := self._frame_of(change))]
            return frames + [line() for line in waiting]

    def _frame_of(self, change: Change) -> bytes | None:
        """The notification of a change: an object that begins to match is ADDED, one that ceases DELETED.

        A DELETED object is the previous one with the resourceVersion of the change.
        """
        was, now = self._selects(change.previous), self._selects(change.current)
        if now is not None:
            return _frame("ADDED" if was is None else "MODIFIED", now)
        return None if was is None else _frame("DELETED", at_revision(was, change.revision))

    def _selects(self, event: Event | None) -> Event | None:
        return event if event is not None and self.options.field_selector.matches(event) else None

    def _has_ended(self) -> bool:
        return self._clock.now() >= self._ends_at or self.frames_sent >= self._last_frame

    def _wait(self) -> None:
        """Wait for something to send, not beyond the end, and not for long without a look for the client."""
        until = min(self._ends_at, self._clock.now() + _LOOK_FOR_CLIENT_SECONDS)
        self._clock.wait_for(self._is_something_due, until=until)

    def _is_something_due(self) -> bool:
        unseen = self._store.changes_after(self._revision)
        return bool(self._pending) or bool(unseen) or self._has_ended()


def _frame(kind: str, event: Event) -> bytes:
    return encode({"type": kind, "object": {"kind": "Event", "apiVersion": "v1", **event}})


def _bookmark(revision: int, *, initial_events_end: bool = False) -> dict[str, Any]:
    """Build a BOOKMARK: an empty Event, and its mark of the end of the initial events, as recorded."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if initial_events_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    times = {"firstTimestamp": None, "lastTimestamp": None, "eventTime": None}
    event = {"kind": "Event", "apiVersion": "v1", "metadata": metadata, "involvedObject": {}, "source": {}}
    return {"type": "BOOKMARK", "object": event | times | {"reportingComponent": "", "reportingInstance": ""}}
