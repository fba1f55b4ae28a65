"""What the consumer has to remember, in SQLite; but for `tables`, the only module that touches SQLAlchemy.

What is acknowledged is forgotten by the broker, so a commit has to survive a kill and a power cut: the
journal is a write-ahead log with `synchronous=FULL` (NORMAL would lose the last commits in a power cut). The
price, one fsync per commit, is shared by a batch.

One connection, used by one thread at a time: SQLite has one writer anyway, and so an in-memory store for tests
behaves as a file does.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects.sqlite import insert as upsert

from tocsin_consumer import tables
from tocsin_consumer.errors import PermanentError, StoreError
from tocsin_consumer.losses import Loss
from tocsin_consumer.notification import Notification
from tocsin_consumer.presence import Link, Presence, Told
from tocsin_consumer.sequence import Position
from tocsin_consumer.store_lock import StoreLock
from tocsin_consumer.tables import Milliseconds, dead_letters, deliveries, events
from tocsin_schemas.event import EventPayload

#: No delivery is deferred for longer; see retry.py.
LONGEST_WAIT: Final = timedelta(hours=2)
#: How long a look from outside waits for those who are at the database.
_LOOK_SECONDS: Final = 0.2
#: How much of a payload that nobody understands is kept.
DEAD_PAYLOAD_LIMIT: Final = 64 * 1024

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to keep, and whom to tell about it."""

    event: EventPayload
    payload: bytes
    received_at: datetime
    receivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeadPayload:
    """A message that nobody understands."""

    topic: str
    payload: bytes
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a receiver has not been told about yet."""

    id: int
    event_id: int
    cluster: str
    uid: str
    receiver: str
    attempts: int
    created_at: datetime
    payload: bytes
    received_at: datetime

    @property
    def notification(self) -> Notification:
        """What to tell.

        Raises:
            PermanentError: the payload that is stored was damaged, or is none that this version reads.
        """
        try:
            return Notification(EventPayload.model_validate_json(self.payload), self.received_at)
        except ValidationError as error:
            raise PermanentError("what the store holds of it cannot be read") from error


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits for a receiver, and since when the oldest of it."""

    waiting: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try; `due_at` says when the next one is, if the delivery is still pending."""

    delivery: Delivery
    state: Literal["delivered", "pending", "dead"]
    at: datetime
    reason: str | None = None
    due_at: datetime | None = None


#: In the statement's text, so that SQLite sees that the partial index serves.
_PENDING: Final[sa.ColumnElement[str]] = sa.literal_column("'pending'")
_earlier, _earlier_event = deliveries.alias("earlier"), events.alias("earlier_event")
_waits_for_another = sa.exists().where(
    _earlier_event.c.cluster == events.c.cluster,
    _earlier_event.c.uid == events.c.uid,
    _earlier_event.c.count < events.c.count,
    _earlier.c.event == _earlier_event.c.id,
    _earlier.c.receiver == deliveries.c.receiver,
    _earlier.c.state == _PENDING,
)
_heads = (
    sa.select(deliveries, events.c.cluster, events.c.uid, events.c.payload, events.c.received_at)
    .join(events)
    .where(deliveries.c.receiver == sa.bindparam("wanted"), deliveries.c.state == _PENDING, ~_waits_for_another)
)
_insert_event = sa.insert(events).returning(events.c.id, events.c.cluster, events.c.uid, events.c.count)
_now = sa.bindparam("now", type_=Milliseconds)
_insert_delivery = sa.insert(deliveries).from_select(
    ["event", "receiver", "state", "attempts", "due_at", "created_at"],
    sa.select(events.c.id, sa.bindparam("receiver", type_=sa.Text), _PENDING, sa.literal_column("0"), _now, _now)
    .where(events.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(events.c.id),
)
_set_delivered = (
    sa.update(deliveries)
    .where(deliveries.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(state="delivered", attempts=deliveries.c.attempts + 1, settled_at=_now)
)
_set_outcome = sa.update(deliveries).where(deliveries.c.id == sa.bindparam("wanted"))
_position = upsert(tables.positions)
_set_position = _position.on_conflict_do_update(
    index_elements=["cluster"], set_={"boot": _position.excluded.boot, "seq": _position.excluded.seq}
)
_set_presence, _set_loss = (
    upsert(table).on_conflict_do_update(
        index_elements=["cluster"],
        set_={column.name: sa.literal_column(f"excluded.{column.name}") for column in table.c},
    )
    for table in (tables.presences, tables.losses)
)
_waiting = (
    sa.select(
        deliveries.c.receiver, sa.func.count().label("waiting"), sa.func.min(deliveries.c.id).label("oldest")
    )
    .where(deliveries.c.state == _PENDING)
    .group_by(deliveries.c.receiver)
    .subquery()
)
_backlog = sa.select(_waiting.c.receiver, _waiting.c.waiting, deliveries.c.created_at.label("oldest_at")).join(
    deliveries, deliveries.c.id == _waiting.c.oldest
)
_has_pending = sa.exists().where(deliveries.c.event == events.c.id, deliveries.c.state == _PENDING)
_has_dead_letter = sa.exists().where(dead_letters.c.event == events.c.id)


class Store:
    """Events, deliveries and dead letters in one database; every method is one transaction.

    Every method raises StoreError if the database cannot do it just now.
    """

    def __init__(self, url: str, *, exclusive: bool = False) -> None:
        """Open the database at `url`, an SQLite url of SQLAlchemy's, and create what is missing.

        Args:
            url: where it is.
            exclusive: no other store that is exclusive may be open at the same place.

        Raises:
            StoreError: it cannot be opened, is in use, damaged, something else, or of a newer version.
        """
        #: Transactions that were done, and that could not be.
        self.commits = 0
        self.failures = 0
        self._lock = threading.Lock()
        self._engine = sa.create_engine(
            url, poolclass=sa.StaticPool, connect_args={"check_same_thread": False, "timeout": 5.0}
        )
        self._path = Path(self._engine.url.database or "")
        self._file: tuple[int, int] | None = None
        self._held = StoreLock(self._path.resolve()) if exclusive else None
        sa.event.listen(self._engine, "connect", tables.prepare)
        sa.event.listen(self._engine, "begin", tables.begin)
        try:
            with self._transaction() as connection:
                tables.check(connection)
                tables.migrate(connection)
        except BaseException:
            self.close()
            raise
        self._file = _file_at(self._path)

    @property
    def is_lost(self) -> bool:
        """Whether the file was deleted or replaced since it was opened: what is written goes nowhere."""
        return self._file is not None and self._file != _file_at(self._path)

    def close(self) -> None:
        """Let the database go."""
        with self._lock:
            self._engine.dispose()
            if self._held is not None:
                self._held.release()

    def highest_counts(self, keys: Collection[Key]) -> dict[Key, int]:
        """Return the highest count known of each (cluster, uid) in `keys` that is known at all."""
        key = sa.tuple_(events.c.cluster, events.c.uid)
        query = (
            sa.select(events.c.cluster, events.c.uid, sa.func.max(events.c.count))
            .where(key.in_(list(keys)))
            .group_by(events.c.cluster, events.c.uid)
        )
        with self._transaction() as connection:
            return {(cluster, uid): count for cluster, uid, count in connection.execute(query)}

    def positions(self) -> dict[str, Position]:
        """Return how far the producer of each cluster had come."""
        with self._transaction() as connection:
            return {
                row.cluster: Position(row.boot, row.seq) for row in connection.execute(sa.select(tables.positions))
            }

    def presences(self) -> list[Presence]:
        """Return what is known about every cluster."""
        with self._transaction() as connection:
            return [
                Presence(**{**row, "link": Link(row["link"]), "told": Told(row["told"])})
                for row in connection.execute(sa.select(tables.presences)).mappings()
            ]

    def losses(self) -> list[Loss]:
        """Return the losses that were noticed and are not told yet."""
        with self._transaction() as connection:
            return [Loss(**row) for row in connection.execute(sa.select(tables.losses)).mappings()]

    def record(
        self,
        entries: Sequence[Entry],
        dead: Sequence[DeadPayload],
        *,
        positions: Mapping[str, Position],
        presences: Mapping[str, Presence | None] = MappingProxyType({}),
        losses: Mapping[str, Loss | None] = MappingProxyType({}),
        now: datetime,
    ) -> None:
        """Keep all of this or nothing of it.

        Args:
            entries: new events, with the deliveries that they call for.
            dead: dead letters.
            positions: how far the producers of some clusters have come.
            presences: what is known about some clusters; nothing more about those that are None.
            losses: what was lost of some clusters; nothing that is to be told of those that are None.
            now: when the deliveries begin to age.
        """
        with self._transaction() as connection:
            if entries:
                _insert_deliveries(connection, entries, _insert_events(connection, entries), now)
            _insert(connection, dead_letters, [_dead_row(letter) for letter in dead])
            if positions:
                connection.execute(
                    _set_position,
                    [{"cluster": cluster, "boot": at.boot, "seq": at.seq} for cluster, at in positions.items()],
                )
            _keep(connection, tables.presences, _set_presence, presences)
            _keep(connection, tables.losses, _set_loss, losses)

    def due(self, receiver: str, now: datetime, *, limit: int) -> list[Delivery]:
        """Return deliveries that may be tried now, oldest first, and of each event only the oldest state.

        A state whose predecessor is still pending is not due, so a receiver sees counts rise. What was recorded
        or last tried later than now, or is due later than any wait could explain, shows that the clock was set
        back since, and is due as well.
        """
        is_due = (
            (deliveries.c.due_at <= now)
            | (deliveries.c.created_at > now)
            | (deliveries.c.settled_at > now)
            | (deliveries.c.due_at > now + LONGEST_WAIT)
        )
        query = _heads.where(is_due).order_by(deliveries.c.id).limit(limit)
        with self._transaction() as connection:
            return [_delivery(row) for row in connection.execute(query, {"wanted": receiver})]

    def next_due_at(self, receiver: str) -> datetime | None:
        """Return when the next delivery may be tried; None if there is none."""
        query = _heads.with_only_columns(deliveries.c.due_at).order_by(deliveries.c.due_at).limit(1)
        with self._transaction() as connection:
            return connection.execute(query, {"wanted": receiver}).scalar()

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Note what became of tries; what is dead becomes a dead letter."""
        delivered = [outcome for outcome in outcomes if outcome.state == "delivered"]
        failed = [outcome for outcome in outcomes if outcome.state != "delivered"]
        dead = [_dead_delivery_row(outcome) for outcome in failed if outcome.state == "dead"]
        with self._transaction() as connection:
            if delivered:
                ids = [outcome.delivery.id for outcome in delivered]
                connection.execute(_set_delivered, {"ids": ids, "now": delivered[-1].at})
            if failed:
                connection.execute(_set_outcome, [_outcome_row(outcome) for outcome in failed])
            _insert(connection, dead_letters, dead)

    def bury_all_but(self, receivers: Collection[str], reason: str, *, now: datetime) -> int:
        """Give up what is pending for any receiver but these, and return how many that were."""
        orphaned = (deliveries.c.state == "pending") & deliveries.c.receiver.not_in(list(receivers))
        letters = sa.select(
            sa.literal("delivery"),
            sa.literal(reason),
            sa.literal(now, Milliseconds),
            deliveries.c.receiver,
            deliveries.c.event,
        ).where(orphaned)
        with self._transaction() as connection:
            connection.execute(
                sa.insert(dead_letters).from_select(["kind", "reason", "at", "receiver", "event"], letters)
            )
            buried = connection.execute(
                sa.update(deliveries).where(orphaned).values(state="dead", reason=reason, settled_at=now)
            )
            return buried.rowcount

    def purge(self, before: datetime, *, limit: int = 1000) -> int:
        """Forget up to `limit` events from `before`, and dead letters as old, and return how many events.

        What is still pending is kept whatever its age, and so is what a dead letter refers to.
        """
        old = (
            sa.select(events.c.id)
            .where(events.c.received_at < before, ~_has_pending, ~_has_dead_letter)
            .order_by(events.c.received_at)
            .limit(limit)
        )
        with self._transaction() as connection:
            connection.execute(sa.delete(dead_letters).where(dead_letters.c.at < before))
            ids = list(connection.execute(old).scalars())
            connection.execute(sa.delete(deliveries).where(deliveries.c.event.in_(ids)))
            connection.execute(sa.delete(events).where(events.c.id.in_(ids)))
            return len(ids)

    def backlog(self) -> dict[str, Backlog]:
        """Return what waits for each receiver that anything waits for.

        It is for a look from outside, so while others wait for the database this fails instead of waiting behind
        them.
        """
        with self._transaction(lock_seconds=_LOOK_SECONDS) as connection:
            return {row.receiver: Backlog(row.waiting, row.oldest_at) for row in connection.execute(_backlog)}

    @contextmanager
    def _locked(self, seconds: float) -> Iterator[None]:
        """Be the only one at the database; wait so long for that, or for ever if it is negative."""
        if not self._lock.acquire(timeout=seconds):
            raise StoreError(f"store {self._path}: others have been at it for {seconds} s")
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _transaction(self, *, lock_seconds: float = -1) -> Iterator[sa.Connection]:
        """Commit what is done within, or undo all of it."""
        try:
            with self._locked(lock_seconds), self._engine.begin() as connection:
                yield connection
            if self.is_lost:
                self.failures += 1
                raise StoreError(f"store {self._path}: the file was deleted or replaced while it was in use")
            self.commits += 1
        except sa.exc.DatabaseError as error:
            if isinstance(error, _ABOUT_A_ROW):
                raise
            self.failures += 1
            hint = tables.DAMAGED if any(words in str(error.orig) for words in _DAMAGED) else ""
            raise StoreError(f"store {self._engine.url.database}: {error.orig}{hint}") from error


