"""An incident: what goes on in one group of events, from the first to the end of the last problem. Pure.

A problem is one line that people read: a reason, and the owner of the objects that have it, so that ten replicas
of one Deployment are one. States and events in, states out; nothing here knows whom it is told.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from tocsin_consumer.owner import owner_of
from tocsin_consumer.recovery import Ended, stands
from tocsin_schemas.event import EventPayload

#: No sum of occurrences gets any larger, whatever a cluster says: each stays a number that can be kept and told.
COUNT_LIMIT: Final = 2**53
#: Problems that an incident tells apart, and objects that a problem does; those beyond are counted. What is over
#: makes room for what is new.
PROBLEM_LIMIT: Final = 500
OBJECT_LIMIT: Final = 100


class End(StrEnum):
    """How a problem can end: an event says so, or nothing more is heard of it."""

    RECOVERED = "recovered"
    QUIET = "quiet"


class State(StrEnum):
    """What an incident is: as long as one problem goes on, it is open."""

    OPEN = "open"
    RECOVERED = "recovered"
    QUIET = "quiet"


class ProblemKey(NamedTuple):
    """What tells one problem from another within an incident."""

    cluster: str
    namespace: str
    kind: str
    owner: str
    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of an incident."""

    key: ProblemKey
    #: The event as it was heard last: of the problem, and since it is recovered, of its end. It is packed, as
    #: thousands of problems may go on at once, and the rest of what is known of one takes less room.
    packed: bytes
    heard_at: datetime
    #: When it began, in the words of the events.
    began_at: int
    #: Names of the objects that have it → whether they still do.
    objects: Mapping[str, bool]
    #: Objects beyond `OBJECT_LIMIT` have it as well, or had.
    has_more: bool
    occurrences: int
    #: The incident's revision at which it began or ended, and since when there is news of it: since that, or since
    #: it can be told.
    revision: int
    news_at: datetime
    #: The revision at which it began, for the last time.
    begun: int
    end: End | None = None
    #: Why it is not told: the silence or the inhibition that holds it, or did when it ended; None if nothing does.
    muted_by: str | None = None

    @property
    def event(self) -> EventPayload:
        """The event as it was heard last."""
        return EventPayload.model_validate_json(self.packed)

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self.end is None


@dataclass(frozen=True, slots=True)
class Incident:
    """A group of problems with its life."""

    id: int
    #: The route that it belongs to (route.Route.key), and what its events have in common.
    route: str
    group: tuple[tuple[str, str], ...]
    opened_at: datetime
    #: Whom it concerns; nobody where it only inhibits others.
    receivers: tuple[str, ...] = ()
    #: Rises with each news.
    revision: int = 0
    occurrences: int = 0
    problems: Mapping[ProblemKey, Problem] = field(default_factory=lambda: MappingProxyType({}))
    #: Occurrences of problems beyond `PROBLEM_LIMIT`, which are not told apart.
    beyond: int = 0
    #: When something is to be decided about it next; None while nothing is.
    due_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def state(self) -> State:
        """Open while a problem goes on; then recovered if an event said so of one that is told, else quiet."""
        return state_of(self, list(self.unmuted()))

    def unmuted(self) -> Iterator[Problem]:
        """Yield the problems that nothing mutes."""
        return (problem for problem in self.problems.values() if problem.muted_by is None)


def state_of(incident: Incident, problems: Collection[Problem]) -> State:
    """Return what an incident is, of which some `problems` matter; all do if there are none of them."""
    if not incident.problems or any(problem.goes_on for problem in incident.problems.values()):
        return State.OPEN
    ends = {problem.end for problem in problems or incident.problems.values()}
    return State.RECOVERED if End.RECOVERED in ends else State.QUIET


def key_of(event: EventPayload) -> ProblemKey:
    """Return the problem that `event` is about."""
    owner = owner_of(event.kind, event.name, node=event.node)
    return ProblemKey(event.cluster, event.ns or "", owner.kind, owner.name, event.reason)


def heard(before: Incident, event: EventPayload, occurred: int, *, wait: timedelta, now: datetime) -> Incident:
    """Return the incident after `event` with `occurred` occurrences that were not heard of before.

    A problem that is new, or had ended, is news; one that goes on is not. One that begins again starts with the
    object and the time of this event, and goes on counting. For `wait`, see `_news_at`.
    """
    key = key_of(event)
    known = before.problems.get(key)
    if known is None:
        before = _with_room(before)
    total = _sum(before.occurrences, occurred)
    if known is None and len(before.problems) >= PROBLEM_LIMIT:
        return replace(before, occurrences=total, beyond=_sum(before.beyond, occurred))
    revision = before.revision
    if known is not None and known.goes_on:
        after = replace(_with_object(known, event.name), packed=_pack(event), heard_at=now)
    else:
        revision += 1
        news_at = _news_at(known, wait, now) if known else now
        after = _begun(event, occurred, revision=revision, news_at=news_at, now=now)
    after = replace(after, occurrences=_sum(known.occurrences if known else 0, occurred))
    return replace(before, revision=revision, occurrences=total, problems={**before.problems, key: after})


