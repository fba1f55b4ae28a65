"""What the consumer has to remember: events, deliveries, dead letters, and what is known about clusters."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from tocsin_consumer import (
    account_rows,
    cluster_rows,
    dead_letter_rows,
    delivery_rows,
    event_rows,
    incident_rows,
    silence_rows,
    storm_rows,
    tables,
)
from tocsin_consumer.database import Database
from tocsin_consumer.dead_letter import DeadLetter, Search
from tocsin_consumer.incident import Incident
from tocsin_consumer.losses import Loss
from tocsin_consumer.presence import Presence
from tocsin_consumer.records import (
    Account,
    Backlog,
    DeadPayload,
    Delivery,
    Entry,
    IncidentChanges,
    Key,
    Outcome,
    Record,
    Storm,
)
from tocsin_consumer.sequence import Position
from tocsin_consumer.silence import Silence, Wish
from tocsin_consumer.tables import milliseconds

#: How long a look from outside waits for those who are at the database.
_LOOK_SECONDS: Final = 0.2
_NEXT_DECISION: Final = """
SELECT MIN(due_at) FROM (
    SELECT due_at FROM incidents WHERE closed_at IS NULL
    UNION ALL SELECT due_at FROM storms WHERE ended_at IS NULL
    UNION ALL SELECT due_at FROM presences
    UNION ALL SELECT due_at FROM losses
)
"""


class Store:
    """All tables in one database; every method is one transaction, unless it says otherwise.

    Every method raises StoreError if the database cannot do it just now.

    Args:
        url: `sqlite:///` and the path of a file, which is made if there is none, or `sqlite://` for memory.
        exclusive: no other store that is exclusive may be open at the same place.
        beside: it is that of a consumer, which may be at work; it is neither made nor brought up to date.

    Raises:
        StoreError: it cannot be opened, is in use, damaged, something else, or of a newer version.
    """

    def __init__(self, url: str, *, exclusive: bool = False, beside: bool = False) -> None:
        prepare = tables.expect if beside else tables.prepare
        self._database = Database(url, exclusive=exclusive, beside=beside, prepare=prepare)

    @property
    def commits(self) -> int:
        """Transactions that were done."""
        return self._database.commits

    @property
    def failures(self) -> int:
        """Transactions that could not be done."""
        return self._database.failures

    @property
    def is_lost(self) -> bool:
        """Whether the file was deleted or replaced since it was opened: what is written goes nowhere."""
        return self._database.is_lost

    def close(self) -> None:
        """Let the database go."""
        self._database.close()

    def highest_counts(self, keys: Collection[Key]) -> dict[Key, int]:
        """Return the highest count known of each (cluster, uid) in `keys` that is known at all."""
        with self._database.transaction() as connection:
            return event_rows.highest_counts(connection, list(keys))

    def positions(self) -> dict[str, Position]:
        """Return how far the producer of each cluster had come."""
        with self._database.transaction() as connection:
            return cluster_rows.positions(connection)

    def presences(self) -> list[Presence]:
        """Return what is known about every cluster."""
        with self._database.transaction() as connection:
            return cluster_rows.presences(connection)

    def losses(self) -> list[Loss]:
        """Return the losses that were noticed and are not told yet."""
        with self._database.transaction() as connection:
            return cluster_rows.losses(connection)

    def live_incidents(self) -> list[Incident]:
        """Return the incidents that are not closed."""
        with self._database.transaction() as connection:
            return incident_rows.live(connection)

    def accounts(
        self, *, closed: bool = False, since: datetime | None = None, cluster: str | None = None
    ) -> list[Account]:
        """Return the live incidents, and if `closed` the others; those heard of since then, and in the cluster."""
        with self._database.transaction() as connection:
            found = incident_rows.chosen(connection, closed=closed, since=since, cluster=cluster)
            return account_rows.accounts(connection, found)

    def account(self, incident: int) -> Account | None:
        """Return an incident and what became of the telling of it; None if there is none with this id."""
        with self._database.transaction() as connection:
            found = account_rows.accounts(connection, incident_rows.find(connection, [incident]))
            return found[0] if found else None

    def troubled_clusters(self) -> list[str]:
        """Return the clusters that any incident is of, in the order of their names."""
        with self._database.transaction() as connection:
            return account_rows.clusters(connection)

    def find_incidents(self, ids: Collection[int]) -> list[Incident]:
        """Return the incidents with these ids, as far as they are kept."""
        with self._database.transaction() as connection:
            return incident_rows.find(connection, ids)

    def live_storms(self) -> list[Storm]:
        """Return the storms that go on."""
        with self._database.transaction() as connection:
            return storm_rows.live(connection)

    def next_incident(self) -> int:
        """Return the id that the next incident has."""
        with self._database.transaction() as connection:
            return incident_rows.next_id(connection)

    def recall(self, incidents: Collection[int], now: datetime) -> Record:
        """Return what receivers were told about some incidents, and for whom a notification is under way.

        What was told later than now, before the clock was set back, counts as told now from now on.
        """
        with self._database.transaction() as connection:
            incident_rows.bring_forward(connection, incidents, now)
            return incident_rows.recall(connection, incidents)

    def next_decision_at(self) -> datetime | None:
        """Return when something is to be decided about an incident, a storm or a cluster; None if nothing is."""
        with self._database.transaction() as connection:
            return tables.optional_time_of(*connection.execute(_NEXT_DECISION).fetchone())

    def record(
        self,
        entries: Sequence[Entry],
        dead: Sequence[DeadPayload],
        *,
        positions: Mapping[str, Position],
        presences: Mapping[str, Presence | None] = MappingProxyType({}),
        losses: Mapping[str, Loss | None] = MappingProxyType({}),
        incidents: IncidentChanges | None = None,
        now: datetime,
    ) -> None:
        """Keep all of this or nothing of it.

        Args:
            entries: new events, with the deliveries that they call for.
            dead: dead letters.
            positions: how far the producers of some clusters have come.
            presences: what is known about some clusters; nothing more about those that are None.
            losses: what was lost of some clusters; nothing that is to be told of those that are None.
            incidents: what is new about incidents, with the deliveries that they call for.
            now: when the deliveries begin to age.
        """
        with self._database.transaction() as connection:
            ids = event_rows.insert_events(connection, entries)
            delivery_rows.insert_deliveries(connection, entries, ids, now)
            dead_letter_rows.insert_payloads(connection, dead)
            cluster_rows.keep_positions(connection, positions)
            cluster_rows.keep_presences(connection, presences)
            cluster_rows.keep_losses(connection, losses)
            if incidents:
                incident_rows.keep(connection, incidents)
                delivery_rows.withdraw(connection, incidents.withdrawn, now)
                delivery_rows.insert_orders(connection, incidents.orders, now)
                storm_rows.keep(connection, incidents.storms.values(), incidents.enrolled)
                storm_rows.insert_digests(connection, incidents.digests, now)

    def due(self, receiver: str, now: datetime, *, limit: int) -> list[Delivery]:
        """Return deliveries that may be tried now: of events, or else of an incident or a storm as it is now."""
        with self._database.transaction() as connection:
            return delivery_rows.due(connection, receiver, now, limit=limit)

    def next_due_at(self, receiver: str) -> datetime | None:
        """Return when the next delivery may be tried; None if there is none."""
        with self._database.transaction() as connection:
            return delivery_rows.next_due_at(connection, receiver)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Note what became of tries; what is dead becomes a dead letter."""
        with self._database.transaction() as connection:
            delivery_rows.settle(connection, outcomes)

    def bury_all_but(self, receivers: Collection[str], reason: str, *, now: datetime) -> int:
        """Give up what is pending for any receiver but these, and return how many that were."""
        with self._database.transaction() as connection:
            return delivery_rows.bury_all_but(connection, receivers, reason, now=now)

    def dead_letters(self, search: Search, *, limit: int = 1000, newest: bool = True) -> list[DeadLetter]:
        """Return the newest or else the oldest dead letters that are wanted, oldest first."""
        with self._database.transaction() as connection:
            return dead_letter_rows.find(connection, search, limit=limit, newest=newest)

    def count_dead_letters(self, search: Search) -> tuple[int, int]:
        """Return how many dead letters are wanted, and the id of the newest; 0 if there is none."""
        with self._database.transaction() as connection:
            return dead_letter_rows.count(connection, search)

    def drop(self, search: Search) -> int:
        """Forget the dead letters that are wanted, and return how many."""
        with self._database.transaction() as connection:
            return dead_letter_rows.delete(connection, search)

    def replay(self, ids: Collection[int], now: datetime) -> int:
        """Let dead letters be tried again by the consumer that is at work, or by the next; return how many."""
        with self._database.transaction() as connection:
            return dead_letter_rows.mark(connection, ids) + dead_letter_rows.revive(connection, ids, now)

    def changed_elsewhere(self) -> bool:
        """Tell whether another process may have changed something since this was asked last."""
        return self._database.changed_elsewhere()

    def silences(self, since: datetime) -> list[Silence]:
        """Return the silences that end after `since`, those that end first before the others."""
        with self._database.transaction() as connection:
            return silence_rows.silences(connection, since)

    def add_silence(self, wish: Wish, now: datetime) -> Silence:
        """Keep a silence, and return it with its id."""
        with self._database.transaction() as connection:
            return silence_rows.insert(connection, wish, now)

    def expire_silence(self, id_: str, now: datetime) -> bool:
        """Let a silence end now; tell whether there is one that had not ended yet."""
        with self._database.transaction() as connection:
            return silence_rows.expire(connection, id_, now)

    def payloads(self, since: datetime, *, page: int = 1000) -> Iterator[bytes]:
        """Yield the payloads of the events that came since then, oldest first.

        Each page of them is a transaction, so that others can be at the database in between.
        """
        last = (milliseconds(since), 0)
        while True:
            with self._database.transaction() as connection:
                rows = event_rows.page(connection, last, limit=page)
            if not rows:
                return
            yield from (payload for _, payload in rows)
            last = rows[-1][0]

    def purge(self, before: datetime, *, limit: int = 1000) -> int:
        """Forget up to `limit` events from `before`, and return how many; also dead letters and silences as old.

        What is still pending is kept whatever its age, and so is what a dead letter refers to.
        """
        with self._database.transaction() as connection:
            dead_letter_rows.delete_old(connection, before)
            storm_rows.delete_old(connection, before)
            incident_rows.delete_old(connection, before, limit=limit)
            silence_rows.delete_old(connection, before)
            return event_rows.delete_old(connection, before, limit=limit)

    def backlog(self) -> dict[str, Backlog]:
        """Return what waits for each receiver that anything waits for.

        It is for a look from outside, so while others wait for the database this fails instead of waiting behind
        them.
        """
        with self._database.transaction(lock_seconds=_LOOK_SECONDS) as connection:
            return delivery_rows.backlog(connection)
