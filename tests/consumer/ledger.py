"""All that happened to a consumer in trouble, in order: what it heard, kept and told."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple, TypeVar

from tocsin_consumer.digest import Digest
from tocsin_consumer.dispatch import Told
from tocsin_consumer.incident import End, Incident, Problem, ProblemKey
from tocsin_consumer.notice import KIND as CLUSTER
from tocsin_consumer.records import IncidentChanges
from tocsin_consumer.report import Line, Report
from tocsin_consumer.silence import Silence
from tocsin_schemas.event import EventPayload

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Heard:
    """A state of an Event that the pipeline has taken, with so many more occurrences than the one before it."""

    at: datetime
    event: EventPayload
    growth: int

    def __str__(self) -> str:
        said = self.event
        return f"{self.at:%H:%M:%S} {said.cluster} {said.ns}/{said.name} {said.reason} +{self.growth}"


class Fate(Enum):
    """What the process knows of a delivery that was made."""

    MADE = "made"
    NOTED = "noted"
    #: It was killed before it can be sure that it has noted it.
    DOUBTFUL = "doubtful"


@dataclass
class Telling:
    """What a receiver got of an incident, or refused for good."""

    at: datetime
    receiver: str
    report: Report
    is_refused: bool = False
    fate: Fate = Fate.MADE

    @property
    def incident(self) -> int:
        return self.report.incident

    @property
    def occurrences(self) -> int:
        return self.report.occurrences

    @property
    def ends(self) -> dict[ProblemKey, End | None]:
        """How each problem that it tells has ended; None while it goes on."""
        return {key_in(line): line.end for line in self.report.lines}

    @property
    def keys(self) -> set[ProblemKey]:
        """The problems that it is about."""
        return set(self.ends)

    @property
    def told(self) -> Told:
        return self.report.as_told(self.at)

    def __str__(self) -> str:
        lines = [
            f"{one.cluster} {one.owner} {one.reason} {one.occurrences} {one.end}" for one in self.report.lines
        ]
        return f"{self.at:%H:%M:%S} {self.receiver} {self.fate.value} {self.incident} {self.report.cause} {lines}"


@dataclass(frozen=True)
class Enrolled:
    """An incident that counts as told, since it is in the digest of a storm."""

    at: datetime
    receiver: str
    incident: int
    storm: str
    told: Told
    fate = Fate.NOTED

    @property
    def occurrences(self) -> int:
        return self.told.occurrences

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.incident} is in storm {self.storm}, with {self.occurrences}"


@dataclass(frozen=True)
class Digested:
    """A digest that a receiver got, or refused, with the incidents that it is about as they were then."""

    at: datetime
    receiver: str
    digest: Digest
    incidents: tuple[Incident, ...]

    @property
    def keys(self) -> set[ProblemKey]:
        """The problems that it is about."""
        return {key for one in self.incidents for key in one.problems}

    def __str__(self) -> str:
        said = self.digest
        numbers = f"{said.incidents} {said.going_on} {said.problems} {said.occurrences} {said.ended_at}"
        return f"{self.at:%H:%M:%S} digest of {said.storm}: {numbers}"


class Beginning(NamedTuple):
    """A problem that was news, and has to be told from this revision of its incident on."""

    incident: int
    key: ProblemKey
    revision: int


Kind = TypeVar("Kind", Heard, Telling, Digested)


@dataclass
class Log:
    """What happened."""

    entries: list[Heard | Telling | Enrolled | Digested] = field(default_factory=list)
    silences: dict[str, Silence] = field(default_factory=dict)
    #: When the link of a cluster was down.
    away: defaultdict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    #: What was committed: each incident as it is now, and for whom it was opened.
    incidents: dict[int, Incident] = field(default_factory=dict)
    openings: dict[int, tuple[str, ...]] = field(default_factory=dict)
    #: For whom each has been at any time.
    receivers: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: What has to be told, and when that was committed.
    beginnings: dict[Beginning, datetime] = field(default_factory=dict)
    #: Beginnings of problems that were muted when they ended, without having been told.
    muted: set[Beginning] = field(default_factory=set)

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Return what happened of one kind."""
        return [entry for entry in self.entries if isinstance(entry, kind)]

    def told(self) -> dict[tuple[int, str], list[Telling | Enrolled]]:
        """Return what each receiver was told of each incident, by itself or in a digest."""
        found = defaultdict(list)
        for entry in self.entries:
            if isinstance(entry, Telling | Enrolled):
                found[entry.incident, entry.receiver].append(entry)
        return found

    def ends_told(self, receiver: str, key: ProblemKey, since: datetime) -> Iterator[tuple[datetime, End | None]]:
        """Yield when a receiver was told of a problem, and that it goes on or how it ended."""
        for entry in self.entries:
            if isinstance(entry, Telling) and entry.receiver == receiver and entry.at >= since:
                yield from ((entry.at, end) for told, end in entry.ends.items() if told == key)
            elif isinstance(entry, Digested) and entry.receiver == receiver and entry.at >= since:
                found = (one.problems[key] for one in entry.incidents if key in one.problems)
                shown = (problem for problem in found if problem.muted_by is None or problem.end)
                yield from ((entry.at, problem.end) for problem in shown)

    def commit(self, changes: IncidentChanges, now: datetime) -> None:
        """Note what was kept of incidents."""
        for after in changes.incidents.values():
            before = self.incidents.get(after.id)
            self.openings.setdefault(after.id, after.receivers)
            self.receivers[after.id].update(after.receivers)
            for key, problem in after.problems.items():
                self._commit(after.id, before.problems.get(key) if before else None, problem, now)
            self.incidents[after.id] = after
        self.entries += [
            Enrolled(now, one.receiver, one.incident, one.storm, one.told) for one in changes.enrolled
        ]

    def _commit(self, incident: int, before: Problem | None, after: Problem, now: datetime) -> None:
        if after.goes_on and (before is None or before.revision != after.revision):
            self.beginnings[Beginning(incident, after.key, after.revision)] = now
        if not after.goes_on and after.muted_by is not None:
            self.muted |= {one for one in self.beginnings if (one.incident, one.key) == (incident, after.key)}


def last_noted(before: Sequence[Telling | Enrolled]) -> Iterator[Telling | Enrolled | None]:
    """Yield what may have been noted last: the last, and while that is in doubt, the one before it."""
    for telling in reversed(before):
        yield telling
        if telling.fate is not Fate.DOUBTFUL:
            return
    yield None


def key_in(line: Line) -> ProblemKey:
    """Return the problem that a line tells."""
    return ProblemKey(line.cluster, line.namespace, line.kind, line.owner, line.reason)


def is_ours(key: ProblemKey) -> bool:
    """Tell whether no event says it: it is about the link of a cluster."""
    return key.kind == CLUSTER
