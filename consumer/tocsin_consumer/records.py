"""What goes into the store and comes out of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from tocsin_consumer.errors import PermanentError
from tocsin_consumer.notification import Notification
from tocsin_schemas.event import EventPayload

#: Cluster and uid: what all states of an event have in common.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to keep, and whom to tell about it."""

    event: EventPayload
    payload: bytes
    received_at: datetime
    receivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeadPayload:
    """A message that nobody understands."""

    topic: str
    payload: bytes
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a receiver has not been told about yet."""

    id: int
    event_id: int
    cluster: str
    uid: str
    receiver: str
    attempts: int
    created_at: datetime
    payload: bytes
    received_at: datetime

    @property
    def notification(self) -> Notification:
        """What to tell.

        Raises:
            PermanentError: the payload that is stored was damaged, or is none that this version reads.
        """
        try:
            return Notification(EventPayload.model_validate_json(self.payload), self.received_at)
        except ValidationError as error:
            raise PermanentError("what the store holds of it cannot be read") from error


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits for a receiver, and since when the oldest of it."""

    waiting: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try; `due_at` says when the next one is, if the delivery is still pending."""

    delivery: Delivery
    state: Literal["delivered", "pending", "dead"]
    at: datetime
    reason: str | None = None
    due_at: datetime | None = None
