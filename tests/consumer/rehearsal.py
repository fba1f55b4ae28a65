"""A desk at which things go wrong, and a ledger of what there was to tell at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tests.consumer.desk import UPLINK, Desk
from tests.consumer.messages import NO_STORMS, arrival, event, status
from tocsin_consumer.digest import Digest
from tocsin_consumer.dispatch import Told
from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.incident import Incident, Problem, ProblemKey
from tocsin_consumer.inhibit import InhibitSettings
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.notice import KIND as CLUSTER
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.records import Enrolment, IncidentChanges, Outcome
from tocsin_consumer.report import Line, Report
from tocsin_consumer.silence import Wish
from tocsin_consumer.store import Store
from tocsin_consumer.storm import StormRules

if TYPE_CHECKING:
    from tocsin_schemas.event import EventPayload

STEP = timedelta(seconds=5)
RETRY = timedelta(seconds=20)
Mode = Literal["up", "down", "failing", "refusing"]


class Subject(NamedTuple):
    """What Events are about."""

    cluster: str
    namespace: str | None
    kind: str
    name: str
    reason: str
    type: str = "Warning"
    node: str | None = None


class Beginning(NamedTuple):
    """A problem that was news, and has to be told from this revision of its incident on."""

    incident: int
    key: ProblemKey
    revision: int


@dataclass(frozen=True, slots=True)
class Telling:
    """A report that a receiver has got, or that is a dead letter since it refused it."""

    at: datetime
    receiver: str
    report: Report
    is_dead: bool

    def tells_of(self, beginning: Beginning) -> bool:
        return self.report.revision >= beginning.revision and any(
            key_of_line(line) == beginning.key for line in self.report.lines
        )


@dataclass(slots=True)
class Ledger:
    """What was committed, and what became of it."""

    #: Each incident as it is now.
    incidents: dict[int, Incident] = field(default_factory=dict)
    #: What has to be told, and when that came.
    beginnings: dict[Beginning, datetime] = field(default_factory=dict)
    #: Problems that were muted when they ended, without having been told.
    muted: set[Beginning] = field(default_factory=set)
    tellings: list[Telling] = field(default_factory=list)
    enrolled: list[Enrolment] = field(default_factory=list)

    def note(self, changes: IncidentChanges, now: datetime) -> None:
        for after in changes.incidents.values():
            before = self.incidents.get(after.id)
            for key, problem in after.problems.items():
                self._note(after, key, before.problems.get(key) if before else None, problem, now)
            self.incidents[after.id] = after
        self.enrolled += changes.enrolled

    def _note(
        self, incident: Incident, key: ProblemKey, before: Problem | None, after: Problem, now: datetime
    ) -> None:
        if after.goes_on and (before is None or before.revision != after.revision):
            self.beginnings[Beginning(incident.id, key, after.revision)] = now
        if not after.goes_on and after.muted_by is not None:
            self.muted |= {one for one in self.beginnings if (one.incident, one.key) == (incident.id, key)}

    def told(self, incident: int, receiver: str) -> list[Telling]:
        """Return what a receiver was told of an incident by itself, in order."""
        return [one for one in self.tellings if (one.report.incident, one.receiver) == (incident, receiver)]

    def digested(self, incident: int, receiver: str) -> list[Told]:
        """Return as what an incident was told to a receiver in digests."""
        return [one.told for one in self.enrolled if (one.incident, one.receiver) == (incident, receiver)]

    def pairs(self) -> list[tuple[Incident, str]]:
        """Return each incident with each of its receivers."""
        return [(one, receiver) for one in self.incidents.values() for receiver in one.receivers]


class FlakyStore(Store):
    """A store in memory whose commits can fail, and that notes in a ledger what they kept."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.ledger = Ledger()
        #: Where the next commit fails.
        self.fails: Literal["before", "after"] | None = None

    def record(self, *args: Any, incidents: IncidentChanges | None = None, now: datetime, **kwargs: Any) -> None:
        fails, self.fails = self.fails, None
        if fails == "before":
            raise StoreError("disk I/O error")
        super().record(*args, incidents=incidents, now=now, **kwargs)
        self.ledger.note(incidents or IncidentChanges(), now)
        if fails == "after":
            raise StoreError("disk I/O error")


