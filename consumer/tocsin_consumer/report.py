"""What there is to say about an incident, to a receiver that was told something of it before. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tocsin_consumer.dispatch import Cause, Told, cause_of, state_for, tellable
from tocsin_consumer.incident import End, Incident, Problem, ProblemKey, State
from tocsin_consumer.severity import Severity, severity
from tocsin_schemas.event import EventPayload

#: From the worst to what is over.
_BY_SEVERITY: Final = {level: rank for rank, level in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Line:
    """One problem of an incident, for people."""

    cluster: str
    namespace: str
    #: The owner of the objects, such as a Deployment, or the object itself.
    kind: str
    owner: str
    reason: str
    severity: Severity
    #: Names of the objects that have it, or had; there may be more.
    objects: tuple[str, ...]
    has_more: bool
    occurrences: int
    #: Epoch seconds.
    began_at: int
    last_at: int
    #: As it was heard last: of the problem, and since it is recovered, of its end.
    event: EventPayload
    end: End | None
    #: Whether it was news since the receiver was told last.
    is_news: bool


@dataclass(frozen=True, slots=True)
class Report:
    """An incident as a receiver is told of it; what is muted is counted, and not shown."""

    incident: int
    cause: Cause
    state: State
    group: Mapping[str, str]
    #: News first, then what goes on, the worst first.
    lines: tuple[Line, ...]
    muted: int
    #: Of all of the incident, also of what is muted: so no receiver sees them fall. Then since it was told last.
    occurrences: int
    since_told: int
    #: Occurrences of problems that are not told apart.
    beyond: int
    began_at: int
    last_at: int
    told_at: datetime | None
    revision: int
    #: What the receiver has been told when it has this, see Told.
    said: Mapping[ProblemKey, bool]
    #: The event that stands for all: of the first line.
    event: EventPayload
    received_at: datetime

    @property
    def objects(self) -> int:
        """How many objects have it, or had."""
        return sum(len(line.objects) for line in self.lines)

    @property
    def has_more(self) -> bool:
        """Whether more objects than those have it, which are not told apart."""
        return self.beyond > 0 or any(line.has_more for line in self.lines)

    def as_told(self, at: datetime) -> Told:
        """Return what a receiver was told that was sent this."""
        return Told(at, self.revision, self.occurrences, self.said)


def report(incident: Incident, told: Told | None, cause: Cause) -> Report:
    """Return what to tell of `incident`, which has a problem to be told, to a receiver that was `told` before.

    It was decided to tell it because of `cause`; what has happened since may be a better reason. Where everything
    has been muted just now, it is told all the same.
    """
    problems = tellable(incident, told) or list(incident.problems.values())
    ranked = sorted(((_line(one, told), one.heard_at) for one in problems), key=lambda one: _rank(one[0]))
    lines = tuple(line for line, _ in ranked)
    said = {**(told.said if told else {}), **{one.key: one.goes_on for one in problems}}
    return Report(
        incident=incident.id,
        cause=cause if cause is Cause.REPEAT and not _is_change(incident, lines) else cause_of(incident, told),
        state=state_for(incident, told),
        group=dict(incident.group),
        lines=lines,
        muted=len(incident.problems) - len(problems),
        occurrences=incident.occurrences,
        since_told=incident.occurrences - (told.occurrences if told else 0),
        beyond=incident.beyond,
        began_at=min(line.began_at for line in lines),
        last_at=max(line.last_at for line in lines),
        told_at=told.at if told else None,
        revision=incident.revision,
        said={key: goes_on for key, goes_on in said.items() if key in incident.problems},
        event=lines[0].event,
        received_at=ranked[0][1],
    )


def _is_change(incident: Incident, lines: tuple[Line, ...]) -> bool:
    """Tell whether there is more to say than that it goes on."""
    return incident.state != State.OPEN or any(line.is_news and line.end is None for line in lines)


def alone(event: EventPayload, received_at: datetime) -> Report:
    """Return an event that is told as it came, as an incident of one line."""
    name = event.name
    line = Line(
        event.cluster,
        event.ns or "",
        event.kind,
        name,
        event.reason,
        severity(event),
        objects=(name,),
        has_more=False,
        occurrences=event.count,
        began_at=event.first,
        last_at=event.last,
        event=event,
        end=None,
        is_news=True,
    )
    return Report(
        incident=0,
        cause=Cause.FIRST,
        state=State.OPEN,
        group={},
        lines=(line,),
        muted=0,
        occurrences=event.count,
        since_told=event.count,
        beyond=0,
        began_at=event.first,
        last_at=event.last,
        told_at=None,
        revision=0,
        said={},
        event=event,
        received_at=received_at,
    )


def _line(problem: Problem, told: Told | None) -> Line:
    cluster, namespace, kind, owner, reason = problem.key
    event = problem.event
    return Line(
        cluster,
        namespace,
        kind,
        owner,
        reason,
        severity_of(problem),
        tuple(sorted(problem.objects, key=lambda name: not problem.objects[name])),
        problem.has_more,
        problem.occurrences,
        problem.began_at,
        max(problem.began_at, event.last),
        event,
        problem.end,
        is_news=told is None or told.is_news(problem),
    )


def _rank(line: Line) -> tuple[bool, bool, int, int]:
    return line.end is not None, not line.is_news, _BY_SEVERITY[line.severity], -line.event.last


def severity_of(problem: Problem) -> Severity:
    """Return how bad it is; that nothing more is heard of it does not say that all is well."""
    if problem.goes_on:
        return severity(problem.event)
    return Severity.RECOVERED if problem.end == End.RECOVERED else Severity.INFO
