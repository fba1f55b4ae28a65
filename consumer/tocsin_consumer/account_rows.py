"""What all tables together know about the telling of incidents, for people who ask."""

import json
from collections.abc import Collection, Iterable
from typing import Any, Final

from tocsin_consumer import incident_rows
from tocsin_consumer.database import Connection
from tocsin_consumer.dispatch import Cause
from tocsin_consumer.incident import Incident
from tocsin_consumer.records import Account, Gathered, Tried
from tocsin_consumer.tables import optional_time_of, time_of

_IN: Final = "IN (SELECT value FROM json_each(?))"
_TRIED: Final = "receiver, cause, storm, state, attempts, reason, created_at, due_at, settled_at"
_TRIES: Final = f"SELECT incident, {_TRIED} FROM deliveries WHERE incident {_IN} ORDER BY id"  # noqa: S608 - constants
_DIGESTS: Final = f"SELECT storm, {_TRIED} FROM deliveries WHERE storm {_IN} ORDER BY id"  # noqa: S608 - as above
# What came into a storm since its last digest was called for stands in none yet.
_ENROLLED: Final = f"""
SELECT incident, storm, receiver, ended_at IS NULL AND NOT is_told
FROM enrolled JOIN storms ON storms.id = storm WHERE incident {_IN} ORDER BY since, storm
"""  # noqa: S608 - as above


def accounts(connection: Connection, incidents: Collection[Incident]) -> list[Account]:
    """Return incidents with what the store knows about the telling of them."""
    ids = [one.id for one in incidents]
    record = incident_rows.recall(connection, ids)
    tries = _grouped(connection.execute(_TRIES, (json.dumps(ids),)))
    gathered = _gathered(connection, ids)
    return [
        Account(
            one,
            record.told.get(one.id, {}),
            record.pending.get(one.id, ()),
            tuple(tries.get(one.id, ())),
            tuple(gathered.get(one.id, ())),
        )
        for one in incidents
    ]


def clusters(connection: Connection) -> list[str]:
    """Return the clusters that any incident is of."""
    rows = connection.execute("SELECT DISTINCT cluster FROM problems ORDER BY cluster")
    return [cluster for (cluster,) in rows]


def _gathered(connection: Connection, ids: Collection[int]) -> dict[int, list[Gathered]]:
    """Return the storms of incidents; those of one storm have the same digests."""
    rows = connection.execute(_ENROLLED, (json.dumps(list(ids)),)).fetchall()
    storms = json.dumps(list({storm for _, storm, _, _ in rows}))
    digests = {storm: tuple(tries) for storm, tries in _grouped(connection.execute(_DIGESTS, (storms,))).items()}
    found: dict[int, list[Gathered]] = {}
    for incident, storm, receiver, is_due in rows:
        found.setdefault(incident, []).append(Gathered(storm, receiver, bool(is_due), digests.get(storm, ())))
    return found


def _grouped(rows: Iterable[Any]) -> dict[Any, list[Tried]]:
    found: dict[Any, list[Tried]] = {}
    for about, *row in rows:
        found.setdefault(about, []).append(_tried(*row))
    return found


def _tried(receiver: str, cause: str | None, storm: str | None, state: str, *rest: Any) -> Tried:
    attempts, reason, created_at, due_at, settled_at = rest
    return Tried(
        receiver,
        Cause(cause) if cause else None,
        storm,
        state,
        attempts,
        reason,
        time_of(created_at),
        time_of(due_at),
        optional_time_of(settled_at),
    )