class Drill(Desk):
    """A desk whose receivers go down and refuse, whose store fails, and whose process ends; see `Ledger`."""

    store: FlakyStore

    def __init__(
        self,
        route: Mapping[str, Any],
        *,
        rules: Sequence[InhibitSettings] = (),
        storm_rules: StormRules = NO_STORMS,
    ) -> None:
        self._rules = rules
        self._modes: dict[str, Mode] = {}
        #: Receivers to which everything could be told at once, always.
        self.disturbed: set[str] = set()
        #: Of each uid the state with the highest count that came.
        self.events: dict[str, EventPayload] = {}
        #: Digests with what stood in the store of their incidents when they were told.
        self.sums: list[tuple[Digest, tuple[int, int, int]]] = []
        super().__init__(route, storm_rules=storm_rules, store=FlakyStore())

    @property
    def ledger(self) -> Ledger:
        return self.store.ledger

    def see(self, subject: Subject, *, event_no: int, grown: int) -> None:
        """Let the state of an Event come whose count has grown by so much; or an old one, or a stale one."""
        uid = f"{'/'.join(filter(None, subject))} {event_no}"
        before = self.events.get(uid)
        count = max(1, grown + (before.count if before else 0))
        now = int(self.clock.now.timestamp())
        cluster, namespace, kind, name, reason, type_, node = subject
        said = event(
            cluster=cluster,
            ns=namespace,
            kind=kind,
            name=name,
            reason=reason,
            type=type_,
            node=node,
            uid=uid,
            count=count,
            first=now,
            last=now,
        )
        if before is None or count > before.count:
            self.events[uid] = said
        self._process(arrival(said, received_at=self.clock.now))

    def link(self, cluster: str, state: str) -> None:
        self._process(status(state, cluster=cluster, received_at=self.clock.now))

    def set_mode(self, receiver: str, mode: Mode) -> None:
        self._modes[receiver] = mode
        if mode != "up":
            self.disturbed.add(receiver)

    def silence(self, reason: str, length: timedelta) -> None:
        now = self.clock.now
        self.store.add_silence(Wish(MatchSettings(reason=reason), now, now + length, "ops", "I know"), now)
        self._renew()

    def expire_silences(self) -> None:
        for silence in self.store.silences(self.clock.now):
            self.store.expire_silence(silence.id, self.clock.now)
        self._renew()

    def fail_next_commit(self, fails: Literal["before", "after"]) -> None:
        self.store.fails = fails

    def restart(self) -> None:
        self.pipeline = self._started()
        self._decide()

    def pass_(self, length: timedelta, *, step: timedelta = STEP) -> list[Report]:
        before = len(self.told)
        end = self.clock.now + length
        while self.clock.now < end:
            self.clock.advance(step.total_seconds())
            self._decide()
            self._deliver()
        return [report for _, _, report in self.told[before:]]

    def settle(self) -> None:
        """Let all be well, for so long that everything is told that is to be told, and is over."""
        self._modes.clear()
        self.store.fails = None
        self.expire_silences()
        for cluster in CLUSTERS:
            self.link(cluster, "online")
        for subject in RECOVERIES:
            self.see(subject, event_no=99, grown=1)
        self.pass_(timedelta(minutes=2))
        self.pass_(timedelta(minutes=50), step=6 * STEP)

    def _process(self, *arrivals: Arrival) -> None:
        """Take in what came, and again where the store failed, as a feed does."""
        try:
            self.pipeline.process(arrivals)
        except StoreError:
            self.pipeline.process(arrivals)

    def _decide(self) -> None:
        try:
            self.pipeline.decide(UPLINK)
        except StoreError:
            self.pipeline.decide(UPLINK)

    def _renew(self) -> None:
        """Take over the silences, as if another process had changed them."""
        assert self._mutes is not None
        self._mutes.renew(self.store.silences(self.clock.now))
        self.pipeline.board.look_again()

    def _started(self) -> Pipeline:
        self._mutes = Mutes(self._rules)
        self._mutes.renew(self.store.silences(self.clock.now))
        return super()._started()

    def _deliver(self) -> None:
        for receiver in self.store.backlog():
            mode = self._modes.get(receiver, "up")
            while mode != "down" and (due := self.store.due(receiver, self.clock.now, limit=1)):
                self.store.settle([self._outcome(mode, Outcome(due[0], "delivered", self.clock.now))])

    def _outcome(self, mode: Mode, taken: Outcome) -> Outcome:
        if mode == "failing":
            retried_at = taken.at + RETRY
            return Outcome(taken.delivery, "pending", taken.at, "not now", due_at=retried_at)
        self._note_telling(taken, is_dead=mode == "refusing")
        return Outcome(taken.delivery, "dead", taken.at, "no such group") if mode == "refusing" else taken

    def _note_telling(self, taken: Outcome, *, is_dead: bool) -> None:
        content, receiver = taken.delivery.content, taken.delivery.receiver
        if isinstance(content, Report):
            self.ledger.tellings.append(Telling(taken.at, receiver, content, is_dead))
        elif isinstance(content, Digest):
            self.sums.append((content, self._sums(content)))
        if not is_dead:
            self._note(receiver, content)

    def _sums(self, digest: Digest) -> tuple[int, int, int]:
        """Return how many incidents, problems and occurrences a digest is about, by what was committed."""
        ids = {one.incident for one in self.ledger.enrolled if one.storm == digest.storm}
        found = [self.ledger.incidents[id_] for id_ in ids]
        return len(found), sum(len(one.problems) for one in found), sum(one.occurrences for one in found)


def key_of_line(line: Line) -> ProblemKey:
    return ProblemKey(line.cluster, line.namespace, line.kind, line.owner, line.reason)


def is_ours(problem: Problem) -> bool:
    return problem.key.kind == CLUSTER


CLUSTERS = ("edge-1", "edge-2")
PROBLEMS = tuple(
    Subject(cluster, namespace, "Pod", name, reason, node=node)
    for cluster in CLUSTERS
    for namespace in ("a", "b")
    for name, node in (("api-7c9f6d5b8-x2x7b", "pi-1"), ("api-7c9f6d5b8-x2x7c", None), ("web-0", "pi-1"))
    for reason in ("BackOff", "FailedMount")
) + tuple(
    Subject(cluster, None, "Node", name, "NodeNotReady", "Normal")
    for cluster in CLUSTERS
    for name in ("pi-1", "pi-2")
)
RECOVERIES = tuple(
    Subject(cluster, None, "Node", name, "NodeReady", "Normal")
    for cluster in CLUSTERS
    for name in ("pi-1", "pi-2")
)
STARTS = tuple(
    Subject(one.cluster, one.namespace, "Pod", one.name, "Started", "Normal")
    for one in PROBLEMS
    if one.reason == "FailedMount"
)
