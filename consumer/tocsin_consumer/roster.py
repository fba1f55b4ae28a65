"""All clusters that are known, and what is due to be decided about them.

Changes are computed first and taken over when the store has kept them, so that nothing is told twice or
forgotten, whenever the process ends.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from tocsin_consumer import losses, presence
from tocsin_consumer.decode import Forgotten, Said
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.intake import Uplink
from tocsin_consumer.losses import Loss
from tocsin_consumer.notice import Notice
from tocsin_consumer.presence import Link, Presence, Rules, Told
from tocsin_consumer.sequence import CLUSTER_LIMIT
from tocsin_consumer.timers import Timers, alone_with_its_failure
from tocsin_schemas.event import EventPayload
from tocsin_schemas.status import StatusPayload

_log = logging.getLogger(__name__)

#: After we are connected ourselves, nothing is decided before producers had this time to connect again as well:
#: their longest pause between two tries is 60 s. It is no longer than the grace that is configured.
SETTLE: Final = timedelta(minutes=3)
#: Decisions that share a commit.
DECISION_LIMIT: Final = 500

_Kept = TypeVar("_Kept")
_Waiting = Presence | Loss


@dataclass(slots=True)
class Changes:
    """What is new about clusters, to be kept as a whole; what is None is to be forgotten."""

    presences: dict[str, Presence | None] = field(default_factory=dict)
    losses: dict[str, Loss | None] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    #: The connection over which we listen from now on.
    uplink: Uplink | None = None

    def __bool__(self) -> bool:
        return bool(self.presences or self.losses or self.notices or self.uplink)


class Roster:
    """Knows the state of every cluster, and when it has to be looked at.

    Waits are kept in monotonic seconds: a clock that is set neither hastens nor delays them.

    Args:
        rules: how long a state has to last.
        presences: what was known at the last end.
        untold: losses that were known then.
        now: the time of day.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        rules: Rules,
        presences: Iterable[Presence] = (),
        untold: Iterable[Loss] = (),
        *,
        now: datetime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._monotonic = monotonic
        self._presences: dict[str, Presence] = {}
        self._losses: dict[str, Loss] = {}
        self._configured: frozenset[str] = frozenset()
        self._limit_is_told = False
        self._presence_timers = Timers()
        self._loss_timers = Timers()
        self._uplink: Uplink | None = None
        #: When we are known to have listened last, in monotonic seconds.
        self._listened_at = monotonic()
        self._longest_wait = max(rules.longest, losses.QUIET)
        self._settle_seconds = min(SETTLE, rules.offline_after).total_seconds()
        known = Changes({one.cluster: one for one in presences}, {loss.cluster: loss for loss in untold})
        self.keep(known, now)
        listened_at = max((presence.listened_at(one, rules) for one in self._presences.values()), default=now)
        self._listened_at -= max(0.0, (now - listened_at).total_seconds())

    def expect(self, clusters: Collection[str], now: datetime) -> Changes:
        """Return what changes when `clusters` are those that are configured, which are watched from now on."""
        self._configured = frozenset(clusters)
        news = {
            name: presence.expected(name, now, self._rules) for name in clusters if name not in self._presences
        }
        unexpected = {
            name: None
            for name, known in self._presences.items()
            if known.link == Link.UNSEEN and name not in clusters
        }
        return Changes(presences={**news, **unexpected})

    def hear(self, said: Iterable[tuple[Arrival, Said]], missing: Mapping[str, int], *, now: datetime) -> Changes:
        """Return what changes by what has come, and by how many events of which cluster have not."""
        changes = Changes()
        for arrival, one in said:
            self._hear(changes, one, retained=arrival.message.retained, now=arrival.received_at)
        for cluster, count in missing.items():
            self._lose(changes, cluster, at_broker=count, now=now)
        return changes

    def elapse(self, uplink: Uplink | None, now: datetime) -> Changes:
        """Return what changes by time alone, as far as `uplink` lets us know."""
        changes = Changes()
        seconds = self._monotonic()
        for cluster in self._loss_timers.over(seconds, limit=DECISION_LIMIT):
            with alone_with_its_failure(f"cluster {cluster}", self._loss_timers, cluster):
                changes.losses[cluster], notice = losses.wait_over(self._losses[cluster], now)
                changes.notices += [notice] if notice else []
        if uplink is not None:
            self._listen(changes, uplink, seconds, now=now)
            if seconds - uplink.since >= self._settle_seconds:  # by now all could be said
                self._decide(changes, seconds, now=now)
        return changes

    def keep(self, changes: Changes, now: datetime) -> None:
        """Take over what the store has kept."""
        self._uplink = changes.uplink or self._uplink
        for cluster, state in changes.presences.items():
            before = self._presences.get(cluster)
            self._arm(self._presence_timers, cluster, before=before, after=state, now=now)
            _put(self._presences, cluster, state)
        for cluster, loss in changes.losses.items():
            self._arm(self._loss_timers, cluster, before=self._losses.get(cluster), after=loss, now=now)
            _put(self._losses, cluster, loss)

    def heard_since(self, cluster: str, now: datetime) -> datetime | None:
        """Return since when we would hear of `cluster` what there is to hear; None if we do not."""
        known = self._presences.get(cluster)
        if self._uplink is None or (known is not None and known.link != Link.ONLINE):
            return None
        connected_at = now - timedelta(seconds=self._monotonic() - self._uplink.since)
        if known is None or known.since > now:  # the clock was set back since
            return connected_at
        return max(known.since, connected_at)

    def states(self) -> dict[str, int]:
        """Return how many clusters are in which state."""
        counts = dict.fromkeys((*Link, Told.UNSTABLE), 0)
        for known in list(self._presences.values()):
            counts[Told.UNSTABLE if known.told == Told.UNSTABLE else known.link] += 1
        return {state.value: count for state, count in counts.items()}

    def _hear(self, changes: Changes, said: Said, *, retained: bool, now: datetime) -> None:
        before = _latest(changes.presences, self._presences, said.cluster)
        if before is None and len(self._presences) + len(changes.presences) >= CLUSTER_LIMIT:
            self._tell_limit(said.cluster)
            return
        after: Presence | None = None
        match said:
            case EventPayload():
                after = presence.on_event(before, said.cluster, said.boot, now=now, rules=self._rules)
            case StatusPayload():
                after, lost = presence.on_status(before, said, retained=retained, now=now, rules=self._rules)
                if lost:
                    self._lose(changes, said.cluster, in_outbox=lost, now=now)
                notice = presence.hold_begun(before, after, now)
                changes.notices += [notice] if notice else []
            case Forgotten():
                changes.losses[said.cluster] = None
                after = self._forget(before, said.cluster, now)
        if after != before:  # what a broker has retained of ten thousand clusters comes at every start
            changes.presences[said.cluster] = after

    def _tell_limit(self, cluster: str) -> None:
        if not self._limit_is_told:
            _log.warning("cluster %s and others are not watched: %d clusters are known", cluster, CLUSTER_LIMIT)
        self._limit_is_told = True

    def _forget(self, before: Presence | None, cluster: str, now: datetime) -> Presence | None:
        """Return the state of a cluster whose status was cleared; one that is configured is waited for anew."""
        if cluster not in self._configured:
            return None
        if before is not None and before.link == Link.UNSEEN:
            return before
        _log.info("cluster %s: its status was cleared; presence.clusters names it, so it is waited for", cluster)
        return presence.expected(cluster, now, self._rules)

    def _lose(self, changes: Changes, cluster: str, *, now: datetime, **counts: int) -> None:
        before = _latest(changes.losses, self._losses, cluster)
        changes.losses[cluster] = losses.lose(before, cluster, now=now, **counts)

    def _listen(self, changes: Changes, uplink: Uplink, seconds: float, *, now: datetime) -> None:
        """Note that we listen; silence counts from a new connection if the broker may not have kept all for us."""
        if uplink == self._uplink:
            self._listened_at = seconds
            return
        changes.uplink = uplink
        break_seconds = uplink.since - self._listened_at
        if uplink.resumed and break_seconds <= self._rules.longest_break.total_seconds():
            return
        since = now - timedelta(seconds=seconds - uplink.since)
        for cluster, known in self._presences.items():
            anew = presence.listened_anew(known, since, self._rules)
            if anew is not known:
                changes.presences[cluster] = anew

    def _decide(self, changes: Changes, seconds: float, *, now: datetime) -> None:
        """Decide about the clusters whose wait is over, unless it has just been set anew."""
        for cluster in self._presence_timers.over(seconds, limit=DECISION_LIMIT):
            if cluster in changes.presences:
                continue
            with alone_with_its_failure(f"cluster {cluster}", self._presence_timers, cluster):
                before = self._presences[cluster]
                changes.presences[cluster], notice = presence.wait_over(before, now, self._rules)
                changes.notices += [notice] if notice else []

    def _arm(
        self, timers: Timers, cluster: str, *, before: _Waiting | None, after: _Waiting | None, now: datetime
    ) -> None:
        """Let the wait of `after` run from now; a time out of reach comes from a clock that was set back since."""
        if after is None or after.due_at is None:
            timers.cancel(cluster)
        elif before is None or before.due_at != after.due_at:
            wait = min(max(after.due_at - now, timedelta()), self._longest_wait)
            timers.set(cluster, self._monotonic() + wait.total_seconds())


def _latest(changed: Mapping[str, _Kept | None], kept: Mapping[str, _Kept], cluster: str) -> _Kept | None:
    return changed[cluster] if cluster in changed else kept.get(cluster)


def _put(kept: dict[str, _Kept], cluster: str, state: _Kept | None) -> None:
    if state is None:
        kept.pop(cluster, None)
    else:
        kept[cluster] = state
