"""The table of deliveries: what is due to whom, and what became of it."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from tocsin_consumer import dead_letter_rows, incident_rows, storm_rows
from tocsin_consumer.database import Connection
from tocsin_consumer.digest import Digest
from tocsin_consumer.dispatch import Cause, given_up
from tocsin_consumer.records import Backlog, Content, Delivery, Entry, Order, Outcome, StoredEvent
from tocsin_consumer.report import Report, report
from tocsin_consumer.tables import milliseconds, time_of

#: No delivery is deferred for longer; see retry.py.
LONGEST_WAIT: Final = timedelta(hours=2)

_IS_DUE: Final = "(due_at <= :now OR created_at > :now OR settled_at > :now OR due_at > :latest)"
# Of each event, the oldest state that is pending for a receiver. `pending` stands in the text of every statement,
# so that SQLite sees that the partial index serves.
_HEADS: Final = """
FROM deliveries JOIN events ON events.id = deliveries.event
WHERE receiver = :receiver AND state = 'pending' AND NOT EXISTS (
    SELECT 1 FROM events AS earlier_event
    JOIN deliveries AS earlier ON earlier.event = earlier_event.id
    WHERE earlier_event.cluster = events.cluster AND earlier_event.uid = events.uid
        AND earlier_event.count < events.count
        AND earlier.receiver = deliveries.receiver AND earlier.state = 'pending'
)
"""
_DUE: Final = f"""
SELECT deliveries.id, receiver, attempts, created_at, event, cluster, uid, payload, received_at
{_HEADS} AND {_IS_DUE} ORDER BY deliveries.id LIMIT :limit
"""
_PENDING_REPORTS: Final = "FROM deliveries WHERE receiver = :receiver AND state = 'pending' AND event IS NULL"
_DUE_REPORT: Final = f"""
SELECT id, receiver, attempts, created_at, incident, cause, storm
{_PENDING_REPORTS} AND {_IS_DUE} ORDER BY id DESC LIMIT 1
"""
_NEXT_DUE: Final = f"""
SELECT MIN(due_at) FROM (SELECT due_at {_HEADS} UNION ALL SELECT due_at {_PENDING_REPORTS})
"""  # noqa: S608 - made of the texts above
_INSERT: Final = """
INSERT INTO deliveries (event, receiver, state, attempts, due_at, created_at)
SELECT value, :receiver, 'pending', 0, :now, :now FROM json_each(:events) ORDER BY key
"""
_INSERT_ORDER: Final = """
INSERT INTO deliveries (incident, cause, receiver, state, attempts, due_at, created_at)
VALUES (?, ?, ?, 'pending', 0, ?, ?)
"""
_SET_DELIVERED: Final = """
UPDATE deliveries SET state = 'delivered', attempts = attempts + 1, settled_at = :now
WHERE id IN (SELECT value FROM json_each(:ids))
"""
_SET_FAILED: Final = """
UPDATE deliveries SET state = ?, attempts = ?, reason = ?, due_at = ?, settled_at = ?
WHERE id = ? AND state = 'pending'
"""
_WITHDRAW: Final = """
UPDATE deliveries SET state = 'withdrawn', settled_at = ?
WHERE state = 'pending' AND incident = ? AND receiver = ?
"""
_PENDING_OF: Final = "SELECT id FROM deliveries WHERE state = 'pending' AND id IN (SELECT value FROM json_each(?))"
_ORPHANED: Final = "state = 'pending' AND receiver NOT IN (SELECT value FROM json_each(:receivers))"
_BURY: Final = f"""
INSERT INTO dead_letters (kind, reason, at, receiver, event, incident, storm)
SELECT 'delivery', :reason, :now, receiver, event, incident, storm FROM deliveries WHERE {_ORPHANED}
"""  # noqa: S608 - made of the texts above
_SET_DEAD: Final = f"""
UPDATE deliveries SET state = 'dead', reason = :reason, settled_at = :now WHERE {_ORPHANED}
"""  # noqa: S608 - as above
_BACKLOG: Final = """
SELECT waiting.receiver, waiting, created_at FROM (
    SELECT receiver, COUNT(*) AS waiting, MIN(id) AS oldest
    FROM deliveries WHERE state = 'pending' GROUP BY receiver
) AS waiting JOIN deliveries ON deliveries.id = oldest
"""


def insert_deliveries(connection: Connection, entries: Sequence[Entry], ids: Sequence[int], now: datetime) -> None:
    """Insert the deliveries that events call for: one statement for each receiver."""
    told: dict[str, list[int]] = {}
    for entry, id_ in zip(entries, ids, strict=True):
        for receiver in entry.receivers:
            told.setdefault(receiver, []).append(id_)
    for receiver, events in told.items():
        row = {"receiver": receiver, "now": milliseconds(now), "events": json.dumps(events)}
        connection.execute(_INSERT, row)


def insert_orders(connection: Connection, orders: Sequence[Order], now: datetime) -> None:
    """Insert the deliveries that incidents call for."""
    rows = [(one.incident, one.cause, one.receiver, milliseconds(now), milliseconds(now)) for one in orders]
    connection.executemany(_INSERT_ORDER, rows)


def withdraw(connection: Connection, withdrawn: Iterable[tuple[int, str]], now: datetime) -> None:
    """Let what waits to be told of incidents to receivers not be told; what is on its way already is."""
    rows = [(milliseconds(now), incident, receiver) for incident, receiver in withdrawn]
    connection.executemany(_WITHDRAW, rows)


def due(connection: Connection, receiver: str, now: datetime, *, limit: int) -> list[Delivery]:
    """Return deliveries that may be tried now: of events, or else one of an incident or a storm.

    Events come oldest first, and of each only the oldest state. Incidents and storms come newest first, and each
    as it is now: what waits any longer is told with all that has happened meanwhile, and what would wait for too
    long is merged.

    A state whose predecessor is still pending is not due, so a receiver sees counts rise. What was recorded
    or last tried later than now, or is due later than any wait could explain, shows that the clock was set
    back since, and is due as well.
    """
    named = {
        "receiver": receiver,
        "now": milliseconds(now),
        "latest": milliseconds(now + LONGEST_WAIT),
        "limit": limit,
    }
    events = [_of_event(row) for row in connection.execute(_DUE, named)]
    if events:
        return events
    storm_rows.merge(connection, receiver, now)
    return [_of_report(connection, row, now) for row in connection.execute(_DUE_REPORT, named).fetchall()]


def next_due_at(connection: Connection, receiver: str) -> datetime | None:
    """Return when the next delivery may be tried; None if there is none."""
    (stored,) = connection.execute(_NEXT_DUE, {"receiver": receiver}).fetchone()
    return None if stored is None else time_of(stored)


def settle(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Note what became of tries; what is dead becomes a dead letter: one, though it may be settled twice.

    A commit that seemed to fail may have been done.
    """
    delivered = [outcome for outcome in outcomes if outcome.state == "delivered"]
    failed = [outcome for outcome in outcomes if outcome.state != "delivered"]
    if delivered:
        ids = json.dumps([outcome.delivery.id for outcome in delivered])
        connection.execute(_SET_DELIVERED, {"ids": ids, "now": milliseconds(delivered[-1].at)})
    dead = _still_pending(connection, [outcome for outcome in failed if outcome.state == "dead"])
    connection.executemany(_SET_FAILED, [_failed_row(outcome) for outcome in failed])
    dead_letter_rows.insert_deliveries(connection, dead)
    for outcome in (*delivered, *dead):
        _note_told(connection, outcome)


