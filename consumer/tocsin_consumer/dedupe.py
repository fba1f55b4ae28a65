"""Which states of events are new. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tocsin_consumer.inbox import Arrival
from tocsin_consumer.records import Key
from tocsin_schemas.event import EventPayload

Arrived = tuple[Arrival, EventPayload]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A state of an event that is new, and how many occurrences are."""

    event: EventPayload
    payload: bytes
    received_at: datetime
    occurred: int


def dedupe(events: Iterable[Arrived], known: Mapping[Key, int]) -> tuple[list[Fresh], int, int]:
    """Return the events whose count is higher than any before, and how many repeat one or are older.

    `known` holds the highest count of each (cluster, uid) before these. What is older than a known state says
    nothing that the newer one does not, and a receiver would see a count fall.
    """
    highest = dict(known)
    fresh = []
    repeats = stale = 0
    for arrival, event in events:
        before = highest.get(key_of(event), 0)
        if event.count > before:
            highest[key_of(event)] = event.count
            fresh.append(Fresh(event, arrival.message.payload, arrival.received_at, event.count - before))
        elif event.count == before:
            repeats += 1
        else:
            stale += 1
    return fresh, repeats, stale


def key_of(event: EventPayload) -> Key:
    """Return what all states of an event have in common."""
    return event.cluster, event.uid
