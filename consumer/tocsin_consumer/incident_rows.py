"""The tables of incidents: their state, their problems, and what receivers were told of them."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tocsin_consumer.database import Connection, upsert
from tocsin_consumer.dispatch import Told
from tocsin_consumer.incident import End, Incident, Problem, ProblemKey
from tocsin_consumer.records import IncidentChanges, Record
from tocsin_consumer.tables import milliseconds, optional_milliseconds, optional_time_of, time_of

_INCIDENT: Final = (
    "id",
    "route",
    "grouped",
    "opened_at",
    "receivers",
    "revision",
    "occurrences",
    "beyond",
    "due_at",
    "closed_at",
)
_PROBLEM_KEY: Final = ("incident", *ProblemKey._fields)
_PROBLEM: Final = (
    *_PROBLEM_KEY,
    "event",
    "heard_at",
    "began_at",
    "objects",
    "has_more",
    "occurrences",
    "revision",
    "news_at",
    "begun",
    "ended",
    "muted_by",
)
_TOLD: Final = ("incident", "receiver", "at", "revision", "occurrences", "said", "gathered")
_IN: Final = "IN (SELECT value FROM json_each(?))"
_CHOSEN: Final = """
(closed_at IS NULL OR :closed) AND EXISTS (
    SELECT 1 FROM problems WHERE incident = incidents.id
        AND heard_at >= COALESCE(:since, heard_at) AND cluster = COALESCE(:cluster, cluster)
)
"""
_OLD: Final = """
SELECT id FROM incidents
WHERE closed_at < :before
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE incident = incidents.id AND state = 'pending')
    AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE incident = incidents.id)
    AND NOT EXISTS (
        SELECT 1 FROM enrolled JOIN deliveries USING (storm)
        WHERE enrolled.incident = incidents.id AND state = 'pending'
    )
    AND NOT EXISTS (
        SELECT 1 FROM enrolled JOIN dead_letters USING (storm) WHERE enrolled.incident = incidents.id
    )