def bury_all_but(connection: Connection, receivers: Collection[str], reason: str, *, now: datetime) -> int:
    """Give up what is pending for any receiver but these, and return how many that were."""
    named = {"receivers": json.dumps(list(receivers)), "reason": reason, "now": milliseconds(now)}
    connection.execute(_BURY, named)
    return connection.execute(_SET_DEAD, named).rowcount


def backlog(connection: Connection) -> dict[str, Backlog]:
    """Return what waits for each receiver that anything waits for."""
    rows = connection.execute(_BACKLOG)
    return {receiver: Backlog(waiting, time_of(created_at)) for receiver, waiting, created_at in rows}


def _still_pending(connection: Connection, outcomes: Collection[Outcome]) -> list[Outcome]:
    rows = connection.execute(_PENDING_OF, (json.dumps([outcome.delivery.id for outcome in outcomes]),))
    ids = {id_ for (id_,) in rows}
    return [outcome for outcome in outcomes if outcome.delivery.id in ids]


def _failed_row(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.state,
        outcome.delivery.attempts + 1,
        outcome.reason,
        milliseconds(outcome.due_at or outcome.at),
        milliseconds(outcome.at),
        outcome.delivery.id,
    )


def _note_told(connection: Connection, outcome: Outcome) -> None:
    """Note what a receiver was told; a dead letter counts as told: it is from there, or never."""
    content, receiver = outcome.delivery.content, outcome.delivery.receiver
    if isinstance(content, Digest):
        storm_rows.note_arrived(connection, content, receiver)
    elif isinstance(content, Report):
        told = content.as_told(outcome.at)
        if outcome.state == "dead":
            before = incident_rows.recall(connection, [content.incident]).told.get(content.incident, {})
            told = given_up(told, before.get(receiver))
        incident_rows.keep_told(connection, [(content.incident, receiver, told)])


def _of_event(row: tuple[Any, ...]) -> Delivery:
    id_, receiver, attempts, created_at, event, cluster, uid, payload, received_at = row
    content = StoredEvent(event, payload, time_of(received_at))
    return Delivery(id_, receiver, attempts, time_of(created_at), f"cluster {cluster}, event {uid}", content)


def _of_report(connection: Connection, row: tuple[Any, ...], now: datetime) -> Delivery:
    id_, receiver, attempts, created_at, incident, cause, storm = row
    content: Content
    if incident is None:
        subject, content = f"storm {storm}", storm_rows.digest(connection, storm, now)
    else:
        (found,) = incident_rows.find(connection, [incident])
        told = incident_rows.recall(connection, [incident]).told.get(incident, {}).get(receiver)
        subject, content = f"incident {incident}", report(found, told, Cause(cause))
    return Delivery(id_, receiver, attempts, time_of(created_at), subject, content)
