"""All live incidents: what comes into them, and what is due to be decided about them.

As with the roster, changes are computed first and taken over when the store has kept them.
"""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from tocsin_consumer import incident as transitions
from tocsin_consumer.dispatch import Timing, decide, is_still_wanted
from tocsin_consumer.incident import Incident, Problem, ProblemKey, State
from tocsin_consumer.match import Texts, match_texts
from tocsin_consumer.mute import Mutes
from tocsin_consumer.records import Group, IncidentChanges, Order, Record, Standing
from tocsin_consumer.recovery import Ended, ended_by, is_recovery
from tocsin_consumer.reroute import rerouted
from tocsin_consumer.route import Route, Taken
from tocsin_consumer.timers import Timers, alone_with_its_failure
from tocsin_schemas.event import EventPayload

#: Incidents that are decided about in one commit.
DECISION_LIMIT: Final = 200
#: Beyond any wait of an incident: what is due later was stored by a clock that has been set back since.
_LONGEST_WAIT: Final = timedelta(days=8)
#: How long what has waited for a link takes to come, once it is back.
_CATCH_UP: Final = timedelta(minutes=5)
#: How often it is seen whether what is muted still is: what inhibits it can end at any time.
_MUTE_CHECK: Final = timedelta(minutes=1)
#: When all is looked at after a start; a link is up by then, if it comes up at all.
_FIRST_LOOK: Final = timedelta(minutes=1)

#: Tells since when we would hear of a cluster what there is to hear; None if we do not.
HeardSince = Callable[[str], datetime | None]


