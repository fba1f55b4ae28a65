"""What goes into the store and comes out of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from tocsin_consumer.digest import Digest
from tocsin_consumer.dispatch import Cause, Told
from tocsin_consumer.errors import PermanentError
from tocsin_consumer.incident import Incident, Problem, ProblemKey
from tocsin_consumer.notification import Notification
from tocsin_consumer.report import Report
from tocsin_schemas.event import EventPayload

#: Cluster and uid: what all states of an event have in common.
Key = tuple[str, str]
#: The key of a route and what events have in common: no two live incidents have the same.
Group = tuple[str, tuple[tuple[str, str], ...]]
#: Receiver and scope: no two storms that go on have the same.
Place = tuple[str, str]
#: A problem of an incident, unlike all others.
Standing = tuple[int, ProblemKey]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to keep, and whom to tell about it."""

    event: EventPayload
    payload: bytes
    received_at: datetime
    #: Those who are told of each event as it comes.
    receivers: tuple[str, ...]
    #: Whether anybody is told of it, in whatever way.
    is_wanted: bool = True


@dataclass(frozen=True, slots=True)
class DeadPayload:
    """A message that nobody understands."""

    topic: str
    payload: bytes
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """Tell a receiver about an incident."""

    incident: int
    receiver: str
    cause: Cause
    #: What it was told of it before.
    told: Told | None


@dataclass(frozen=True, slots=True)
class Storm:
    """Incidents of a scope that a receiver is told of together."""

    receiver: str
    scope: str
    since: datetime
    #: When something is to be decided about it next; None once it is over.
    due_at: datetime | None = None
    #: Whether a digest was called for since.
    is_told: bool = False
    ended_at: datetime | None = None

    @property
    def place(self) -> Place:
        """Receiver and scope."""
        return self.receiver, self.scope

    @property
    def id(self) -> str:
        """What tells it from every other."""
        return f"{self.receiver}/{self.scope}/{self.since.isoformat()}"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An incident that is part of a storm, and what the receiver will have been `told` of it by the digest."""

    storm: str
    receiver: str
    incident: int
    told: Told


@dataclass(frozen=True, slots=True)
class DigestOrder:
    """Tell a receiver about a storm, though that may be under way: there is something new."""

    storm: str
    receiver: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the store knows about the telling of some incidents."""

    #: Incident → receiver → what it was told last.
    told: Mapping[int, Mapping[str, Told]]
    #: Incident → the receivers for whom a notification is under way.
    pending: Mapping[int, Collection[str]]


@dataclass(frozen=True, slots=True)
class Tried:
    """A delivery of an incident, or of the digest of a storm that it is in, and what has become of it."""

    receiver: str
    #: Why the receiver was to be told; None of a digest, which has its storm instead.
    cause: Cause | None
    storm: str | None
    #: As the store has it: pending, delivered, merged into a digest, dead, or withdrawn as nothing is to be told.
    state: str
    attempts: int
    reason: str | None
    created_at: datetime
    due_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """A storm that an incident is part of."""

    storm: str
    receiver: str
    #: Whether a digest is still to be called for.
    is_due: bool
    #: The deliveries of its digests, oldest first.
    digests: tuple[Tried, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """An incident, and what the store knows about the telling of it."""

    incident: Incident
    #: Receiver → what it was told last.
    told: Mapping[str, Told]
    #: The receivers for whom a notification is under way.
    pending: Collection[str]
    #: Its deliveries, oldest first, and the storms that it is part of.
    tries: tuple[Tried, ...] = ()
    storms: tuple[Gathered, ...] = ()

    @property
    def history(self) -> list[Tried]:
        """Its deliveries and those of the digests that it is part of, oldest first."""
        digests = (one for storm in self.storms for one in storm.digests)
        return sorted((*self.tries, *digests), key=lambda one: one.created_at)

    def tells_of(self, problem: Problem) -> bool:
        """Tell whether any receiver counts as one that knows of a problem of the incident."""
        return any(one.tells_of(problem) for one in self.told.values())


@dataclass(slots=True)
class IncidentChanges:
    """What is new about incidents, to be kept as a whole."""

    incidents: dict[int, Incident] = field(default_factory=dict)
    #: The groups of those that were opened.
    opened: dict[Group, int] = field(default_factory=dict)
    #: Those incidents as they were before all this.
    before: dict[int, Incident] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    #: Those of which a receiver is not to be told any more, or not for now, though it was ordered.
    withdrawn: list[tuple[int, str]] = field(default_factory=list)
    storms: dict[Place, Storm] = field(default_factory=dict)
    #: Where something would have been told by itself, once for each.
    noted: list[Place] = field(default_factory=list)
    enrolled: list[Enrolment] = field(default_factory=list)
    digests: list[DigestOrder] = field(default_factory=list)
    #: Recoveries of what nobody knows.
    needless: int = 0

    def __bool__(self) -> bool:
        return bool(self.incidents or self.storms)

    def put(self, before: Incident, after: Incident) -> None:
        """Note that `after` has come of `before`."""
        self.before.setdefault(after.id, before)
        self.incidents[after.id] = after

    def problems(self, id_: int) -> Iterator[Problem]:
        """Yield the problems of an incident that have changed."""
        before, after = self.before[id_].problems, self.incidents[id_].problems
        return (problem for key, problem in after.items() if before.get(key) is not problem)

    def dropped(self, id_: int) -> Iterator[ProblemKey]:
        """Yield the problems of an incident that are no longer told apart."""
        before, after = self.before[id_].problems, self.incidents[id_].problems
        return (key for key in before if key not in after)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One state of an event as it stands in the store."""

    id: int
    payload: bytes
    received_at: datetime


#: What a delivery is about: an event, an incident or a storm.
Content = StoredEvent | Report | Digest


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event, or an incident or a storm as it is now, that a receiver has not been told about yet."""

    id: int
    receiver: str
    attempts: int
    created_at: datetime
    #: What it is about, in a few words for a log: the cluster and the event, or the incident.
    subject: str
    content: Content

    @property
    def notification(self) -> Notification:
        """What to tell.

        Raises:
            PermanentError: the payload that is stored was damaged, or is none that this version reads.
        """
        if isinstance(self.content, Report):
            return Notification(self.content.event, self.content.received_at, self.content)
        if isinstance(self.content, Digest):
            return Notification(self.content.event, self.content.at, self.content)
        try:
            return Notification(EventPayload.model_validate_json(self.content.payload), self.content.received_at)
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
