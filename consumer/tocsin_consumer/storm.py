"""When so much happens that incidents are told together in a digest, and no longer one by one.

One receiver is told so many incidents of one cluster, or of all clusters, in a span of time. What is beyond that
is a storm: it goes into a digest, which is told anew while there is more of it, until it has calmed down.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tocsin_consumer.digest import FLEET
from tocsin_consumer.dispatch import gathered
from tocsin_consumer.incident import Incident
from tocsin_consumer.rate_limit import RateLimit, SlidingWindow
from tocsin_consumer.records import DigestOrder, Enrolment, IncidentChanges, Place, Storm
from tocsin_consumer.timers import Timers

#: How long what comes with the beginning of a storm is gathered before its first digest.
GATHER: Final = timedelta(seconds=10)
#: The pause between two digests of one storm.
INTERVAL: Final = timedelta(minutes=5)
#: Storms that are decided about in one commit.
_DECISION_LIMIT: Final = 200
#: Rates that are kept at most before those that are empty are dropped.
_RATE_LIMIT: Final = 2000


@dataclass(frozen=True, slots=True)
class StormRules:
    """How many incidents of a cluster, and of all, are told one by one to one receiver; None for any number.

    A storm is over when in `calm_after` no more would have been told than half of what may be in that time.
    """

    cluster: RateLimit | None
    fleet: RateLimit | None
    calm_after: timedelta

    def limit(self, place: Place) -> RateLimit | None:
        """Return how many are told one by one to a receiver of what is in a scope."""
        _, scope = place
        return self.fleet if scope == FLEET else self.cluster


class Storms:
    """Knows the storms that go on.

    Args:
        rules: when it is a storm.
        live: the storms that went on at the last end.
        receivers: who is told of incidents; nobody is told of storms of others.
        now: the time of day.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        rules: StormRules,
        live: Iterable[Storm] = (),
        *,
        receivers: Collection[str],
        now: datetime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._receivers = receivers
        self._monotonic = monotonic
        self._live: dict[Place, Storm] = {}
        self._places: dict[str, Place] = {}
        #: Since when we have known of a storm: before, nothing was counted that shows whether it is calm.
        self._known_since: dict[str, float] = {}
        self._rates: dict[Place, _Rate] = {}
        self._timers = Timers()
        for storm in live:
            self._keep(storm, now)

    def __len__(self) -> int:
        return len(self._live)

    def gather(self, changes: IncidentChanges, *, now: datetime) -> None:
        """Take the orders that belong to a storm out of `changes`, and put them into its digest."""
        orders, changes.orders = changes.orders, []
        for order in orders:
            incident = changes.incidents[order.incident]
            places = [(order.receiver, scope) for scope in _scopes(incident)]
            storm = self._storm_for(changes, places, now)
            # What is told in the digest of a cluster is no reason to gather what is of others.
            counting = places if storm is None or storm.scope == FLEET else [storm.place]
            changes.noted += [place for place in counting if self._rules.limit(place)]
            if storm is None:
                changes.orders.append(order)
            else:
                changes.storms[storm.place] = replace(storm, is_told=False)
                told = gathered(incident, order.told, now)
                changes.enrolled.append(Enrolment(storm.id, order.receiver, incident.id, told))

    def elapse(self, changes: IncidentChanges, *, now: datetime) -> None:
        """Let a digest be told where it is time and there is something new, and end what has calmed down."""
        for id_ in self._timers.over(self._monotonic(), limit=_DECISION_LIMIT):
            place = self._places[id_]
            before = changes.storms.get(place) or self._live[place]
            if self._is_calm(before):
                after = replace(before, ended_at=now, due_at=None, is_told=True)
            else:
                after = replace(before, due_at=now + INTERVAL, is_told=True)
            is_news = after.ended_at is not None or not before.is_told
            if is_news and before.receiver in self._receivers:
                changes.digests.append(DigestOrder(before.id, before.receiver))
            changes.storms[place] = after

    def keep(self, changes: IncidentChanges, now: datetime) -> None:
        """Take over what is kept."""
        for place in changes.noted:
            self._note(place)
        for storm in changes.storms.values():
            self._keep(storm, now)

    def _storm_for(self, changes: IncidentChanges, places: Sequence[Place], now: datetime) -> Storm | None:
        """Return the storm at one of `places` that goes on, or that begins now; None if all is calm there."""
        for place in places:
            known = changes.storms.get(place) or self._live.get(place)
            if known is not None and known.ended_at is None:
                return known
        full = [place for place in places if self._is_full(place, changes.noted.count(place))]
        if not full:
            return None
        since = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as exact as the store keeps it
        return Storm(*full[0], since=since, due_at=now + GATHER)

    def _is_full(self, place: Place, more: int) -> bool:
        """Tell whether no more may be told one by one after `more` that are told now."""
        limit = self._rules.limit(place)
        if limit is None:
            return False
        return more >= limit.count or (
            place in self._rates and self._rates[place].is_full(self._monotonic(), more)
        )

    def _is_calm(self, storm: Storm) -> bool:
        now = self._monotonic()
        if now - self._known_since[storm.id] < self._rules.calm_after.total_seconds():
            return False
        return storm.place not in self._rates or self._rates[storm.place].is_calm(now)

    def _note(self, place: Place) -> None:
        limit, now = self._rules.limit(place), self._monotonic()
        if limit is None:
            return
        if len(self._rates) >= _RATE_LIMIT:
            self._rates = {one: rate for one, rate in self._rates.items() if not rate.is_empty(now)}
        self._rates.setdefault(place, _Rate(limit, self._rules.calm_after)).note(now)

    def _keep(self, storm: Storm, now: datetime) -> None:
        if storm.due_at is None:
            self._live.pop(storm.place, None)
            self._places.pop(storm.id, None)
            self._known_since.pop(storm.id, None)
            self._rates.pop(storm.place, None)
            self._timers.cancel(storm.id)
            return
        known = self._live.get(storm.place)
        self._live[storm.place] = storm
        self._places[storm.id] = storm.place
        self._known_since.setdefault(storm.id, self._monotonic())
        if known is None or known.due_at != storm.due_at:
            wait = min(max(storm.due_at - now, timedelta()), INTERVAL)
            self._timers.set(storm.id, self._monotonic() + wait.total_seconds())


class _Rate:
    """How much would have been told one by one of late, in monotonic seconds."""

    def __init__(self, limit: RateLimit, calm_after: timedelta) -> None:
        half = math.ceil(limit.count * (calm_after / limit.per) / 2)
        self._begins = SlidingWindow((limit,))
        self._lasts = SlidingWindow((RateLimit(half + 1, calm_after),))

    def note(self, now: float) -> None:
        self._begins.note(now)
        self._lasts.note(now)

    def is_full(self, now: float, more: int) -> bool:
        return self._begins.wait_seconds(now, room=more + 1) > 0

    def is_calm(self, now: float) -> bool:
        return self._lasts.wait_seconds(now) <= 0

    def is_empty(self, now: float) -> bool:
        return self._begins.is_empty(now) and self._lasts.is_empty(now)


def _scopes(incident: Incident) -> list[str]:
    """Return the scopes that an incident counts in: all clusters, and its own if it is of one only."""
    clusters = {key.cluster for key in incident.problems}
    return [FLEET, *clusters] if len(clusters) == 1 else [FLEET]
