"""What holds of all that receivers of incidents are told, whatever happened meanwhile. Pure.

Where it depends on the moment at which the consumer looks whether a problem is over, nothing is demanded.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from tests.consumer.drill import Fate, Heard, Log, Telling
from tests.consumer.episodes import ENDS, SLACK, Episode, History
from tocsin_consumer.dispatch import Cause, Timing
from tocsin_consumer.incident import End, Incident, ProblemKey, key_of
from tocsin_consumer.report import Line, Report
from tocsin_schemas.event import EventPayload


@dataclass(frozen=True)
class Way:
    """A node of the routing tree that takes an event: whom it tells, when, and what it puts together."""

    receivers: tuple[str, ...]
    timing: Timing
    group_by: tuple[str, ...]

    def group_of(self, event: EventPayload) -> frozenset[tuple[str, str]]:
        """Return what the events of one incident have in common."""
        values = {"cluster": event.cluster, "namespace": event.ns or "_cluster", "reason": event.reason}
        return frozenset((name, values[name]) for name in self.group_by)


#: Between two looks of the consumer, or a little longer.
LOOK = timedelta(seconds=20)

#: Returns the nodes that take an event.
Routing = Callable[[EventPayload], Sequence[Way]]


Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Outcome:
    """All there is to judge.

    Args:
        log: what happened.
        routing: where events belong; no two nodes group by the same fields.
        quiet_after: of all routes.
        inhibited: when what an event says was inhibited.
        incidents: all that there were, as they are in the end.
        pending: how many notifications somebody still waits for.
        ended_at: when it was over; nothing has happened for long enough before that.
        unwell: receivers that have not always taken what they were told.
    """

    log: Log
    routing: Routing
    quiet_after: timedelta
    inhibited: Callable[[History, EventPayload], Sequence[Span]]
    incidents: Sequence[Incident]
    pending: int
    ended_at: datetime
    unwell: frozenset[str]

    def violations(self) -> Iterator[str]:
        """Yield what does not hold."""
        heard = [entry for entry in self.log.entries if isinstance(entry, Heard)]
        history = History(heard, self.quiet_after, self.ended_at)
        yield from self._missing(heard, history)
        yield from self._uninvited()
        yield from self._not_added_up()
        yield from self._mixed_up()
        yield from self._wrong_ends(history)
        yield from self._left_over(history)
        for (incident, receiver), tellings in self._by_incident().items():
            timing = self._way(tellings[0].report).timing
            wrong = (*wrong_with(tellings, timing), *self._without_news(tellings, timing, history))
            yield from (f"incident {incident} at {receiver}: {text}" for text in wrong)

    def _missing(self, heard: Sequence[Heard], history: History) -> Iterator[str]:
        """Every problem is told to each of its receivers, and so is its end where that is wanted."""
        events = {key_of(one.event): one.event for one in heard if one.event.reason not in ENDS}
        for key, event in events.items():
            certain = [one for one in history.of(key) if one.is_certain]
            muted = self._muted(history, event)
            for receiver, timing in [(name, way.timing) for way in self.routing(event) for name in way.receivers]:
                for episode in certain:
                    lines = list(self._lines(receiver, key, episode.began_at))
                    if not muted and receiver not in self.unwell and not _in_time(episode, lines, timing):
                        yield f"{receiver}: {key}: it is not told in time"
                    if episode is history.of(key)[-1]:
                        yield from (
                            f"{receiver}: {key}: {text}" for text in self._lacks(episode, lines, muted, timing)
                        )

    def _lacks(
        self,
        episode: Episode,
        lines: Sequence[tuple[datetime, End | None]],
        muted: Sequence[Span],
        timing: Timing,
    ) -> Iterator[str]:
        until = episode.ended_at or self.ended_at
        muted_until = [end for _, end in muted if end > episode.began_at]
        outlives = not muted_until or max(muted_until) + timing.group_interval + SLACK < until
        if not lines and outlives:
            yield "it is not told"
        if any(at <= until for at, _ in lines) and self._is_end_missing(episode, lines, timing):
            yield f"that it is over is not told: {episode.end}"
        repeated_since = self.ended_at - timing.repeat_interval - SLACK
        if episode.end is None and outlives and lines and lines[-1][0] < repeated_since:
            yield "it goes on and is not told again"

    def _is_end_missing(
        self, episode: Episode, lines: Sequence[tuple[datetime, End | None]], timing: Timing
    ) -> bool:
        is_wanted = timing.send_recovered if episode.end is End.RECOVERED else timing.send_quiet
        if episode.ended_at is None or not is_wanted:
            return False
        return episode.end not in [end for at, end in lines if at >= episode.ended_at]

    def _muted(self, history: History, event: EventPayload) -> list[Span]:
        silences = [(one.starts_at, one.ends_at) for one in self.log.silences if one.match.reason == event.reason]
        return [*silences, *self.inhibited(history, event)]

    def _lines(self, receiver: str, key: ProblemKey, since: datetime) -> Iterator[tuple[datetime, End | None]]:
        for telling in self.log.told:
            if telling.receiver == receiver and telling.at >= since:
                yield from ((telling.at, line.end) for line in telling.report.lines if key_in(line) == key)

    def _uninvited(self) -> Iterator[str]:
        """Nobody is told what never came, or what does not concern him."""
        known: dict[ProblemKey, set[str]] = {}
        for entry in self.log.entries:
            if isinstance(entry, Heard):
                ways = self.routing(entry.event)
                known[key_of(entry.event)] = {name for way in ways for name in way.receivers}
                continue
            for line in entry.report.lines:
                if entry.receiver not in known.get(key_in(line), set()):
                    yield f"{entry.receiver} is told of {key_in(line)}"

    def _not_added_up(self) -> Iterator[str]:
        """What a notification counts is all that was heard of its group, but for what closed incidents had."""
        heard: defaultdict[object, int] = defaultdict(int)
        for entry in self.log.entries:
            if isinstance(entry, Heard):
                for way in self.routing(entry.event) if entry.event.reason not in ENDS else ():
                    heard[way.group_of(entry.event)] += entry.growth
                continue
            counted = entry.report.occurrences + self._before(entry.report)
            there_are = heard[frozenset(entry.report.group.items())]
            if counted != there_are:
                yield f"incident {entry.report.incident} counts {counted}, and there are {there_are}"
        if sum(one.occurrences for one in self.incidents) != sum(heard.values()):
            yield "the incidents do not count all that was heard"

    def _before(self, report: Report) -> int:
        group = tuple(report.group.items())
        return sum(one.occurrences for one in self.incidents if one.group == group and one.id < report.incident)

    def _mixed_up(self) -> Iterator[str]:
        """Of one group, no incident is told once a later one was."""
        latest: dict[object, int] = {}
        for telling in self.log.told:
            place = (telling.receiver, *telling.report.group.items())
            if telling.report.incident < latest.get(place, 0):
                yield f"incident {telling.report.incident} is told after {latest[place]}"
            latest[place] = max(latest.get(place, 0), telling.report.incident)

    def _wrong_ends(self, history: History) -> Iterator[str]:
        """What is told to be over is, and what is told to go on does."""
        for telling in self.log.told:
            for line in telling.report.lines:
                ends = set(history.ends(key_in(line), telling.at))
                if line.end not in ends:
                    yield f"{telling.at}: {key_in(line)} is told to be {line.end}, and may be {ends}"

    def _left_over(self, history: History) -> Iterator[str]:
        """In the end nobody waits for anything, and what is not closed is what goes on."""
        if self.pending:
            yield f"{self.pending} notifications are pending"
        going_on = {key for key, episodes in history.episodes.items() if episodes[-1].end is None}
        for one in self.incidents:
            if one.closed_at is None and not going_on & one.problems.keys():
                yield f"incident {one.id} is not closed"
            if one.closed_at is not None and one.closed_at == self.ended_at:
                yield f"incident {one.id} was closed late"

    def _without_news(self, tellings: Sequence[Telling], timing: Timing, history: History) -> Iterator[str]:
        """Within repeat_interval of the last time, nothing is told that is not new."""
        for before, telling in pairwise(tellings):
            if before.fate is not Fate.NOTED or telling.at - before.at >= timing.repeat_interval:
                continue
            if _ends(before.report) == _ends(telling.report) and not any(
                self._may_be_news(line, before.at, telling.at, history) for line in telling.report.lines
            ):
                yield f"{telling.at}: nothing is new since {before.at}"

    def _may_be_news(self, line: Line, since: datetime, until: datetime, history: History) -> bool:
        """Tell whether the problem began, ended or was no longer muted in that time, as the consumer saw it."""
        moments = [
            at
            for episode in history.of(key_in(line))
            for at in (episode.began_at, episode.ended_at)
            if at is not None
        ]
        moments += [end for _, end in self._muted(history, line.event)]
        return any(since - SLACK <= at <= until for at in moments)

    def _way(self, report: Report) -> Way:
        """Return the node that an incident belongs to."""
        ways = self.routing(report.lines[0].event)
        return next(way for way in ways if set(way.group_by) == set(report.group))

    def _by_incident(self) -> Mapping[tuple[int, str], list[Telling]]:
        found: defaultdict[tuple[int, str], list[Telling]] = defaultdict(list)
        for telling in self.log.told:
            found[telling.report.incident, telling.receiver].append(telling)
        return found


def wrong_with(tellings: Sequence[Telling], timing: Timing) -> Iterator[str]:
    """Yield what is wrong with the notifications of one incident to one receiver, held against those before."""
    for index, telling in enumerate(tellings):
        report, last = telling.report, tellings[index - 1] if index else None
        if (
            report.muted == 0
            and sum(line.occurrences for line in report.lines) + report.beyond != report.occurrences
        ):
            yield f"{telling.at}: its lines do not add up to {report.occurrences}"
        if last and (report.occurrences, report.revision) < (last.report.occurrences, last.report.revision):
            yield f"{telling.at}: counts fall"
        noted = list(_last_noted(tellings[:index]))
        if report.occurrences - report.since_told not in [one.report.occurrences if one else 0 for one in noted]:
            yield f"{telling.at}: {report.since_told} of {report.occurrences} are said to be new"
        if not any(_may_follow(telling, one, timing) for one in noted):
            yield f"{telling.at}: too soon after {last and last.at}, because of {report.cause}"


def _last_noted(before: Sequence[Telling]) -> Iterator[Telling | None]:
    """Yield what may have been noted last: the last, and while that is in doubt, the one before it."""
    for telling in reversed(before):
        yield telling
        if telling.fate is not Fate.DOUBTFUL:
            return
    yield None


def _may_follow(telling: Telling, before: Telling | None, timing: Timing) -> bool:
    """Tell whether it is time, and whether it says why it is told."""
    cause = telling.report.cause
    if before is None:
        return cause not in (Cause.NEWS, Cause.REPEAT)
    interval = timing.group_interval
    if cause is Cause.REPEAT:
        interval = max(interval, timing.repeat_interval)
    return cause is not Cause.FIRST and telling.at - before.at >= interval


def _in_time(episode: Episode, lines: Sequence[tuple[datetime, End | None]], timing: Timing) -> bool:
    """Tell whether it was told as soon as its route permits, but for two looks."""
    return bool(lines) and lines[0][0] <= episode.began_at + timing.group_wait + timing.group_interval + 2 * LOOK


def key_in(line: Line) -> ProblemKey:
    """Return the problem that a line tells."""
    return ProblemKey(line.cluster, line.namespace, line.kind, line.owner, line.reason)


def _ends(report: Report) -> dict[ProblemKey, End | None]:
    return {key_in(line): line.end for line in report.lines}
