"""When a receiver is told about an incident, and why. Pure.

The semantics of Alertmanager (prometheus.io/docs/alerting/latest/configuration, `route`), for events: a group is
told `group_wait` after its first event; what is new in it, `group_interval` after the last time at the earliest;
and what goes on without news, every `repeat_interval`. More occurrences of a known problem are no news: the next
card counts them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tocsin_consumer.incident import End, Incident, Problem, State


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

    def tells_of(self, problem: Problem, receiver: str) -> bool:
        """Tell whether the `receiver` that was told this knows that `problem` has begun."""
        return receiver in problem.known_to or (problem.begun is not None and problem.begun <= self.revision)

    def is_news(self, problem: Problem, receiver: str) -> bool:
        """Tell whether something is new about `problem` since: it began, ended or can be told at last."""
        is_later = problem.revision > self.revision
        return is_later and not (problem.goes_on and receiver in problem.known_to)


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
        receiver: next_step(incident, receiver, told.get(receiver), timing, now=now)
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


def next_step(incident: Incident, receiver: str, told: Told | None, timing: Timing, *, now: datetime) -> Step:
    """Return what there is to do for a receiver that was `told` last, and for which nothing is under way."""
    news = [
        problem
        for problem in incident.unmuted()
        if told is None or (told.is_news(problem, receiver) and is_wanted(problem, receiver, told, timing))
    ]
    if news:
        return _at(_news_at(news, incident, told, timing), cause_of(incident, told), now=now)
    if told and any(problem.goes_on for problem in incident.unmuted()):
        interval = max(timing.repeat_interval, timing.group_interval)
        return _at(told.at + interval, Cause.REPEAT, now=now)
    return Step()


def is_wanted(problem: Problem, receiver: str, told: Told, timing: Timing) -> bool:
    """Tell whether a receiver is to be told what is new of `problem`; its end is, where its beginning was not."""
    if problem.goes_on or not told.tells_of(problem, receiver):
        return True
    return timing.send_recovered if problem.end == End.RECOVERED else timing.send_quiet


def knowing(problem: Problem, told: Mapping[str, Told], in_digests: Collection[str]) -> list[str]:
    """Return the receivers that know that `problem` has begun; a digest under way may tell of it no more."""
    return [name for name, one in told.items() if name not in in_digests and one.tells_of(problem, name)]


def _news_at(news: list[Problem], incident: Incident, told: Told | None, timing: Timing) -> datetime:
    """Return when news may be told: what comes together is to be told together."""
    since = min(problem.news_at for problem in news)
    if told is None:
        return max(incident.opened_at, since) + timing.group_wait
    return max(told.at + timing.group_interval, since + min(timing.group_wait, timing.group_interval))


def cause_of(incident: Incident, told: Told | None) -> Cause:
    """Return why a receiver is told of what is new."""
    match incident.state:
        case State.RECOVERED:
            return Cause.RECOVERED
        case State.QUIET:
            return Cause.QUIET
    return Cause.NEWS if told else Cause.FIRST


def _at(at: datetime, cause: Cause, *, now: datetime) -> Step:
    """Return the step at its time."""
    return Step(cause=cause) if at <= now else Step(at=at)
