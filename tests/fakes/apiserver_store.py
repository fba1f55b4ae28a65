"""What etcd is to the API server: Events with revisions, a history, and its compaction."""

import bisect
import copy
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tests.fakes.recording import Notification

Event: TypeAlias = dict[str, Any]


class CompactedError(Exception):
    """The revision asked for is older than the compacted one, so its state is no longer known."""


@dataclass(frozen=True)
class Served:
    """One line of the ledger: a state of an Event that was put, as a client may be told of it."""

    uid: str
    count: int
    resource_version: int
    put_at: datetime


@dataclass(frozen=True)
class Change:
    """One write: `previous` is None for a creation, `current` is None for a deletion."""

    revision: int
    key: str
    previous: Event | None
    current: Event | None


@dataclass(frozen=True)
class Snapshot:
    """All Events as they were at `revision`, in the order of their keys."""

    revision: int
    entries: tuple[tuple[str, Event], ...]


class EventStore:
    """The Events of a cluster, each write of which takes the next revision.

    Stored objects are never changed afterwards, so they may be handed out without a copy.
    """

    def __init__(self, changed: threading.Condition, utc_now: Callable[[], datetime]) -> None:
        self._changed = changed
        self._utc_now = utc_now
        self._served: list[Served] = []
        self._begin()

    def _begin(self) -> None:
        self.revision = 1
        self.compacted = 0
        self._current: dict[str, Event] = {}
        self._history: list[Change] = []

    @property
    def served(self) -> tuple[Served, ...]:
        """The ledger: every state that was put, in the order of the writes."""
        with self._changed:
            return tuple(self._served)

    def put(self, event: Event) -> str:
        """Create the Event, or update the one of its namespace and name; answer its resourceVersion.

        As the server does for an Event that was posted, a missing uid and creationTimestamp are filled in.
        """
        with self._changed:
            self._write(event, self.revision + 1)
            return str(self.revision)

    def delete(self, uid: str) -> None:
        """Delete the Event; raise `KeyError` if there is none with this uid."""
        with self._changed:
            self._remove(uid, self.revision + 1)

    def expire_events(self) -> None:
        """Delete every Event, as its time to live does an hour after its last update."""
        with self._changed:
            for event in tuple(self._current.values()):
                self._remove(event["metadata"]["uid"], self.revision + 1)

    def write_others(self, times: int = 1) -> None:
        """Let objects of other kinds (a kubelet's lease, …) take `times` revisions, as they always do."""
        with self._changed:
            self.revision += times

    def compact(self) -> None:
        """Forget all history: whatever was listed or watched before now can no longer be resumed.

        etcd keeps the state at the compacted revision itself; the writes of others put it behind every
        revision that a client knows.
        """
        with self._changed:
            self.write_others(2)
            self.compacted = self.revision

    def rebuild(self) -> None:
        """Begin again with nothing at revision 1, as a cluster that was set up anew; the ledger stays.

        Watches that are open stay where they were: `ApiServer.restart` ends them.
        """
        with self._changed:
            self._begin()
            self._changed.notify_all()

    def load(self, recording: "Iterable[Notification]") -> None:
        """Apply all notifications at once, keeping the resourceVersions that they were recorded with."""
        with self._changed:
            for notification in recording:
                metadata = notification.event["metadata"]
                revision = int(metadata["resourceVersion"])
                if notification.type == "DELETED":
                    self._remove(metadata["uid"], revision)
                else:
                    self._write(notification.event, revision)

    def snapshot(self, revision: int | None = None) -> Snapshot:
        """All Events now, or as they were at `revision`; raise `CompactedError` if that is forgotten."""
        with self._changed:
            if revision is None or revision >= self.revision:
                return Snapshot(self.revision, tuple(sorted(self._current.items())))
            if revision < self.compacted:
                raise CompactedError
            return Snapshot(revision, tuple(sorted(self._replayed(revision).items())))

    def changes_after(self, revision: int) -> tuple[Change, ...]:
        """The writes after `revision`, in order."""
        with self._changed:
            first = bisect.bisect_right(self._history, revision, key=attrgetter("revision"))
            return tuple(self._history[first:])

    def is_forgotten(self, revision: int) -> bool:
        """Whether a watch from `revision` would miss writes: its first one, `revision + 1`, is compacted."""
        return revision + 1 < self.compacted

    def _replayed(self, revision: int) -> dict[str, Event]:
        state: dict[str, Event] = {}
        for change in self._history:
            if change.revision > revision:
                break
            if change.current is None:
                del state[change.key]
            else:
                state[change.key] = change.current
        return state

    def _write(self, event: Event, revision: int) -> None:
        stored = self._as_stored(event, revision)
        metadata = stored["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        previous = self._current.get(key)
        if previous is not None and previous["metadata"]["uid"] != metadata["uid"]:
            raise ValueError(f"{key} exists with another uid: delete it before it is created again")
        self._commit(Change(revision, key, previous, stored))
        self._current[key] = stored
        self._served.append(Served(metadata["uid"], count_of(stored), revision, self._utc_now()))

    def _remove(self, uid: str, revision: int) -> None:
        found = (key for key, event in self._current.items() if event["metadata"]["uid"] == uid)
        key = next(found, None)
        if key is None:
            raise KeyError(uid)
        self._commit(Change(revision, key, self._current[key], None))
        del self._current[key]

    def _commit(self, change: Change) -> None:
        if change.revision <= self.revision:
            raise ValueError(f"revision {change.revision} is not after the current one, {self.revision}")
        self._history.append(change)
        self.revision = change.revision
        self._changed.notify_all()

    def _as_stored(self, event: Event, revision: int) -> Event:
        """A copy without kind and apiVersion, which lists leave out and watches add, at `revision`."""
        stored = {name: copy.deepcopy(event[name]) for name in event if name not in {"kind", "apiVersion"}}
        metadata = stored["metadata"]
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata["resourceVersion"] = str(revision)
        metadata.setdefault("creationTimestamp", self._utc_now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        return stored


def count_of(event: Event) -> int:
    """How often the event has occurred: `series.count`, else `count`, else 1."""
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or 1)


def at_revision(event: Event, revision: int) -> Event:
    """The Event with another resourceVersion."""
    return {**event, "metadata": {**event["metadata"], "resourceVersion": str(revision)}}
