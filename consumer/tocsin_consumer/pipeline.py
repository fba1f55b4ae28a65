"""What happens to each message, stage after stage."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from tocsin_consumer import sequence
from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.decode import Rejection, Said, decode
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.inert import one_line
from tocsin_consumer.route import Route
from tocsin_consumer.store import DeadPayload, Entry, Key, Store
from tocsin_consumer.throttle import ThrottledLog
from tocsin_schemas.event import EventPayload

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """What became of the messages that were stored."""

    seen: int = 0
    statuses: int = 0
    #: Not understood: dead letters.
    rejected: int = 0
    #: Known states of known events, and states older than a known one.
    repeats: int = 0
    stale: int = 0
    #: Events that a producer numbered and that never came.
    missing: int = 0
    #: New states of events; of them, those that no route takes to a receiver.
    events: int = 0
    dropped: int = 0
    deliveries: int = 0

    def add(self, other: "Counters") -> None:
        """Count what `other` has counted."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))

    def __str__(self) -> str:
        return " ".join(f"{counter.name}={getattr(self, counter.name)}" for counter in fields(self))


Arrived = tuple[Arrival, EventPayload]


class Pipeline:
    """Takes messages from the broker to deliveries in the store.

    Args:
        root: the topics' root.
        route: the top of the routing tree.
        store: where it ends.
        notify: called with the names of receivers that have something new to deliver.
        clock: the time, aware.
    """

    def __init__(
        self,
        root: str,
        route: Route,
        *,
        store: Store,
        notify: Callable[[Collection[str]], None],
        clock: Clock = utc_now,
    ) -> None:
        self.counters = Counters()
        self._root = root
        self._route = route
        self._store = store
        self._notify = notify
        self._clock = clock
        self._positions = store.positions()
        self._dead_letters = ThrottledLog(_log)

    def process(self, arrivals: Sequence[Arrival]) -> None:
        """Take `arrivals` through all stages; when this returns, they may be acknowledged.

        Raises:
            StoreError: nothing of this is kept, and nothing is counted; it may be tried again.
        """
        decoded = [(arrival, self._decode(arrival)) for arrival in arrivals]
        events = [(arrival, said) for arrival, said in decoded if isinstance(said, EventPayload)]
        dead = [_dead(arrival, said.reason) for arrival, said in decoded if isinstance(said, Rejection)]
        moved, missing = sequence.advance(self._positions, (event for _, event in events))
        fresh, repeats, stale = dedupe(events, self._store.highest_counts({_key(event) for _, event in events}))
        entries = [self._route_event(arrival, event) for arrival, event in fresh]
        self._store.record(entries, dead, positions=moved, now=self._clock())

        self._positions = sequence.merge(self._positions, moved)
        self._tell(dead, missing)
        self.counters.add(
            Counters(
                seen=len(arrivals),
                statuses=len(arrivals) - len(events) - len(dead),
                rejected=len(dead),
                repeats=repeats,
                stale=stale,
                missing=sum(missing.values()),
                events=len(entries),
                dropped=sum(not entry.receivers for entry in entries),
                deliveries=sum(len(entry.receivers) for entry in entries),
            )
        )
        self._notify({receiver for entry in entries for receiver in entry.receivers})

    def reject(self, arrival: Arrival, reason: str) -> None:
        """Make a dead letter of a message that no stage may look at again.

        Raises:
            StoreError: it is not kept; it may be tried again.
        """
        dead = [_dead(arrival, reason)]
        self._store.record([], dead, positions={}, now=self._clock())
        self._tell(dead, {})
        self.counters.add(Counters(seen=1, rejected=1))

    def _decode(self, arrival: Arrival) -> Said | Rejection:
        return decode(arrival.message.topic, arrival.message.payload, root=self._root)

    def _route_event(self, arrival: Arrival, event: EventPayload) -> Entry:
        decision = self._route.decide(event)
        return Entry(event, arrival.message.payload, arrival.received_at, decision.receivers)

    def _tell(self, dead: Iterable[DeadPayload], missing: Mapping[str, int]) -> None:
        for letter in dead:
            self._dead_letters.error("dead letter: %s: %s", one_line(letter.topic[:200]), letter.reason)
        for cluster, count in missing.items():
            _log.warning("cluster %s: %d of the events that it published have not come", cluster, count)


def dedupe(events: Iterable[Arrived], known: Mapping[Key, int]) -> tuple[list[Arrived], int, int]:
    """Return the events whose count is higher than any before, and how many repeat one or are older.

    `known` holds the highest count of each (cluster, uid) before these. What is older than a known state says
    nothing that the newer one does not, and a receiver would see a count fall.
    """
    highest = dict(known)
    fresh = []
    repeats = stale = 0
    for arrival, event in events:
        before = highest.get(_key(event), 0)
        if event.count > before:
            highest[_key(event)] = event.count
            fresh.append((arrival, event))
        elif event.count == before:
            repeats += 1
        else:
            stale += 1
    return fresh, repeats, stale


def _key(event: EventPayload) -> Key:
    return event.cluster, event.uid


def _dead(arrival: Arrival, reason: str) -> DeadPayload:
    return DeadPayload(arrival.message.topic, arrival.message.payload, reason, arrival.received_at)
