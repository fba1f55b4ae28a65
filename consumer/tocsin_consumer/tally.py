"""How much of a recording was told in how many messages, and what became of the rest. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tocsin_consumer.digest import Digest
from tocsin_consumer.incident import ProblemKey
from tocsin_consumer.notice import Reason
from tocsin_consumer.notification import Notification
from tocsin_consumer.records import Account
from tocsin_consumer.replay import Message, Outcome
from tocsin_consumer.report import Report
from tocsin_schemas.event import EventPayload

#: Why a message is sent that is not about an incident.
EVENT: Final = "event"
_DIGESTS: Final = {Reason.STORM: "storm", Reason.CALM: "calm", Reason.BACKLOG: "merged"}


class Fate(StrEnum):
    """What became of a problem: it stood in a message, was counted in a digest, is held, or is not due yet."""

    NAMED = "named"
    DIGESTED = "digested"
    HELD = "held"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class ProblemFate:
    """A problem of an incident that concerns somebody."""

    key: ProblemKey
    fate: Fate
    occurrences: int
    #: What holds it, or held it last.
    held_by: str | None


@dataclass(slots=True)
class Received:
    """What one receiver was told."""

    causes: Counter[str] = field(default_factory=Counter)
    #: Reason → messages that name it.
    reasons: Counter[str] = field(default_factory=Counter)
    #: Occurrences of what it was told of, by the end.
    occurrences: int = 0

    @property
    def messages(self) -> int:
        """How many messages it was sent."""
        return self.causes.total()


class Tally:
    """Counts messages as they come; `settle` then says how much they told of."""

    def __init__(self, receivers: Iterable[str]) -> None:
        self.received = {name: Received() for name in receivers}
        #: Reason → occurrences that came.
        self.heard: Counter[str] = Counter()
        self.problems: list[ProblemFate] = []
        self._named: set[tuple[int, ProblemKey]] = set()
        #: Receiver, cluster and uid → the highest count of an event that was told as it came.
        self._counts: dict[tuple[str, str, str], int] = {}

    def add(self, message: Message) -> None:
        """Count a message."""
        received = self.received[message.receiver]
        received.causes[cause_of(message.notification)] += 1
        event, report = message.notification.event, message.notification.report
        if isinstance(report, Report):
            keys = [
                ProblemKey(line.cluster, line.namespace, line.kind, line.owner, line.reason)
                for line in report.lines
            ]
            self._named.update((report.incident, key) for key in keys)
            received.reasons.update({key.reason for key in keys})
            return
        received.reasons[event.reason] += 1
        if report is None:
            self._counts[message.receiver, event.cluster, event.uid] = event.count

    def settle(self, outcome: Outcome, events: Iterable[EventPayload]) -> None:
        """Add up, once everything has been told; `events` are those that came."""
        highest: dict[tuple[str, str], EventPayload] = {}
        for event in events:
            known = highest.get((event.cluster, event.uid))
            if known is None or event.count > known.count:
                highest[event.cluster, event.uid] = event
        for event in highest.values():
            self.heard[event.reason] += event.count
        for (receiver, _, _), count in self._counts.items():
            self.received[receiver].occurrences += count
        for account in outcome.accounts:
            self._settle(account)

    def _settle(self, account: Account) -> None:
        """Count the occurrences of an incident, which are known to those who were told of it."""
        if not account.incident.receivers:
            return
        fates = list(self._fates(account))
        self.problems += fates
        told = sum(one.occurrences for one in fates if one.fate in (Fate.NAMED, Fate.DIGESTED))
        for receiver in account.told:
            self.received[receiver].occurrences += told

    def _fates(self, account: Account) -> Iterator[ProblemFate]:
        incident = account.incident
        for key, problem in incident.problems.items():
            if (incident.id, key) in self._named:
                fate = Fate.NAMED
            elif account.tells_of(problem):
                fate = Fate.DIGESTED
            else:
                fate = Fate.WAITING if problem.muted_by is None else Fate.HELD
            yield ProblemFate(key, fate, problem.occurrences, problem.muted_by)

    def held(self) -> dict[str, tuple[int, int]]:
        """Return what holds problems, or held them until they were over → how many, and their occurrences."""
        found: dict[str, tuple[int, int]] = {}
        for one in self.problems:
            if one.fate == Fate.HELD:
                problems, occurrences = found.get(str(one.held_by), (0, 0))
                found[str(one.held_by)] = problems + 1, occurrences + one.occurrences
        return found

    def count(self, fate: Fate) -> tuple[int, int]:
        """Return how many problems have had a fate, and their occurrences."""
        found = [one.occurrences for one in self.problems if one.fate == fate]
        return len(found), sum(found)


def cause_of(notification: Notification) -> str:
    """Return in a word why a message is sent."""
    match notification.report:
        case Report() as report:
            return report.cause.value
        case Digest() as digest:
            return _DIGESTS[Reason(digest.event.reason)]
    return EVENT