def ended(before: Incident, said: Ended, event: EventPayload, *, wait: timedelta, now: datetime) -> Incident:
    """Return the incident after `event` has said that some of its problems are over."""
    problems = dict(before.problems)
    revision = before.revision
    for key, problem in before.problems.items():
        after = _without_object(problem, said)
        if after is problem:
            continue
        if not any(after.objects.values()) and not after.has_more:
            revision = before.revision + 1
            after = replace(
                after,
                packed=_pack(event),
                heard_at=now,
                end=End.RECOVERED,
                revision=revision,
                news_at=_news_at(after, wait, now),
            )
        problems[key] = after
    return replace(before, revision=revision, problems=problems)


def quiet(
    before: Incident, ends_at: Callable[[Problem], datetime | None], *, wait: timedelta, now: datetime
) -> Incident:
    """Return the incident after those of its problems have ended of which `ends_at` says that it is time."""
    revision = before.revision + 1
    over = {
        key: replace(problem, end=End.QUIET, revision=revision, news_at=_news_at(problem, wait, now))
        for key, problem in before.problems.items()
        if problem.goes_on and (at := ends_at(problem)) is not None and at <= now
    }
    if not over:
        return before
    return replace(before, revision=revision, problems={**before.problems, **over})


def not_later_than(now: datetime, before: Incident) -> Incident:
    """Return the incident without times that are still to come: they were noted before a clock was set back."""
    problems = {
        key: replace(problem, heard_at=min(problem.heard_at, now), news_at=min(problem.news_at, now))
        for key, problem in before.problems.items()
        if max(problem.heard_at, problem.news_at) > now
    }
    if not problems and before.opened_at <= now:
        return before
    return replace(before, opened_at=min(before.opened_at, now), problems={**before.problems, **problems})


def quiet_at(problem: Problem, after: timedelta) -> datetime | None:
    """Return when a problem has been silent for long enough to be over; None if it goes on until that is said."""
    return None if not problem.goes_on or stands(problem.event) else problem.heard_at + after


def muted(
    before: Incident,
    muted_by: Callable[[Problem], str | None],
    *,
    now: datetime,
) -> Incident:
    """Return the incident with each problem that goes on muted by what `muted_by` says.

    One that nothing mutes any more is news now to those who do not know of it.
    """
    problems = dict(before.problems)
    for key, problem in before.problems.items():
        reason = muted_by(problem) if problem.goes_on else problem.muted_by
        if reason != problem.muted_by:
            problems[key] = replace(problem, muted_by=reason, news_at=problem.news_at if reason else now)
    return replace(before, problems=problems)


def _begun(event: EventPayload, occurred: int, *, revision: int, news_at: datetime, now: datetime) -> Problem:
    """Return the problem that `event` is about, as it begins, or begins again."""
    return Problem(
        key_of(event),
        _pack(event),
        heard_at=now,
        began_at=_began_at(event, occurred),
        objects={event.name: True},
        has_more=False,
        occurrences=occurred,
        revision=revision,
        news_at=news_at,
        begun=revision,
    )


def _with_room(before: Incident) -> Incident:
    """Return the incident with room for one more problem, for which the one that is over for longest has to go.

    That something is new matters more than that something is over.
    """
    over = [one for one in before.problems.values() if not one.goes_on]
    if len(before.problems) < PROBLEM_LIMIT or not over:
        return before
    oldest = min(over, key=lambda one: one.news_at)
    problems = {key: one for key, one in before.problems.items() if key != oldest.key}
    return replace(before, problems=problems, beyond=_sum(before.beyond, oldest.occurrences))


def _news_at(problem: Problem, wait: timedelta, now: datetime) -> datetime:
    """Return since when there is news of a problem that is news now.

    What comes soon after other news, which is told after `wait`, belongs to that: a problem that comes and goes
    all the time is told, and not waited for until it rests.
    """
    return problem.news_at if now - problem.news_at <= 2 * wait else now


def _pack(event: EventPayload) -> bytes:
    return event.model_dump_json(by_alias=True, exclude_none=True).encode()


def _sum(*counts: int) -> int:
    return min(COUNT_LIMIT, sum(counts))


def _began_at(event: EventPayload, occurred: int) -> int:
    """Return when the problem began: of an Event that was heard of before, with what is new of it."""
    return event.first if occurred >= event.count else event.last


def _with_object(known: Problem, name: str) -> Problem:
    if name in known.objects or len(known.objects) < OBJECT_LIMIT:
        return replace(known, objects={**known.objects, name: True})
    over = next((other for other, goes_on in known.objects.items() if not goes_on), None)
    if over is None:
        return replace(known, has_more=True)
    kept = {other: goes_on for other, goes_on in known.objects.items() if other != over}
    return replace(known, objects={**kept, name: True})


def _without_object(problem: Problem, said: Ended) -> Problem:
    """Return the problem without the objects of which `said` says that they no longer have it."""
    key = problem.key
    if not problem.goes_on or (key.cluster, key.reason) != (said.cluster, said.reason):
        return problem
    if problem.event.kind != said.kind:
        return problem
    if said.object is None:
        return replace(problem, objects=dict.fromkeys(problem.objects, False), has_more=False)
    namespace, name = said.object
    if key.namespace != namespace or not problem.objects.get(name):
        return problem
    return replace(problem, objects={**problem.objects, name: False})
