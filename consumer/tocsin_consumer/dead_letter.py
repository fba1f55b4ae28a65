"""Dead letters as people see them, and what became of those that they want to be tried again."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What was given up: a message that nobody understands, or a delivery that a receiver did not take."""

    PAYLOAD = "payload"
    DELIVERY = "delivery"
    #: A message that the consumer is to look at again.
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter."""

    id: int
    kind: Kind
    reason: str
    at: datetime
    topic: str | None
    #: Of a message, as it came; of the delivery of an event, the event.
    payload: bytes | None
    receiver: str | None
    incident: int | None
    storm: str | None


@dataclass(frozen=True, slots=True)
class Search:
    """Which dead letters are wanted; what is None does not matter."""

    ids: tuple[int, ...] | None = None
    kind: Kind | None = None
    receiver: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    #: Their ids are above the one, and not above the other.
    after: int | None = None
    up_to: int | None = None
