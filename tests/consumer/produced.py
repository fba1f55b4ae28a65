"""What the real producer publishes of a recorded watch, with its defaults and a link that is always there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.fakes.recording import Notification, happened_at, read_recording
from tocsin_consumer.recording import Recorded
from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.database import Database
from tocsin_producer.filter import EventFilter
from tocsin_producer.fold import Fold
from tocsin_producer.intake import Intake, Wire
from tocsin_producer.outbox import Outbox
from tocsin_producer.settings import EventSettings, FoldSettings, ProducerSettings
from tocsin_schemas.event import EventPayload

RECORDING = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"
CLUSTER = "example"
_MESSAGES, _BYTES = 50_000, 10**9


class Producer:
    """Its intake, fold and outbox, on a clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0
        database = Database(None)
        checkpoint = Checkpoint(database)
        self._outbox = Outbox(database, max_messages=_MESSAGES, max_bytes=_BYTES)
        self._fold = Fold(
            database,
            checkpoint,
            self._outbox,
            interval_seconds=FoldSettings().interval.total_seconds(),
            max_messages=_MESSAGES,
            max_bytes=_BYTES,
            now=lambda: self.now,
        )
        events = EventSettings()
        self._intake = Intake(
            database,
            checkpoint,
            self._fold,
            event_filter=EventFilter(
                [rule.rule() for rule in events.include], [rule.rule() for rule in events.exclude]
            ),
            wire=Wire("k8s/v1", CLUSTER, ProducerSettings.model_fields["message_limit"].default),
            wake=lambda: None,
        )

    def offer(self, notification: Notification) -> None:
        if notification.type == "DELETED":
            self._intake.forget(notification.event)
        else:
            self._intake.offer([notification.event], "recording")

    def wait(self) -> float | None:
        """Let go what is due, and return in how many seconds something will be."""
        return self._fold.release()

    def published(self) -> Iterator[EventPayload]:
        """Yield what there is to publish."""
        while taken := self._outbox.take(_MESSAGES):
            for message in taken:
                yield EventPayload.model_validate_json(f'{message.payload[:-1]},"boot":1,"seq":1}}')
            self._outbox.settle([self._outbox.acknowledge(message) for message in taken])


def produced(path: Path = RECORDING) -> list[Recorded]:
    """Return what the producer publishes of a recording, and when."""
    producer = Producer()
    found: list[Recorded] = []

    def publish() -> float | None:
        wait = producer.wait()
        at = datetime.fromtimestamp(producer.now, tz=UTC)
        found.extend(Recorded(event, at) for event in producer.published())
        return wait

    notifications = list(read_recording(path))
    begin = happened_at(notifications[0].event).timestamp() - notifications[0].at_seconds
    for notification in notifications:
        at = begin + notification.at_seconds
        while (wait := publish()) is not None and producer.now + wait <= at:
            producer.now += wait
        producer.now = at
        producer.offer(notification)
    while (wait := publish()) is not None:
        producer.now += wait
    return found
