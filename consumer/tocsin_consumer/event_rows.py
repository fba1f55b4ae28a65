"""The table of events: what was received, and what of it is known already."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tocsin_consumer.database import Connection, in_statements, insert, values
from tocsin_consumer.records import Entry, Key
from tocsin_consumer.tables import milliseconds

# One look into the index for each key, at its end.
_HIGHEST: Final = """
WITH wanted (cluster, uid) AS (VALUES {keys})
SELECT cluster, uid, (
    SELECT MAX(count) FROM events WHERE events.cluster = wanted.cluster AND events.uid = wanted.uid
) FROM wanted
"""
_OLD: Final = """
SELECT id FROM events
WHERE received_at < :before
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id AND state = 'pending')
    AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE event = events.id)
ORDER BY received_at LIMIT :limit
"""
# In the order of the index, so that a page costs no more than what is on it.
_PAGE: Final = """
SELECT received_at, id, payload FROM events
WHERE received_at >= :at AND (received_at > :at OR id > :id)
ORDER BY received_at, id LIMIT :limit
"""

#: Where an event stands in the order in which they came: when, as it is stored, and its id.
Place = tuple[int, int]


def highest_counts(connection: Connection, keys: Sequence[Key]) -> dict[Key, int]:
    """Return the highest count of each of `keys` that is known at all."""
    found: dict[Key, int] = {}
    for run in in_statements(keys):
        rows = connection.execute(_HIGHEST.format(keys=values(run)), [text for key in run for text in key])
        found.update({(cluster, uid): count for cluster, uid, count in rows if count is not None})
    return found


def insert_events(connection: Connection, entries: Sequence[Entry]) -> range:
    """Insert events and return their ids, in the same order."""
    (last,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM events").fetchone()
    ids = range(last + 1, last + 1 + len(entries))
    rows = [
        (
            id_,
            entry.event.cluster,
            entry.event.uid,
            entry.event.count,
            entry.payload,
            milliseconds(entry.received_at),
        )
        for id_, entry in zip(ids, entries, strict=True)
    ]
    insert(connection, "INSERT INTO events (id, cluster, uid, count, payload, received_at)", rows)
    return ids


def page(connection: Connection, last: Place, *, limit: int) -> list[tuple[Place, bytes]]:
    """Return up to `limit` payloads of events that came after `last`, each with its place."""
    rows = connection.execute(_PAGE, {"at": last[0], "id": last[1], "limit": limit})
    return [((at, id_), payload) for at, id_, payload in rows]


def delete_old(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` events from `before` with their deliveries, and return how many.

    What is still pending is kept whatever its age, and so is what a dead letter refers to.
    """
    old = [id_ for (id_,) in connection.execute(_OLD, {"before": milliseconds(before), "limit": limit})]
    ids = (json.dumps(old),)
    connection.execute("DELETE FROM deliveries WHERE event IN (SELECT value FROM json_each(?))", ids)
    connection.execute("DELETE FROM events WHERE id IN (SELECT value FROM json_each(?))", ids)
    return len(old)
