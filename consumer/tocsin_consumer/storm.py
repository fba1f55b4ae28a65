"""When so much happens that incidents are told together in a digest, and no longer one by one.

One receiver is told so many incidents of one cluster, or of all clusters, in a span of time. What is beyond that
is a storm: it goes into a digest, which is told anew while there is more of it, until it has calmed down.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tocsin_consumer.digest import FLEET
from tocsin_consumer.dispatch import Told
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
#: Windows that are kept at most before those that are empty are dropped.
_WINDOW_LIMIT: Final = 2000


@dataclass(frozen=True, slots=True)
class StormRules:
    """How many incidents of a cluster, and of all, are told one by one to one receiver; None for any number.

    A storm is over when for `calm_after` nothing would have been told.
    """

    cluster: RateLimit | None
    fleet: RateLimit | None
    calm_after: timedelta


class Storms:
    """Knows the storms that go on.

    Args:
        rules: when it is a storm.
        live: the storms that went on at the last end.
        now: the time of day.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        rules: StormRules,
        live: Iterable[Storm] = (),
        *,
        now: datetime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = {FLEET: rules.fleet, None: rules.cluster}
        self._calm_after = rules.calm_after
        self._monotonic = monotonic
        self._live: dict[Place, Storm] = {}
        self._places: dict[str, Place] = {}
        #: What was told one by one of late. Not undone when a commit fails: the storm then begins a little sooner.
        self._windows: dict[Place, SlidingWindow] = {}
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
            storm = self._storm_for(changes, [(order.receiver, scope) for scope in _scopes(incident)], now)
            if storm is None:
                changes.orders.append(order)
            else:
                changes.storms[storm.place] = replace(storm, news_at=now, is_told=False)
                told = Told(now, incident.revision, incident.occurrences)
                changes.enrolled.append(Enrolment(storm.id, order.receiver, incident.id, told))

    def elapse(self, changes: IncidentChanges, *, now: datetime) -> None:
        """Let a digest be told where it is time and there is something new, and end what has calmed down."""
        for id_ in self._timers.over(self._monotonic(), limit=_DECISION_LIMIT):
            place = self._places[id_]
            before = changes.storms.get(place) or self._live[place]
            calm_at = before.news_at + self._calm_after
            if calm_at <= now:
                after = replace(before, ended_at=now, due_at=None, is_told=True)
            else:
                after = replace(before, due_at=min(now + INTERVAL, calm_at), is_told=True)
            if after.ended_at or not before.is_told:
                changes.digests.append(DigestOrder(before.id, before.receiver))
            changes.storms[place] = after

    def keep(self, changes: IncidentChanges, now: datetime) -> None:
        """Take over what is kept."""
        for storm in changes.storms.values():
            self._keep(storm, now)

    def _storm_for(self, changes: IncidentChanges, places: Sequence[Place], now: datetime) -> Storm | None:
        """Return the storm at one of `places` that goes on, or that begins now; None if all is calm there."""
        for place in places:
            known = changes.storms.get(place) or self._live.get(place)
            if known is not None and known.ended_at is None:
                return known
        full = [place for place in places if self._is_full(place)]
        for place in places:
            self._note(place)
        if not full:
            return None
        since = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as exact as the store keeps it
        return Storm(*full[0], since=since, news_at=now, due_at=now + GATHER)

    def _is_full(self, place: Place) -> bool:
        return place in self._windows and self._windows[place].wait_seconds(self._monotonic()) > 0

    def _note(self, place: Place) -> None:
        _, scope = place
        limit = self._limits[FLEET if scope == FLEET else None]
        if limit is None:
            return
        if len(self._windows) >= _WINDOW_LIMIT:
            now = self._monotonic()
            self._windows = {one: window for one, window in self._windows.items() if not window.is_empty(now)}
        self._windows.setdefault(place, SlidingWindow((limit,))).note(self._monotonic())

    def _keep(self, storm: Storm, now: datetime) -> None:
        if storm.due_at is None:
            self._live.pop(storm.place, None)
            self._places.pop(storm.id, None)
            self._windows.pop(storm.place, None)
            self._timers.cancel(storm.id)
            return
        known = self._live.get(storm.place)
        self._live[storm.place] = storm
        self._places[storm.id] = storm.place
        if known is None or known.due_at != storm.due_at:
            wait = min(max(storm.due_at - now, timedelta()), max(INTERVAL, self._calm_after))
            self._timers.set(storm.id, self._monotonic() + wait.total_seconds())


def _scopes(incident: Incident) -> list[str]:
    """Return the scopes that an incident counts in: all clusters, and its own if it is of one only."""
    clusters = {key.cluster for key in incident.problems}
    return [FLEET, *clusters] if len(clusters) == 1 else [FLEET]
