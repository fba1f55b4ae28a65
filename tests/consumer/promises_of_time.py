"""All is told in its time and order, and nothing again too soon. Each yields what is wrong."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tests.consumer.episodes import SLACK
from tests.consumer.ledger import Beginning, Digested, Enrolled, Fate, Telling, is_ours, key_in, last_noted
from tests.consumer.outcome import LOOK, Outcome, Place
from tocsin_consumer.dispatch import Cause, Timing
from tocsin_consumer.incident import End, ProblemKey
from tocsin_consumer.report import Line
from tocsin_consumer.storm import INTERVAL

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_FAR_AWAY = datetime.max.replace(tzinfo=UTC)


def who_can_be_told_is_told_in_time(outcome: Outcome) -> Iterator[str]:
    """What nothing mutes, to those who were well, and receivers of the incident from its beginning."""
    told = outcome.log.told()
    for beginning, at in outcome.log.beginnings.items():
        if not outcome.muted(beginning.key):
            for receiver in set(outcome.log.openings[beginning.incident]) - outcome.unwell:
                tellings = told.get((beginning.incident, receiver), [])
                timing = outcome.ways[beginning.incident].timing
                if not _is_in_time(beginning, at, tellings, timing):
                    yield f"{receiver}: {beginning} of {at} is not told in time"


def _is_in_time(beginning: Beginning, at: datetime, tellings: list[Telling | Enrolled], timing: Timing) -> bool:
    last_at = max((one.at for one in tellings if one.at <= at), default=_LONG_AGO)
    wait = timing.group_wait if last_at == _LONG_AGO else min(timing.group_wait, timing.group_interval)
    # What comes when the interval is nearly over is waited for as well.
    limit = max(at, last_at + (timing.group_interval if last_at > _LONG_AGO else timedelta())) + wait + 2 * LOOK
    return any(at <= one.at <= limit for one in tellings if one.told.revision >= beginning.revision)


def every_problem_that_nothing_mutes_is_told_soon_after_it_began(outcome: Outcome) -> Iterator[str]:
    in_digests = INTERVAL if outcome.log.all(Digested) else timedelta()
    for key, event in outcome.events.items():
        for claim in outcome.layout.claims(event) if not outcome.muted(key) else ():
            wait = claim.way.timing.group_wait + claim.way.timing.group_interval + in_digests + 2 * LOOK
            for episode in outcome.history.of(key):
                for receiver in set(claim.receivers) - outcome.unwell if episode.is_certain else ():
                    told = (at for at, _ in outcome.log.ends_told(receiver, key, episode.began_at))
                    if next(told, _FAR_AWAY) > episode.began_at + wait:
                        yield f"{receiver}: {key} of {episode.began_at} is not told in time"


def what_goes_into_a_digest_is_told_in_time(outcome: Outcome) -> Iterator[str]:
    for one in outcome.log.entries:
        if isinstance(one, Enrolled) and one.receiver not in outcome.unwell:
            told = (digest for digest in outcome.log.all(Digested) if digest.digest.storm == one.storm)
            if not any(one.at <= digest.at <= one.at + INTERVAL + 2 * LOOK for digest in told):
                yield f"{one}: no digest comes in time"


def nothing_is_told_before_its_interval_is_over(outcome: Outcome) -> Iterator[str]:
    for tellings in outcome.log.told().values():
        for index, telling in enumerate(tellings):
            if isinstance(telling, Telling):
                timing = outcome.ways[telling.incident].timing
                if not any(_may_follow(telling, one, timing) for one in last_noted(tellings[:index])):
                    yield f"{telling}: it is too soon"


def _may_follow(telling: Telling, before: Telling | Enrolled | None, timing: Timing) -> bool:
    """Tell whether it is time, and whether it says why it is told."""
    cause = telling.report.cause
    if before is None:
        return cause not in (Cause.NEWS, Cause.REPEAT)
    interval = timing.group_interval
    if cause is Cause.REPEAT:
        interval = max(interval, timing.repeat_interval)
    return cause is not Cause.FIRST and telling.at - before.at >= interval


def no_incident_follows_another_of_its_group_too_soon_or_comes_after_it(outcome: Outcome) -> Iterator[str]:
    by_place: defaultdict[tuple[str, Place], list[Telling]] = defaultdict(list)
    for telling in outcome.log.all(Telling):
        by_place[telling.receiver, outcome.place(telling.report)].append(telling)
    for tellings in by_place.values():
        for before, after in pairwise(tellings):
            interval = outcome.ways[after.incident].timing.group_interval
            if before.fate is Fate.NOTED and after.at - before.at < interval:
                yield f"{after}: it is too soon after {before}"
            if after.incident < before.incident:
                yield f"{after}: it is told after {before}"


def within_repeat_interval_nothing_is_told_without_something_wanted_that_is_new(outcome: Outcome) -> Iterator[str]:
    for before, after in _soon_after(outcome):
        timing = outcome.ways[after.incident].timing
        known = {key for key, end in before.ends.items() if end is None} - _begun_anew(outcome, before, after)
        ends = {None, *_wanted(timing)}
        news = [line for line in after.report.lines if line.is_news]
        if not any(one.end in ends or key_in(one) not in known for one in news):
            yield f"{after}: nothing is new since {before}"


def _begun_anew(outcome: Outcome, before: Telling, after: Telling) -> set[ProblemKey]:
    return {
        one.key
        for one in outcome.log.beginnings
        if one.incident == after.incident and before.report.revision < one.revision <= after.report.revision
    }


def _wanted(timing: Timing) -> Iterator[End]:
    if timing.send_recovered:
        yield End.RECOVERED
    if timing.send_quiet:
        yield End.QUIET


def what_is_told_as_new_has_just_begun_or_ended_or_may_be_told_at_last(outcome: Outcome) -> Iterator[str]:
    for before, after in _soon_after(outcome):
        lines = after.report.lines
        if before.ends == after.ends and not any(
            _may_be_news(outcome, line, before.at, after.at) for line in lines
        ):
            yield f"{after}: nothing has happened since {before}"


def _may_be_news(outcome: Outcome, line: Line, since: datetime, until: datetime) -> bool:
    """Tell whether the problem began, ended or was no longer muted in that time, as the events say."""
    key = key_in(line)
    if is_ours(key):
        return line.is_news
    episodes = outcome.history.of(key)
    moments = [at for one in episodes for at in (one.began_at, one.ended_at) if at is not None]
    moments += [end for _, end in outcome.muted(key)]
    return any(since - SLACK <= at <= until for at in moments)


def _soon_after(outcome: Outcome) -> Iterator[tuple[Telling, Telling]]:
    """Yield what a receiver was told of an incident within repeat_interval of what it was told before."""
    for (incident, _), tellings in outcome.log.told().items():
        interval = outcome.ways[incident].timing.repeat_interval
        for before, after in pairwise(tellings):
            is_soon = before.fate is Fate.NOTED and after.at - before.at < interval
            if is_soon and isinstance(before, Telling) and isinstance(after, Telling):
                yield before, after
