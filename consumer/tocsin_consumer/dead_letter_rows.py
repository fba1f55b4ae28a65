"""The table of dead letters: what nobody understands, and what no receiver took."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tocsin_consumer.database import Connection, insert
from tocsin_consumer.records import Content, DeadPayload, Outcome, StoredEvent
from tocsin_consumer.report import Report
from tocsin_consumer.tables import milliseconds

#: How much of a payload that nobody understands is kept.
DEAD_PAYLOAD_LIMIT: Final = 64 * 1024


def insert_payloads(connection: Connection, letters: Sequence[DeadPayload]) -> None:
    """Insert messages that nobody understands."""
    rows = [
        ("payload", letter.reason, milliseconds(letter.at), letter.topic, letter.payload[:DEAD_PAYLOAD_LIMIT])
        for letter in letters
    ]
    insert(connection, "INSERT INTO dead_letters (kind, reason, at, topic, payload)", rows)


def insert_deliveries(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Insert deliveries that were given up."""
    rows = [
        (
            "delivery",
            outcome.reason or "",
            milliseconds(outcome.at),
            outcome.delivery.receiver,
            *_subject(outcome.delivery.content),
        )
        for outcome in outcomes
    ]
    insert(connection, "INSERT INTO dead_letters (kind, reason, at, receiver, event, incident, storm)", rows)


def delete_old(connection: Connection, before: datetime) -> None:
    """Delete those from `before`."""
    connection.execute("DELETE FROM dead_letters WHERE at < ?", (milliseconds(before),))


def _subject(content: Content) -> tuple[int | None, int | None, str | None]:
    """Return the ids of the event, the incident and the storm, one of which there is."""
    match content:
        case StoredEvent():
            return content.id, None, None
        case Report():
            return None, content.incident, None
    return None, None, content.storm
