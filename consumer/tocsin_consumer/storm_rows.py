"""The tables of storms: their state, the incidents in them, and what there is to say about them."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from tocsin_consumer import incident_rows
from tocsin_consumer.database import Connection, upsert
from tocsin_consumer.digest import BACKLOG, Digest, Share, Top
from tocsin_consumer.dispatch import Told, arrived, gathered
from tocsin_consumer.incident import COUNT_LIMIT, Incident
from tocsin_consumer.records import DigestOrder, Enrolment, Storm
from tocsin_consumer.tables import milliseconds, optional_milliseconds, optional_time_of, time_of

#: So many of the most frequent reasons, clusters and objects are named.
TOP_LIMIT: Final = 5
#: A receiver for which more notifications of incidents wait than this is behind; all but the newest are merged.
BACKLOG_LIMIT: Final = 30
NEWEST: Final = 10
#: Incidents that are read at once.
_PORTION: Final = 100

_STORM: Final = ("receiver", "scope", "since", "due_at", "is_told", "ended_at")
_INSERT_DIGEST: Final = """
INSERT INTO deliveries (storm, receiver, state, attempts, due_at, created_at)
VALUES (:storm, :receiver, 'pending', 0, :now, :now)
"""
# The newest tells all that the others would.
_MERGE_DIGESTS: Final = """
UPDATE deliveries SET state = 'merged', settled_at = :now
WHERE receiver = :receiver AND state = 'pending' AND storm IS NOT NULL AND EXISTS (
    SELECT 1 FROM deliveries AS newer WHERE newer.receiver = :receiver AND newer.state = 'pending'
        AND newer.storm = deliveries.storm AND newer.id > deliveries.id
)
"""
_PROBLEMS: Final = "FROM problems JOIN enrolled USING (incident) WHERE storm = :storm"
# TOTAL, unlike SUM, cannot overflow, whatever clusters say.
_TOTALS: Final = f"""
SELECT COUNT(DISTINCT incident), COUNT(DISTINCT CASE WHEN ended IS NULL THEN incident END), COUNT(*),
    CAST(MIN(TOTAL(occurrences) + (
        SELECT TOTAL(beyond) FROM incidents JOIN enrolled ON incident = incidents.id WHERE storm = :storm
    ), {COUNT_LIMIT}) AS INTEGER)
{_PROBLEMS}
"""  # noqa: S608 - constants
_WAITING: Final = """
SELECT id, incident FROM deliveries
WHERE receiver = :receiver AND state = 'pending' AND incident IS NOT NULL
ORDER BY id DESC LIMIT -1 OFFSET :newest
"""
_UNCONFIRMED: Final = """
SELECT incident FROM enrolled JOIN told USING (incident)
WHERE storm = ? AND receiver = ? AND at <= ? AND gathered <> '[]'
"""
_PENDING_BACKLOG: Final = """
SELECT storm FROM deliveries JOIN storms ON storms.id = storm
WHERE deliveries.receiver = :receiver AND state = 'pending' AND scope = :scope
"""


def live(connection: Connection) -> list[Storm]:
    """Return the storms that go on."""
    query = f"SELECT {', '.join(_STORM)} FROM storms WHERE ended_at IS NULL"  # noqa: S608 - constants
    return [_storm(row) for row in connection.execute(query)]


def keep(connection: Connection, storms: Iterable[Storm], enrolled: Collection[Enrolment]) -> None:
    """Write down the state of storms, and what is told in their digests."""
    rows = [(storm.id, *_storm_row(storm)) for storm in storms]
    upsert(connection, "storms", ("id", *_STORM), rows, key=("id",))
    rows = [(one.storm, one.incident) for one in enrolled]
    upsert(connection, "enrolled", ("storm", "incident"), rows, key=("storm", "incident"))
    incident_rows.keep_told(connection, ((one.incident, one.receiver, one.told) for one in enrolled))


def insert_digests(connection: Connection, orders: Iterable[DigestOrder], now: datetime) -> None:
    """Insert the deliveries that storms call for."""
    named = [{"storm": order.storm, "receiver": order.receiver, "now": milliseconds(now)} for order in orders]
    connection.executemany(_INSERT_DIGEST, named)


def digest(connection: Connection, storm: str, now: datetime) -> Digest:
    """Return what there is to say about a storm."""
    query = f"SELECT {', '.join(_STORM)} FROM storms WHERE id = ?"  # noqa: S608 - as above
    known = _storm(connection.execute(query, (storm,)).fetchone())
    incidents, going_on, problems, occurrences = connection.execute(_TOTALS, {"storm": storm}).fetchone()
    return Digest(
        storm=storm,
        receiver=known.receiver,
        scope=known.scope,
        since=known.since,
        ended_at=known.ended_at,
        at=now,
        incidents=incidents,
        going_on=going_on,
        problems=problems,
        occurrences=occurrences,
        reasons=_top(connection, storm, "reason"),
        clusters=_top(connection, storm, "cluster"),
        objects=_top(connection, storm, "CASE namespace WHEN '' THEN owner ELSE namespace || '/' || owner END"),
    )


def merge(connection: Connection, receiver: str, now: datetime) -> int:
    """Put what waits for a receiver that is behind into one digest, but for the newest, and return how much.

    Nothing may be on its way: of digests of one storm, all but the newest are for nothing then.
    """
    waiting = _merge_incidents(connection, receiver, now)
    connection.execute(_MERGE_DIGESTS, {"receiver": receiver, "now": milliseconds(now)})
    return waiting


def _merge_incidents(connection: Connection, receiver: str, now: datetime) -> int:
    waiting = connection.execute(_WAITING, {"receiver": receiver, "newest": NEWEST}).fetchall()
    if len(waiting) <= BACKLOG_LIMIT - NEWEST:
        return 0
    found = connection.execute(_PENDING_BACKLOG, {"receiver": receiver, "scope": BACKLOG}).fetchone()
    storm = Storm(receiver, BACKLOG, since=now, is_told=True, ended_at=now)
    id_ = found[0] if found else storm.id
    enrolled = [
        Enrolment(id_, receiver, one.id, gathered(one, told, now))
        for one, told in _with_told(connection, [incident for _, incident in waiting], receiver)
    ]
    keep(connection, [] if found else [storm], enrolled)
    insert_digests(connection, [DigestOrder(id_, receiver)], now)
    connection.execute(
        "UPDATE deliveries SET state = 'merged', settled_at = ? WHERE id IN (SELECT value FROM json_each(?))",
        (milliseconds(now), json.dumps([row[0] for row in waiting])),
    )
    return len(waiting)


def note_arrived(connection: Connection, digest: Digest, receiver: str) -> None:
    """Count what a digest tells as told, as its receiver has got it, or never will."""
    ids = [id_ for (id_,) in connection.execute(_UNCONFIRMED, (digest.storm, receiver, milliseconds(digest.at)))]
    incident_rows.keep_told(
        connection,
        ((one.id, receiver, arrived(one, told)) for one, told in _with_told(connection, ids, receiver) if told),
    )


def delete_old(connection: Connection, before: datetime) -> None:
    """Delete storms that were over before a time, but for those that are still to be told."""
    old = [
        (id_,)
        for (id_,) in connection.execute(
            """
            SELECT id FROM storms WHERE ended_at < ?
                AND NOT EXISTS (SELECT 1 FROM deliveries WHERE storm = storms.id AND state = 'pending')
                AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE storm = storms.id)
            """,
            (milliseconds(before),),
        )
    ]
    for table, column in (("deliveries", "storm"), ("enrolled", "storm"), ("storms", "id")):
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", old)  # noqa: S608 - as above


def _with_told(
    connection: Connection, ids: Sequence[int], receiver: str
) -> Iterator[tuple[Incident, Told | None]]:
    """Yield incidents with what a receiver was told of them: a portion at a time, as there can be thousands."""
    for start in range(0, len(ids), _PORTION):
        portion = ids[start : start + _PORTION]
        told = incident_rows.recall(connection, portion).told
        yield from ((one, told.get(one.id, {}).get(receiver)) for one in incident_rows.find(connection, portion))


def _top(connection: Connection, storm: str, name: str) -> Top:
    query = (
        f"SELECT {name} AS name, COUNT(DISTINCT incident) AS number {_PROBLEMS} AND muted_by IS NULL GROUP BY 1"
    )
    ((count,),) = connection.execute(f"SELECT COUNT(*) FROM ({query})", {"storm": storm}).fetchall()  # noqa: S608
    rows = connection.execute(
        f"{query} ORDER BY number DESC, name LIMIT :limit", {"storm": storm, "limit": TOP_LIMIT}
    ).fetchall()
    return Top(tuple(Share(*row) for row in rows), count - len(rows))


def _storm(row: tuple[Any, ...]) -> Storm:
    receiver, scope, since, due_at, is_told, ended_at = row
    return Storm(
        receiver,
        scope,
        time_of(since),
        optional_time_of(due_at),
        bool(is_told),
        optional_time_of(ended_at),
    )


def _storm_row(storm: Storm) -> tuple[Any, ...]:
    return (
        storm.receiver,
        storm.scope,
        milliseconds(storm.since),
        optional_milliseconds(storm.due_at),
        storm.is_told,
        optional_milliseconds(storm.ended_at),
    )
