"""The producer's pipeline: read → filter → known already? → compact → fold → outbox, in one transaction."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tocsin_producer.checkpoint import NOTHING, Checkpoint
from tocsin_producer.database import Database
from tocsin_producer.errors import MalformedEventError
from tocsin_producer.event import EventState, read_event
from tocsin_producer.filter import EventFilter
from tocsin_producer.fold import Fold
from tocsin_producer.message import CONDITION_SEVERITY, NODE_SEVERITY, Message
from tocsin_producer.payload import event_payload
from tocsin_schemas.topics import event_topic

_log = logging.getLogger(__name__)


#: What can become of an event state that the API server told.
OUTCOMES: Final = ("accepted", "folded", "repeated", "filtered", "malformed")


@dataclass(frozen=True, slots=True)
class Wire:
    """How this producer's events look on the wire."""

    topic_root: str
    cluster: str
    message_limit: int

    def message(self, state: EventState) -> Message:
        """Return what waits in the outbox for `state`."""
        topic = event_topic(
            self.topic_root,
            self.cluster,
            namespace=state.namespace,
            kind=state.kind,
            reason=state.reason,
        )
        payload = event_payload(state, self.cluster, message_limit=self.message_limit)
        node = state.name if state.kind == "Node" else ""
        return Message(state.uid, state.count, severity(state), topic, payload, node)


def severity(state: EventState) -> int:
    """Return how much it matters: conditions of nodes, what else is said of nodes, other Warnings, the rest."""
    if state.kind == "Node":
        return CONDITION_SEVERITY if state.type == "Normal" else NODE_SEVERITY
    return 1 if state.type == "Warning" else 0


class Intake:
    """Takes Event objects from any number of watches.

    Args:
        wake: called when something new waits in the outbox.
    """

    def __init__(
        self,
        database: Database,
        checkpoint: Checkpoint,
        fold: Fold,
        *,
        event_filter: EventFilter,
        wire: Wire,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._checkpoint = checkpoint
        self._fold = fold
        self._filter = event_filter
        self._wire = wire
        self._wake = wake
        self._sums: Counter[str] = Counter()
        self._sums_lock = threading.Lock()

    def offer(self, values: Iterable[object], watch: str) -> None:
        """Take Event objects as they came from the API server, all of them or, when this raises, none.

        Raises:
            sqlite3.Error: the state cannot be written.
        """
        outcomes: Counter[str] = Counter()
        released = self._fold.released
        with self._database.transaction():
            outcomes.update(self._take(value, watch) for value in values)
        self._count(outcomes)
        if outcomes["accepted"] or self._fold.released != released:
            self._wake()

    def _take(self, value: object, watch: str) -> str:
        """Take one object through all stages and return the counter that it belongs to."""
        state = self._read(value)
        if state is None:
            return "malformed"
        if not self._filter.passes(state):
            return "filtered"
        known = self._checkpoint.seen(state.uid)
        seen = known
        if state.count > known.count:
            seen = self._fold.put(self._wire.message(state), known, reason=state.reason)
        self._checkpoint.remember(state.uid, seen, watch, is_new=known is NOTHING)
        if seen is known:
            return "repeated"
        return "folded" if 0 < seen.told < state.count else "accepted"  # 0: there was no room, and it is lost

    def _read(self, value: object) -> EventState | None:
        try:
            return read_event(value)
        except MalformedEventError as error:
            _log.warning("skipped an Event that cannot be read: %s", error)
            return None

    def forget(self, value: object) -> None:
        """Take note that an Event was deleted, which is its end and no news."""
        state = self._read(value)
        if state is not None:
            self._checkpoint.forget(state.uid)

    def note_malformed(self, what: str) -> None:
        """Count something from the API server that is not even an Event object."""
        self._count(Counter(malformed=1))
        _log.warning("skipped what the API server sent: %s", what)

    def _count(self, outcomes: Counter[str]) -> None:
        with self._sums_lock:
            self._sums.update(outcomes)

    def sums(self) -> dict[str, int]:
        """Return how many event states came to each of the outcomes so far."""
        with self._sums_lock:
            return {outcome: self._sums[outcome] for outcome in OUTCOMES}