class Board:
    """Knows every incident that is not closed, and when it has to be looked at.

    Args:
        route: the top of the routing tree.
        live: the incidents that were not closed at the last end.
        next_id: the id of the next one.
        mutes: what keeps problems from being told.
        now: the time of day.
        monotonic: seconds that never jump; waits are kept in them.
    """

    def __init__(
        self,
        route: Route,
        live: Iterable[Incident] = (),
        *,
        next_id: int,
        mutes: Mutes,
        now: datetime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._top = route
        self._routes = route.by_key()
        self._mutes = mutes
        self._monotonic = monotonic
        self._next_id = next_id
        self._live: dict[int, Incident] = {}
        self._ids: dict[Group, int] = {}
        #: (cluster, reason) → incidents in which such a problem goes on.
        self._going_on: dict[tuple[str, str], set[int]] = {}
        self._timers = Timers()
        #: Whether more may be due than the last decision was about.
        self.is_behind = False
        for one in rerouted(live, route, now):
            self._keep(one, one.problems.values(), now)

    def count_muted(self) -> int:
        """Return how many problems that go on are muted."""
        return sum(_count_muted(one) for one in list(self._live.values()))

    def take(
        self,
        changes: IncidentChanges,
        event: EventPayload,
        occurred: int,
        taken: Iterable[Taken],
        *,
        now: datetime,
    ) -> None:
        """Let `event`, with `occurred` new occurrences, become part of the incidents of the routes that take it.

        What says that something is over ends problems wherever they are, and is part of nothing else.
        """
        if is_recovery(event):
            self._recover(changes, event, now)
            return
        texts = match_texts(event)
        for node in taken:
            if node.grouped or self._mutes.is_source(texts):
                before = self._incident_of(changes, node, texts, now)
                after = transitions.heard(before, event, occurred, wait=node.route.timing.group_wait, now=now)
                after = self._as_muted(before, after, transitions.key_of(event), now)
                self._put(changes, before, after, now=now)

    def _as_muted(self, before: Incident, after: Incident, key: ProblemKey, now: datetime) -> Incident:
        """Return the incident after an event of the problem `key`, muted if all that is known of it is.

        What is muted speaks for nothing that is not: of one owner's objects on several nodes, one may be silenced.
        """
        known, heard = before.problems.get(key), after.problems.get(key)
        if heard is None or (reason := self._muted_by(after.id, heard, now)) is None:
            return after
        if known is None or not known.goes_on:
            heard = replace(heard, muted_by=reason)
        elif self._muted_by(after.id, known, now) is None:
            heard = replace(heard, packed=known.packed)
        return replace(after, problems={**after.problems, key: heard})

    def forget(self, changes: IncidentChanges, cluster: str, *, now: datetime) -> None:
        """Let the problems of a cluster end of which nothing more will be heard: it is no longer there."""
        kinds = [kind for kind in self._going_on if kind[0] == cluster]
        ids = {id_ for kind in kinds for id_ in self._going_on[kind]}
        for id_ in sorted({*ids, *changes.incidents}):
            before = self._latest(changes, id_)
            wait = self._timing(before).group_wait
            after = transitions.quiet(
                before, lambda one: now if one.key.cluster == cluster else None, wait=wait, now=now
            )
            if after is not before:
                self._put(changes, before, after, now=now)

    def elapse(
        self,
        changes: IncidentChanges,
        recall: Callable[[Collection[int], datetime], Record],
        heard_since: HeardSince,
        *,
        now: datetime,
    ) -> None:
        """Decide about what is due; `recall` tells what the store knows about the telling of some incidents."""
        ids = [int(key) for key in self._timers.over(self._monotonic(), limit=DECISION_LIMIT)]
        self.is_behind = len(ids) == DECISION_LIMIT
        due = [self._live[id_] for id_ in ids if id_ not in changes.incidents]
        record = recall([one.id for one in due], now) if due else Record({}, {})
        for before in due:
            with alone_with_its_failure(f"incident {before.id}", self._timers, str(before.id)):
                self._decide(changes, before, record, heard_since, now=now)

    def look_again(self) -> None:
        """Let everything that is muted be looked at now: silences have changed."""
        for one in self._live.values():
            if _count_muted(one):
                self._timers.set(str(one.id), self._monotonic())

    def look_at_all(self, now: datetime) -> None:
        """Let everything be looked at soon: intervals or the clock may be others than those that it was due by.

        Not at once, as we hear of nothing yet.
        """
        at = self._monotonic() + _FIRST_LOOK.total_seconds()
        for one in self._live.values():
            if one.due_at is None or one.due_at - now > _FIRST_LOOK:
                self._timers.set(str(one.id), at)

    def keep(self, changes: IncidentChanges, now: datetime) -> None:
        """Take over what is kept."""
        self._next_id += len(changes.opened)
        for one in changes.incidents.values():
            for key in changes.dropped(one.id):
                self._forget(one, key)
            self._keep(one, changes.problems(one.id), now)

    def states(self) -> dict[str, int]:
        """Return how many live incidents are in which state."""
        counts = dict.fromkeys((state.value for state in State), 0)
        for one in list(self._live.values()):
            counts[one.state] += 1
        return counts

    def _incident_of(self, changes: IncidentChanges, node: Taken, texts: Texts, now: datetime) -> Incident:
        """Return the live incident that an event with these texts belongs to, or else a new one."""
        group = node.key, tuple((name, texts.get(name) or "") for name in node.route.group_by)
        id_ = changes.opened.get(group, self._ids.get(group))
        known = None if id_ is None else self._latest(changes, id_)
        if known is None or known.closed_at is not None:
            id_ = changes.opened[group] = self._next_id + len(changes.opened)
            return Incident(id_, *group, now, node.grouped)
        receivers = tuple(dict.fromkeys((*known.receivers, *node.grouped)))
        return known if receivers == known.receivers else replace(known, receivers=receivers)

    def _recover(self, changes: IncidentChanges, event: EventPayload, now: datetime) -> None:
        found = False
        for said in ended_by(event):
            for before in self._with_problem(changes, said):
                after = transitions.ended(before, said, event, wait=self._timing(before).group_wait, now=now)
                if after.problems != before.problems:
                    found = True
                    self._put(changes, before, after, now=now)
        changes.needless += not found

    def _with_problem(self, changes: IncidentChanges, said: Ended) -> list[Incident]:
        ids = {*self._going_on.get((said.cluster, said.reason), ()), *changes.incidents}
        return [self._latest(changes, id_) for id_ in sorted(ids)]

    def _put(self, changes: IncidentChanges, before: Incident, after: Incident, *, now: datetime) -> None:
        """Note it; news are to be looked at once what belongs to them has had the time to come.

        If everything is muted it is looked at right away: what waits for a receiver is to be withdrawn.
        """
        if after.revision != before.revision or after.due_at is None:
            timing = self._timing(after)
            wait = min(timing.group_wait, timing.group_interval) if any(after.unmuted()) else timedelta()
            at = now + wait
            after = replace(after, due_at=at if after.due_at is None else min(at, after.due_at))
        changes.put(before, after)

    def _decide(
        self, changes: IncidentChanges, before: Incident, record: Record, heard_since: HeardSince, *, now: datetime
    ) -> None:
        timing, told = self._timing(before), record.told.get(before.id, {})
        after = self._as_time_has_it(before, heard_since, now)
        pending = set(record.pending.get(before.id, ()))
        waited_for = {
            name
            for name in pending.intersection(after.receivers)
            if is_still_wanted(after, told.get(name), timing, now=now)
        }
        decision = decide(after, told, waited_for, timing, now=now)
        if decision.is_over:
            after = replace(after, closed_at=now, due_at=None)
        else:
            quiet_at = [_quiet_at(one, timing, heard_since, now) for one in after.problems.values()]
            due_at = _earliest(decision.look_at, self._unmuted_at(after, timing, now), *quiet_at)
            after = replace(after, due_at=due_at)
        changes.withdrawn += [(before.id, receiver) for receiver in sorted(pending - waited_for)]
        changes.orders += [
            Order(before.id, receiver, cause, told.get(receiver)) for receiver, cause in decision.causes.items()
        ]
        changes.put(before, after)

    def _as_time_has_it(self, before: Incident, heard_since: HeardSince, now: datetime) -> Incident:
        """Return the incident with what is quiet by now, and with what is muted now."""
        timing = self._timing(before)
        after = transitions.quiet(
            transitions.not_later_than(now, before),
            lambda one: _quiet_at(one, timing, heard_since, now),
            wait=timing.group_wait,
            now=now,
        )
        return transitions.muted(after, lambda one: self._muted_by(before.id, one, now), now=now)

    def _unmuted_at(self, one: Incident, timing: Timing, now: datetime) -> datetime | None:
        """Return when to see whether what is muted still is."""
        if not _count_muted(one):
            return None
        return _earliest(now + min(timing.group_interval, _MUTE_CHECK), self._mutes.next_change_at(now))

    def _muted_by(self, id_: int, problem: Problem, now: datetime) -> str | None:
        return self._mutes.muted_by((id_, problem.key), match_texts(problem.event), now)

    def _timing(self, one: Incident) -> Timing:
        return self._routes.get(one.route, self._top).timing

    def _latest(self, changes: IncidentChanges, id_: int) -> Incident:
        return changes.incidents.get(id_) or self._live[id_]

    def _keep(self, one: Incident, changed: Iterable[Problem], now: datetime) -> None:
        for problem in changed:
            self._note((one.id, problem.key), problem, goes_on=problem.goes_on and one.closed_at is None)
        if one.closed_at is not None:
            self._live.pop(one.id, None)
            self._ids.pop((one.route, one.group), None)
            self._timers.cancel(str(one.id))
            for kind in {(key.cluster, key.reason) for key in one.problems}:
                self._end(kind, one.id)
            return
        self._live[one.id] = one
        self._ids[one.route, one.group] = one.id
        if one.due_at is None:
            self._timers.cancel(str(one.id))
        else:
            wait = min(max(one.due_at - now, timedelta()), _LONGEST_WAIT)
            self._timers.set(str(one.id), self._monotonic() + wait.total_seconds())

    def _forget(self, one: Incident, key: ProblemKey) -> None:
        """Forget a problem that its incident no longer tells apart."""
        self._mutes.end((one.id, key))
        if not any((other.cluster, other.reason) == (key.cluster, key.reason) for other in one.problems):
            self._end((key.cluster, key.reason), one.id)

    def _end(self, kind: tuple[str, str], id_: int) -> None:
        """Forget that a problem of this cluster and reason goes on in an incident."""
        ids = self._going_on.get(kind, set())
        ids.discard(id_)
        if not ids:
            self._going_on.pop(kind, None)

    def _note(self, key: Standing, problem: Problem, *, goes_on: bool) -> None:
        """Keep in mind where a problem goes on, and what it may inhibit."""
        id_, (cluster, _, _, _, reason) = key
        if goes_on:
            self._going_on.setdefault((cluster, reason), set()).add(id_)
            self._mutes.stand(key, match_texts(problem.event))
        else:
            self._mutes.end(key)


def _quiet_at(problem: Problem, timing: Timing, heard_since: HeardSince, now: datetime) -> datetime | None:
    """Return when a problem will have been silent for long enough, or when to see that again.

    While we do not hear of its cluster its silence says nothing, nor before what has waited there has come.
    """
    ends_at = transitions.quiet_at(problem, timing.quiet_after)
    return ends_at and max(ends_at, (heard_since(problem.key.cluster) or now) + _CATCH_UP)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def _count_muted(one: Incident) -> int:
    """Return how many of its problems go on and are muted."""
    return sum(problem.goes_on and problem.muted_by is not None for problem in one.problems.values())
