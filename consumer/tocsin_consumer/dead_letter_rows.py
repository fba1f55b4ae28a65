"""The table of dead letters: what nobody understands, and what no receiver took."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from tocsin_consumer.database import Connection, insert
from tocsin_consumer.dead_letter import DeadLetter, Kind, Search
from tocsin_consumer.records import Content, DeadPayload, Outcome, StoredEvent
from tocsin_consumer.report import Report
from tocsin_consumer.tables import milliseconds, optional_milliseconds, time_of

#: How much of a payload that nobody understands is kept.
DEAD_PAYLOAD_LIMIT: Final = 64 * 1024

#: What is wanted: those that a Search names.
_WANTED: Final = """
(:ids IS NULL OR dead_letters.id IN (SELECT value FROM json_each(:ids)))
    AND (:kind IS NULL OR kind = :kind)
    AND (:receiver IS NULL OR receiver = :receiver)
    AND (:since IS NULL OR at >= :since)
    AND (:before IS NULL OR at < :before)
    AND (:after IS NULL OR dead_letters.id > :after)
    AND (:up_to IS NULL OR dead_letters.id <= :up_to)
"""
_FIND: Final = f"""
SELECT dead_letters.id, kind, reason, at, topic, COALESCE(dead_letters.payload, events.payload), receiver,
    incident, storm
FROM dead_letters LEFT JOIN events ON events.id = event
WHERE {_WANTED} ORDER BY dead_letters.id
"""  # noqa: S608 - constants
_MARK: Final = """
UPDATE dead_letters SET kind = 'replay' WHERE kind = 'payload' AND id IN (SELECT value FROM json_each(?))
"""
_REVIVABLE: Final = """
SELECT id FROM dead_letters AS dead WHERE kind = 'delivery' AND id IN (SELECT value FROM json_each(:ids))
    AND NOT EXISTS (
        SELECT 1 FROM events AS state
        JOIN events AS newer ON newer.cluster = state.cluster AND newer.uid = state.uid
        JOIN deliveries ON deliveries.event = newer.id
        WHERE state.id = dead.event AND newer.count > state.count
            AND deliveries.receiver = dead.receiver AND deliveries.state = 'delivered'
    )
    AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.incident = dead.incident
            AND deliveries.receiver = dead.receiver AND state = 'delivered' AND settled_at >= dead.at
    )
    AND NOT EXISTS (
        SELECT 1 FROM incidents WHERE incidents.id = dead.incident AND closed_at IS NULL
            AND dead.receiver NOT IN (SELECT value FROM json_each(receivers))
    )
"""
# What waits for the same receiver already tells the same.
_REVIVE: Final = """
INSERT INTO deliveries (event, incident, cause, storm, receiver, state, attempts, due_at, created_at)
SELECT DISTINCT event, incident, CASE WHEN incident IS NULL THEN NULL ELSE 'repeat' END, storm, receiver,
    'pending', 0, :now, :now
FROM dead_letters AS dead
WHERE id IN (SELECT value FROM json_each(:ids)) AND NOT EXISTS (
    SELECT 1 FROM deliveries WHERE receiver = dead.receiver AND state = 'pending'
        AND event IS dead.event AND incident IS dead.incident AND storm IS dead.storm
)
"""
# What a dead letter would have told counted as told, until it is tried again.
_UNTELL: Final = """
UPDATE told SET gathered = '[]' WHERE EXISTS (
    SELECT 1 FROM dead_letters AS dead WHERE dead.id IN (SELECT value FROM json_each(?))
        AND dead.incident = told.incident AND dead.receiver = told.receiver
)
"""


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


def find(connection: Connection, search: Search, *, limit: int, newest: bool) -> list[DeadLetter]:
    """Return the newest or else the oldest dead letters that are wanted, oldest first."""
    order = "DESC" if newest else "ASC"
    rows = connection.execute(f"{_FIND} {order} LIMIT :limit", {**_named(search), "limit": limit}).fetchall()
    return [_letter(row) for row in (reversed(rows) if newest else rows)]


def count(connection: Connection, search: Search) -> tuple[int, int]:
    """Return how many dead letters are wanted, and the id of the newest; 0 if there is none."""
    query = f"SELECT COUNT(*), COALESCE(MAX(id), 0) FROM dead_letters WHERE {_WANTED}"  # noqa: S608 - a constant
    ((number, id_),) = connection.execute(query, _named(search)).fetchall()
    return number, id_


def delete(connection: Connection, search: Search) -> int:
    """Delete the dead letters that are wanted, and return how many."""
    return connection.execute(f"DELETE FROM dead_letters WHERE {_WANTED}", _named(search)).rowcount  # noqa: S608


def mark(connection: Connection, ids: Collection[int]) -> int:
    """Let messages be looked at again, and return how many."""
    return connection.execute(_MARK, (json.dumps(list(ids)),)).rowcount


def revive(connection: Connection, ids: Collection[int], now: datetime) -> int:
    """Let deliveries be tried again as if they were new, and return how many.

    Of an event, a state older than one that the receiver has got would let it see counts fall, so it stays dead.
    So does an incident of which the receiver got a card since, or is told no longer.
    """
    named = {"ids": json.dumps(list(ids)), "now": milliseconds(now)}
    revived = json.dumps([id_ for (id_,) in connection.execute(_REVIVABLE, named)])
    connection.execute(_REVIVE, {**named, "ids": revived})
    connection.execute(_UNTELL, (revived,))
    return connection.execute(
        "DELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each(?))", (revived,)
    ).rowcount


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


def _named(search: Search) -> dict[str, Any]:
    return {
        "ids": None if search.ids is None else json.dumps(search.ids),
        "kind": search.kind,
        "receiver": search.receiver,
        "since": optional_milliseconds(search.since),
        "before": optional_milliseconds(search.before),
        "after": search.after,
        "up_to": search.up_to,
    }


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    id_, kind, reason, at, topic, payload, receiver, incident, storm = row
    return DeadLetter(id_, Kind(kind), reason, time_of(at), topic, payload, receiver, incident, storm)
