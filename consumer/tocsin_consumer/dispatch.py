"""When a receiver is told about an incident, and why. Pure.

The semantics of Alertmanager (prometheus.io/docs/alerting/latest/configuration, `route`), for events: a group is
told `group_wait` after its first event; what is new in it, `group_interval` after the last time at the earliest;
and what goes on without news, every `repeat_interval`. More occurrences of a known problem are no news: the next
card counts them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from tocsin_consumer.incident import End, Incident, Problem, ProblemKey, State, state_of


class Cause(StrEnum):
    """Why a receiver is told."""

    FIRST = "first"
    NEWS = "news"
    REPEAT = "repeat"
    RECOVERED = "recovered"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Timing:
    """The options of a route about when to tell what."""

    group_wait: timedelta = timedelta(seconds=10)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta = timedelta(hours=4)
    #: After so long without another event, a problem whose end nobody says is over; so what fails every hour, as
    #: a CronJob does, goes on.
    quiet_after: timedelta = timedelta(minutes=90)
    send_recovered: bool = True
    send_quiet: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver was told last of an incident."""

    at: datetime
    revision: int
    occurrences: int
    #: Of each problem that it was told of: whether that goes on, by the last that was said of it.
    said: Mapping[ProblemKey, bool] = field(default_factory=lambda: MappingProxyType({}))
    #: Those of which something tells that has not arrived: a digest that waits, or a dead letter.
    gathered: frozenset[ProblemKey] = frozenset()

    def tells_of(self, problem: Problem) -> bool:
        """Tell whether it was told of `problem` as it began for the last time, or counts as told."""
        is_known = problem.key in self.said or problem.key in self.gathered
        return is_known and problem.begun <= self.revision and (self.leaves_open(problem) or not problem.goes_on)

    def leaves_open(self, problem: Problem) -> bool:
        """Tell whether the receiver takes `problem` to go on, by the last that it was told, or counts as told."""
        return self.said.get(problem.key, False) or problem.key in self.gathered

    def is_news(self, problem: Problem) -> bool:
        """Tell whether `problem` has begun or ended since, or is otherwise than the receiver was told."""
        return problem.revision > self.revision or problem.goes_on != self.leaves_open(problem)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do for one receiver: tell it now because of `cause`, or look again `at` a time, or neither."""

    cause: Cause | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about an incident: whom to tell why, when to look again, or that it is over."""

    causes: Mapping[str, Cause]
    look_at: datetime | None
    is_over: bool = False


def decide(
    incident: Incident, told: Mapping[str, Told], pending: Collection[str], timing: Timing, *, now: datetime
) -> Decision:
    """Return what to do about `incident`, by what its receivers were `told` last, and what is `pending` for whom.

    It is over once it has ended, its end is told, and nothing has come after that for a `group_interval`: what
    comes sooner belongs to it.
    """
    steps = {
        receiver: next_step(incident, told.get(receiver), timing, now=now)
        for receiver in incident.receivers
        if receiver not in pending
    }
    causes = {receiver: step.cause for receiver, step in steps.items() if step.cause}
    waits = [step.at for step in steps.values() if step.at]
    if causes or pending:
        waits.append(now + timing.group_interval)
    if waits or incident.state == State.OPEN:
        return Decision(causes, min(waits, default=None))
    rests_until = max((one.at for one in told.values()), default=incident.opened_at) + timing.group_interval
    return Decision(causes, rests_until, is_over=rests_until <= now)


def next_step(incident: Incident, told: Told | None, timing: Timing, *, now: datetime) -> Step:
    """Return what there is to do for a receiver that was `told` last, and for which nothing is under way."""
    news = _news(incident, told, timing)
    if news:
        return _at(_news_at(news, incident, told, timing), cause_of(incident, told), now=now)
    if told and any(problem.goes_on for problem in incident.unmuted()):
        interval = max(timing.repeat_interval, timing.group_interval)
        return _at(told.at + interval, Cause.REPEAT, now=now)
    return Step()


def is_still_wanted(incident: Incident, told: Told | None, timing: Timing, *, now: datetime) -> bool:
    """Tell whether there still is a reason to tell a receiver what was ordered for it."""
    return bool(_news(incident, told, timing)) or next_step(incident, told, timing, now=now).cause is not None


def _news(incident: Incident, told: Told | None, timing: Timing) -> list[Problem]:
    return [
        problem
        for problem in tellable(incident, told)
        if told is None or (told.is_news(problem) and is_wanted(problem, told, timing))
    ]


def tellable(incident: Incident, told: Told | None) -> list[Problem]:
    """Return the problems that a receiver may be told of.

    Of what is muted it is only told that it is over, and only if it was told that it goes on.
    """
    return [
        problem
        for problem in incident.problems.values()
        if problem.muted_by is None or (not problem.goes_on and told is not None and told.leaves_open(problem))
    ]


def is_wanted(problem: Problem, told: Told, timing: Timing) -> bool:
    """Tell whether a receiver wants what is new of `problem`: any beginning, and an end as its route says.

    An end always, if it was not told of the beginning and nothing muted that.
    """
    is_untold = problem.muted_by is None and problem.begun > told.revision
    if problem.goes_on or is_untold or not told.leaves_open(problem):
        return True
    return timing.send_recovered if problem.end == End.RECOVERED else timing.send_quiet


def state_for(incident: Incident, told: Told | None) -> State:
    """Return what the incident is for a receiver: by what it may be told of, if there is anything."""
    return state_of(incident, tellable(incident, told))


def gathered(incident: Incident, told: Told | None, at: datetime) -> Told:
    """Return what a receiver will have been told when the digest arrives that `incident` is part of."""
    before = told or Told(at, 0, 0)
    problems = tellable(incident, told)
    ended = {problem.key: False for problem in problems if not problem.goes_on}
    begun = frozenset(problem.key for problem in problems if problem.goes_on)
    said = {key: goes_on for key, goes_on in before.said.items() if key in incident.problems} | ended
    return Told(at, incident.revision, incident.occurrences, said, (before.gathered | begun) - ended.keys())


def arrived(incident: Incident, told: Told) -> Told:
    """Return what a receiver was told now that the digest has arrived; what is muted it was not."""
    unmuted = {problem.key for problem in incident.unmuted()}
    return replace(told, said={**told.said, **dict.fromkeys(told.gathered & unmuted, True)}, gathered=frozenset())


def given_up(told: Told, before: Told | None) -> Told:
    """Return what a receiver counts as `told` by what it never got, and was told `before`."""
    arrived_open = {key for key, goes_on in (before.said if before else {}).items() if goes_on}
    said = {key: goes_on for key, goes_on in told.said.items() if not goes_on or key in arrived_open}
    return replace(told, said=said, gathered=frozenset(told.said.keys() - said.keys()))


def _news_at(news: list[Problem], incident: Incident, told: Told | None, timing: Timing) -> datetime:
    """Return when news may be told: what comes together is to be told together."""
    since = min(problem.news_at for problem in news)
    if told is None:
        return max(incident.opened_at, since) + timing.group_wait
    return max(told.at + timing.group_interval, since + min(timing.group_wait, timing.group_interval))


def cause_of(incident: Incident, told: Told | None) -> Cause:
    """Return why a receiver is told of what is new."""
    match state_for(incident, told):
        case State.RECOVERED:
            return Cause.RECOVERED
        case State.QUIET:
            return Cause.QUIET
    return Cause.NEWS if told else Cause.FIRST


def _at(at: datetime, cause: Cause, *, now: datetime) -> Step:
    """Return the step at its time."""
    return Step(cause=cause) if at <= now else Step(at=at)