ORDER BY closed_at LIMIT :limit
"""
# By itself, or in a digest that has not arrived.
_PENDING: Final = """
SELECT incident, receiver FROM deliveries
WHERE incident IN (SELECT value FROM json_each(:ids)) AND state = 'pending'
UNION SELECT enrolled.incident, receiver FROM enrolled JOIN deliveries USING (storm)
WHERE enrolled.incident IN (SELECT value FROM json_each(:ids)) AND state = 'pending'
"""


def live(connection: Connection) -> list[Incident]:
    """Return the incidents that are not closed."""
    return _incidents(connection, "closed_at IS NULL")


def find(connection: Connection, ids: Collection[int]) -> list[Incident]:
    """Return the incidents with these ids, as far as there are such, in the order of their ids."""
    return _incidents(connection, f"id {_IN}", (json.dumps(list(ids)),))


def chosen(
    connection: Connection, *, closed: bool = False, since: datetime | None = None, cluster: str | None = None
) -> list[Incident]:
    """Return the live incidents, and if `closed` the others; those heard of since then, and in the cluster."""
    return _incidents(
        connection, _CHOSEN, {"closed": closed, "since": optional_milliseconds(since), "cluster": cluster}
    )


def next_id(connection: Connection) -> int:
    """Return an id that no incident has."""
    (last,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM incidents").fetchone()
    return int(last) + 1


def bring_forward(connection: Connection, ids: Collection[int], now: datetime) -> None:
    """Let nothing have been told of some incidents later than now."""
    connection.execute(
        f"UPDATE told SET at = ? WHERE at > ? AND incident {_IN}",  # noqa: S608 - constants
        (milliseconds(now), milliseconds(now), json.dumps(list(ids))),
    )


def recall(connection: Connection, ids: Collection[int]) -> Record:
    """Return what receivers were told about some incidents, and for whom a notification is under way."""
    wanted = json.dumps(list(ids))
    told: dict[int, dict[str, Told]] = {}
    rows = connection.execute(f"SELECT {', '.join(_TOLD)} FROM told WHERE incident {_IN}", (wanted,))  # noqa: S608 - constants
    for incident, receiver, *row in rows:
        told.setdefault(incident, {})[receiver] = _told(row)
    pending: dict[int, set[str]] = {}
    for incident, receiver in connection.execute(_PENDING, {"ids": wanted}):
        pending.setdefault(incident, set()).add(receiver)
    return Record(told, pending)


def keep(connection: Connection, changes: IncidentChanges) -> None:
    """Write down what has changed."""
    upsert(
        connection, "incidents", _INCIDENT, [_incident_row(one) for one in changes.incidents.values()], key=("id",)
    )
    rows = [_problem_row(id_, problem) for id_ in changes.incidents for problem in changes.problems(id_)]
    upsert(connection, "problems", _PROBLEM, rows, key=_PROBLEM_KEY)
    dropped = [(id_, *key) for id_ in changes.incidents for key in changes.dropped(id_)]
    if dropped:
        where = " AND ".join(f"{column} = ?" for column in _PROBLEM_KEY)
        connection.executemany(f"DELETE FROM problems WHERE {where}", dropped)  # noqa: S608 - constants


def keep_told(connection: Connection, told: Iterable[tuple[int, str, Told]]) -> None:
    """Write down what receivers were told of incidents."""
    rows = [(incident, receiver, *_told_row(one)) for incident, receiver, one in told]
    upsert(connection, "told", _TOLD, rows, key=("incident", "receiver"))


def delete_old(connection: Connection, before: datetime, *, limit: int) -> None:
    """Delete up to `limit` incidents that were closed before a time, with all that belongs to them.

    What is still pending is kept whatever its age, and so is what a dead letter refers to.
    """
    old = [id_ for (id_,) in connection.execute(_OLD, {"before": milliseconds(before), "limit": limit})]
    ids = (json.dumps(old),)
    for table in ("deliveries", "enrolled", "told", "problems"):
        connection.execute(f"DELETE FROM {table} WHERE incident {_IN}", ids)  # noqa: S608 - as above
    connection.execute(f"DELETE FROM incidents WHERE id {_IN}", ids)  # noqa: S608 - as above


def _incidents(
    connection: Connection, condition: str, arguments: Sequence[str] | Mapping[str, Any] = ()
) -> list[Incident]:
    query = f"SELECT {', '.join(_INCIDENT)} FROM incidents WHERE {condition} ORDER BY id"  # noqa: S608 - as above
    rows = connection.execute(query, arguments).fetchall()
    problems = _problems(connection, [row[0] for row in rows])
    return [_incident(row, problems.get(row[0], {})) for row in rows]


def _problems(connection: Connection, ids: Collection[int]) -> dict[int, dict[ProblemKey, Problem]]:
    query = f"SELECT {', '.join(_PROBLEM)} FROM problems WHERE incident {_IN} ORDER BY incident, news_at"  # noqa: S608
    found: dict[int, dict[ProblemKey, Problem]] = {}
    for incident, *row in connection.execute(query, (json.dumps(list(ids)),)):
        problem = _problem(row)
        found.setdefault(incident, {})[problem.key] = problem
    return found


def _incident_row(one: Incident) -> tuple[Any, ...]:
    return (
        one.id,
        one.route,
        json.dumps(one.group),
        milliseconds(one.opened_at),
        json.dumps(one.receivers),
        one.revision,
        one.occurrences,
        one.beyond,
        optional_milliseconds(one.due_at),
        optional_milliseconds(one.closed_at),
    )


def _incident(row: tuple[Any, ...], problems: Mapping[ProblemKey, Problem]) -> Incident:
    id_, route, grouped, opened_at, receivers, revision, occurrences, beyond, due_at, closed_at = row
    return Incident(
        id_,
        route,
        tuple((name, value) for name, value in json.loads(grouped)),
        time_of(opened_at),
        tuple(json.loads(receivers)),
        revision,
        occurrences,
        problems,
        beyond,
        optional_time_of(due_at),
        optional_time_of(closed_at),
    )


def _told_row(told: Told) -> tuple[Any, ...]:
    said = json.dumps([(*key, goes_on) for key, goes_on in told.said.items()])
    return milliseconds(told.at), told.revision, told.occurrences, said, json.dumps(sorted(told.gathered))


def _told(row: Sequence[Any]) -> Told:
    at, revision, occurrences, said, gathered = row
    return Told(
        time_of(at),
        revision,
        occurrences,
        {ProblemKey(*key): bool(goes_on) for *key, goes_on in json.loads(said)},
        frozenset(ProblemKey(*key) for key in json.loads(gathered)),
    )


def _problem_row(incident: int, problem: Problem) -> tuple[Any, ...]:
    return (
        incident,
        *problem.key,
        problem.packed,
        milliseconds(problem.heard_at),
        problem.began_at,
        json.dumps(dict(problem.objects)),
        problem.has_more,
        problem.occurrences,
        problem.revision,
        milliseconds(problem.news_at),
        problem.begun,
        problem.end,
        problem.muted_by,
    )


def _problem(row: Sequence[Any]) -> Problem:
    key, rest = ProblemKey(*row[:5]), row[5:]
    event, heard_at, began_at, objects, has_more, occurrences, revision, news_at, *state = rest
    begun, ended, muted_by = state
    return Problem(
        key,
        event,
        time_of(heard_at),
        began_at,
        json.loads(objects),
        bool(has_more),
        occurrences,
        revision,
        time_of(news_at),
        begun,
        End(ended) if ended else None,
        muted_by,
    )
