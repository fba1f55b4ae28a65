"""What a consumer in trouble came to: all there is to judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from tests.consumer.episodes import ENDS, History
from tests.consumer.layouts import Layout, Way
from tests.consumer.ledger import Heard, Log, Span
from tests.consumer.messages import RULES
from tocsin_consumer.incident import Incident, ProblemKey, key_of
from tocsin_consumer.records import Storm
from tocsin_consumer.report import Report
from tocsin_schemas.event import EventPayload

#: A way and what the events of a group have in common.
Place = tuple[Way, tuple[tuple[str, str], ...]]
#: Between two looks of the consumer, or a little longer.
LOOK = timedelta(seconds=20)


@dataclass(frozen=True)
class Outcome:
    """All there is.

    Args:
        log: what happened.
        layout: where events belong.
        incidents: all that there were, as they are in the end.
        pending: how many notifications somebody still waits for.
        ended_at: when it was over; nothing has happened for long enough before that.
        known: the live incidents and storms that the process knew of when the trouble was over.
        stored: those that were in the store then.
        unwell: receivers that have not always taken what they were told.
    """

    log: Log
    layout: Layout
    incidents: Sequence[Incident]
    pending: int
    ended_at: datetime
    known: Sequence[Incident | Storm]
    stored: Sequence[Incident | Storm]
    unwell: frozenset[str]

    @cached_property
    def heard(self) -> list[Heard]:
        """The events that came."""
        return self.log.all(Heard)

    @cached_property
    def events(self) -> dict[ProblemKey, EventPayload]:
        """Of each problem that events speak of the last of them."""
        return {key_of(one.event): one.event for one in self.heard if one.event.reason not in ENDS}

    @cached_property
    def history(self) -> History:
        """Which problems there were."""
        return History(self.heard, self.layout.top.timing.quiet_after, self.log.away, self.ended_at)

    @cached_property
    def ways(self) -> dict[int, Way]:
        """The way that each incident belongs to."""
        return {one.id: self.layout.way_of(one) for one in self.incidents}

    def place(self, report: Report) -> Place:
        """Return what an incident has in common with those of its group before and after it."""
        return self.ways[report.incident], tuple(report.group.items())

    def muted(self, key: ProblemKey) -> list[Span]:
        """Return when a problem may have been silenced, or explained by its node or cluster that was away."""
        event = self.events.get(key)
        if event is None:
            return []
        silences = [
            (one.starts_at, one.ends_at) for one in self.log.silences.values() if one.match.reason == key.reason
        ]
        away = [(left, back + RULES.steady_after) for left, back in self.log.away.get(key.cluster, ())]
        node = ProblemKey(key.cluster, "", "Node", event.node or "", "NodeNotReady")
        nodes = self.history.of(node) if event.kind == "Pod" else []
        return [*silences, *away, *((one.began_at, one.ended_at or self.ended_at) for one in nodes)]
