"""Which problems there were, from when to when, as the events alone say it, without the code that is tested."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.consumer.ledger import Heard, Span
from tocsin_consumer.incident import End, ProblemKey, key_of
from tocsin_schemas.event import EventPayload

#: Reason of an event → reasons of the problems of the same object that it ends.
ENDS = {
    "NodeReady": ("NodeNotReady",),
    "Scheduled": ("FailedScheduling",),
    "Started": ("FailedScheduling", "FailedMount"),
}
#: What goes on until its end is said.
STANDING = frozenset({"NodeNotReady"})
#: By how much the consumer may be late: with a look, a commit that fails, a receiver that rests.
SLACK = timedelta(minutes=4)
#: How long nothing is quiet after the link of a cluster is back.
CATCH_UP = timedelta(minutes=5)


@dataclass
class Episode:
    """A problem from when it began to when it was over."""

    began_at: datetime
    heard_at: datetime
    objects: dict[str, bool] = field(default_factory=dict)
    end: End | None = None
    ended_at: datetime | None = None
    #: Whether it certainly began when it did: what was silent before may have gone on.
    is_certain: bool = True

    def finish(self, end: End, at: datetime) -> None:
        """Be over."""
        self.end, self.ended_at = end, at


class History:
    """Every problem, with what became of it up to the end.

    Args:
        heard: the events.
        quiet_after: of all routes.
        away: when the links of clusters were down, so that silence says nothing.
        now: the end.
    """

    def __init__(
        self, heard: Iterable[Heard], quiet_after: timedelta, away: Mapping[str, Sequence[Span]], now: datetime
    ) -> None:
        self._quiet_after = quiet_after
        self._away = away
        self.episodes: defaultdict[ProblemKey, list[Episode]] = defaultdict(list)
        for one in heard:
            self._hear(one.event, one.at)
        for key in self.episodes:
            if not self._elapse(key, now):
                self.of(key)[-1].finish(End.QUIET, now)

    def of(self, key: ProblemKey) -> list[Episode]:
        """Return the episodes of a problem."""
        return self.episodes.get(key, [])

    def ends(self, key: ProblemKey, at: datetime) -> Iterator[End | None]:
        """Yield in which ways the problem may have ended by then; None while it may go on."""
        episodes = [one for one in self.of(key) if one.began_at <= at]
        if not episodes or not episodes[-1].is_certain:
            yield from (None, *End)
            return
        end, ended_at = episodes[-1].end, episodes[-1].ended_at
        if ended_at is None or at < ended_at + (SLACK if end is End.QUIET else timedelta()):
            yield None
        if ended_at is not None and at >= ended_at:
            yield end

    def _hear(self, event: EventPayload, at: datetime) -> None:
        ended = ENDS.get(event.reason)
        if ended:
            self._recover(event, ended, at)
            return
        key = key_of(event)
        is_certain = self._elapse(key, at)
        episodes = self.episodes[key]
        if episodes and not is_certain:
            episodes[-1].finish(End.QUIET, episodes[-1].heard_at + self._quiet_after)
        if not episodes or episodes[-1].end:
            episodes.append(Episode(at, at, is_certain=is_certain))
        episode = episodes[-1]
        episode.heard_at = at
        episode.objects[event.name] = True

    def _recover(self, event: EventPayload, reasons: Sequence[str], at: datetime) -> None:
        for key, episodes in self.episodes.items():
            episode = episodes[-1]
            is_same = (key.cluster, key.namespace) == (event.cluster, event.ns or "") and key.reason in reasons
            if not is_same or not episode.objects.get(event.name):
                continue
            episode.is_certain &= self._elapse(key, at)
            if episode.end is None:
                episode.objects[event.name] = False
                if not any(episode.objects.values()):
                    episode.finish(End.RECOVERED, at)

    def _elapse(self, key: ProblemKey, now: datetime) -> bool:
        """Let what is silent be quiet; tell whether that is certain."""
        episodes = self.of(key)
        if not episodes or episodes[-1].end or key.reason in STANDING:
            return True
        episode = episodes[-1]
        quiet_at = episode.heard_at + self._quiet_after
        if now >= quiet_at and self._was_away(key.cluster, episode.heard_at, quiet_at + SLACK):
            episode.is_certain = False
            return False
        if now >= quiet_at + SLACK:
            episode.finish(End.QUIET, quiet_at)
            return True
        return now < quiet_at

    def _was_away(self, cluster: str, since: datetime, until: datetime) -> bool:
        """Tell whether silence may have said nothing at some time."""
        return any(
            left <= until and since <= back + CATCH_UP + SLACK for left, back in self._away.get(cluster, ())
        )
