"""What a receiver is told about."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin_consumer.digest import Digest
from tocsin_consumer.report import Report
from tocsin_schemas.event import EventPayload


@dataclass(frozen=True, slots=True)
class Notification:
    """One state of one event, and when the consumer received it (aware UTC); or what it stands for."""

    event: EventPayload
    received_at: datetime
    #: An incident, or a storm; None where the event is told as it came.
    report: Report | Digest | None = None

    @property
    def delay(self) -> timedelta:
        """How long after its last occurrence the event arrived; never negative, whatever the clocks say."""
        delay = self.received_at.timestamp() - self.event.last
        return timedelta(seconds=max(0.0, delay))
