"""The tables of what is known about clusters, each with one row for a cluster: positions, presences, losses."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tocsin_consumer.database import Connection, upsert
from tocsin_consumer.losses import Loss
from tocsin_consumer.presence import Link, Presence, Told
from tocsin_consumer.sequence import Position
from tocsin_consumer.tables import milliseconds, optional_milliseconds, optional_time_of, time_of

_POSITION: Final = ("cluster", "boot", "seq")
_PRESENCE: Final = (
    "cluster",
    "link",
    "told",
    "since",
    "due_at",
    "boot",
    "heard_at",
    "away_since",
    "drops",
    "held",
    "lost",
    "lost_away",
    "over_budget",
)
_KEY: Final = ("cluster",)
_LOSS: Final = ("cluster", "since", "due_at", "in_outbox", "at_broker")


def positions(connection: Connection) -> dict[str, Position]:
    """Return how far the producer of each cluster had come."""
    return {cluster: Position(boot, seq) for cluster, boot, seq in _all(connection, "positions", _POSITION)}


def presences(connection: Connection) -> list[Presence]:
    """Return what is known about every cluster."""
    return [_presence(row) for row in _all(connection, "presences", _PRESENCE)]


def losses(connection: Connection) -> list[Loss]:
    """Return the losses that were noticed and are not told yet."""
    return [
        Loss(cluster, time_of(since), time_of(due_at), in_outbox, at_broker)
        for cluster, since, due_at, in_outbox, at_broker in _all(connection, "losses", _LOSS)
    ]


def keep_positions(connection: Connection, states: Mapping[str, Position]) -> None:
    """Write down how far the producers of some clusters have come."""
    upsert(
        connection,
        "positions",
        _POSITION,
        [(cluster, at.boot, at.seq) for cluster, at in states.items()],
        key=_KEY,
    )


def keep_presences(connection: Connection, states: Mapping[str, Presence | None]) -> None:
    """Write down what is known about some clusters, and forget those that are None."""
    upsert(
        connection, "presences", _PRESENCE, [_presence_row(state) for state in states.values() if state], key=_KEY
    )
    _forget(connection, "presences", [cluster for cluster, state in states.items() if state is None])


def keep_losses(connection: Connection, states: Mapping[str, Loss | None]) -> None:
    """Write down what is lost of some clusters, and forget those that are None."""
    rows = [_loss_row(state) for state in states.values() if state]
    upsert(connection, "losses", _LOSS, rows, key=_KEY)
    _forget(connection, "losses", [cluster for cluster, state in states.items() if state is None])


def _all(connection: Connection, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    query = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - the names are those above
    return connection.execute(query).fetchall()


def _forget(connection: Connection, table: str, clusters: Sequence[str]) -> None:
    deletion = f"DELETE FROM {table} WHERE cluster = ?"  # noqa: S608 - as above
    connection.executemany(deletion, [(cluster,) for cluster in clusters])


def _presence(row: tuple[Any, ...]) -> Presence:
    cluster, link, told, since, due_at, boot, heard_at, away_since, *counts = row
    return Presence(
        cluster,
        Link(link),
        Told(told),
        time_of(since),
        optional_time_of(due_at),
        boot,
        optional_time_of(heard_at),
        optional_time_of(away_since),
        *counts,
    )


def _presence_row(state: Presence) -> tuple[Any, ...]:
    return (
        state.cluster,
        state.link.value,
        state.told.value,
        milliseconds(state.since),
        optional_milliseconds(state.due_at),
        state.boot,
        optional_milliseconds(state.heard_at),
        optional_milliseconds(state.away_since),
        state.drops,
        state.held,
        state.lost,
        state.lost_away,
        state.over_budget,
    )


def _loss_row(loss: Loss) -> tuple[Any, ...]:
    return loss.cluster, milliseconds(loss.since), milliseconds(loss.due_at), loss.in_outbox, loss.at_broker