#: Errors of a statement's own, which would fail in the same way in any database.
_ABOUT_A_ROW: Final = (sa.exc.DataError, sa.exc.IntegrityError, sa.exc.ProgrammingError)
#: What SQLite says of a file that is not, or no longer, a database.
_DAMAGED: Final = ("malformed", "not a database")


def _file_at(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another that has its name; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if path.is_file() else None


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _keep(
    connection: sa.Connection,
    table: sa.Table,
    statement: sa.Insert,
    states: Mapping[str, Presence | None] | Mapping[str, Loss | None],
) -> None:
    """Write down one state per cluster, and remove those that are None."""
    columns = table.c.keys()
    rows = [
        {column: getattr(state, column) for column in columns} for state in states.values() if state is not None
    ]
    gone = [cluster for cluster, state in states.items() if state is None]
    if rows:
        connection.execute(statement, rows)
    if gone:
        connection.execute(sa.delete(table).where(table.c.cluster.in_(gone)))


def _insert_events(connection: sa.Connection, entries: Sequence[Entry]) -> list[int]:
    """Insert events and return their ids in the same order."""
    rows = [
        {
            "cluster": entry.event.cluster,
            "uid": entry.event.uid,
            "count": entry.event.count,
            "payload": entry.payload,
            "received_at": entry.received_at,
        }
        for entry in entries
    ]
    returned = connection.execute(_insert_event, rows)
    ids = {(cluster, uid, count): id_ for id_, cluster, uid, count in returned}
    return [ids[row["cluster"], row["uid"], row["count"]] for row in rows]


def _insert_deliveries(
    connection: sa.Connection, entries: Sequence[Entry], ids: Sequence[int], now: datetime
) -> None:
    """Insert one statement's worth of deliveries per receiver: each statement is one turn for Python's lock."""
    told: dict[str, list[int]] = {}
    for entry, id_ in zip(entries, ids, strict=True):
        for receiver in entry.receivers:
            told.setdefault(receiver, []).append(id_)
    for receiver, told_ids in told.items():
        connection.execute(_insert_delivery, {"receiver": receiver, "now": now, "ids": told_ids})


def _dead_row(letter: DeadPayload) -> dict[str, Any]:
    return {
        "kind": "payload",
        "reason": letter.reason,
        "at": letter.at,
        "topic": letter.topic,
        "payload": letter.payload[:DEAD_PAYLOAD_LIMIT],
    }


def _dead_delivery_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": "delivery",
        "reason": outcome.reason or "",
        "at": outcome.at,
        "receiver": outcome.delivery.receiver,
        "event": outcome.delivery.event_id,
    }


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "wanted": outcome.delivery.id,
        "state": outcome.state,
        "attempts": outcome.delivery.attempts + 1,
        "reason": outcome.reason,
        "due_at": outcome.due_at or outcome.at,
        "settled_at": outcome.at,
    }


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        event_id=row.event,
        cluster=row.cluster,
        uid=row.uid,
        receiver=row.receiver,
        attempts=row.attempts,
        created_at=row.created_at,
        payload=row.payload,
        received_at=row.received_at,
    )
