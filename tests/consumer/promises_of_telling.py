"""Nothing is lost: all that there is to tell is told, and nothing else. Each yields what is wrong."""

from collections.abc import Iterator
from datetime import datetime

from tests.consumer.episodes import SLACK, Episode
from tests.consumer.ledger import Digested, Heard, Telling, is_ours
from tests.consumer.outcome import LOOK, Outcome
from tocsin_consumer.dispatch import Cause, Timing, is_wanted, tellable
from tocsin_consumer.incident import End, Incident, Problem, ProblemKey, State, key_of

#: When something was told, and how it had ended.
Said = tuple[datetime, End | None]
Case = tuple[str, ProblemKey, Episode, Timing]


def every_problem_is_told_unless_it_is_muted_to_its_end(outcome: Outcome) -> Iterator[str]:
    for receiver, key, episode, timing in _last_episodes(outcome):
        if _outlives(outcome, key, episode, timing) and not _told(outcome, receiver, key, episode):
            yield f"{receiver}: {key}: it is not told"


def every_end_of_what_was_told_is_told_where_that_is_wanted(outcome: Outcome) -> Iterator[str]:
    for receiver, key, episode, timing in _last_episodes(outcome):
        ended_at, told = episode.ended_at, _told(outcome, receiver, key, episode)
        is_end_wanted = timing.send_recovered if episode.end is End.RECOVERED else timing.send_quiet
        if ended_at is None or not is_end_wanted:
            continue
        knows = any(at <= ended_at and end is None for at, end in told)
        if knows and episode.end not in [end for at, end in told if at >= ended_at]:
            yield f"{receiver}: {key}: that it is over is not told: {episode.end}"


def what_goes_on_is_told_again(outcome: Outcome) -> Iterator[str]:
    for receiver, key, episode, timing in _last_episodes(outcome):
        told = _told(outcome, receiver, key, episode)
        if episode.end is None and told and _outlives(outcome, key, episode, timing):
            interval = max(timing.repeat_interval, timing.group_interval)
            if told[-1][0] < outcome.ended_at - interval - SLACK:
                yield f"{receiver}: {key}: it goes on and is not told again"


def what_the_consumer_took_for_news_is_told_or_muted_to_its_end(outcome: Outcome) -> Iterator[str]:
    told = outcome.log.told()
    for beginning in outcome.log.beginnings.keys() - outcome.log.muted:
        for receiver in outcome.log.incidents[beginning.incident].receivers:
            if not any(
                one.told.revision >= beginning.revision
                and (not isinstance(one, Telling) or beginning.key in one.ends)
                for one in told.get((beginning.incident, receiver), ())
            ):
                yield f"{receiver}: {beginning} is not told"


def the_last_that_is_told_of_a_problem_is_how_it_ended_where_that_is_wanted(outcome: Outcome) -> Iterator[str]:
    told = outcome.log.told()
    for incident in outcome.incidents:
        for receiver in incident.receivers:
            last = next(reversed(told.get((incident.id, receiver), [])), None)
            if isinstance(last, Telling):
                for problem in _wanted(incident, last, outcome.ways[incident.id].timing):
                    if last.ends.get(problem.key, problem) is not problem.end:
                        yield f"{receiver}: incident {incident.id}: {problem.key} is {problem.end}"


def _wanted(incident: Incident, last: Telling, timing: Timing) -> Iterator[Problem]:
    return (problem for problem in tellable(incident, last.told) if is_wanted(problem, last.told, timing))


def nobody_is_told_what_never_came_or_does_not_concern_him(outcome: Outcome) -> Iterator[str]:
    concerned: dict[ProblemKey, set[str]] = {}
    for entry in outcome.log.entries:
        if isinstance(entry, Heard):
            claims = outcome.layout.claims(entry.event)
            concerned[key_of(entry.event)] = {name for claim in claims for name in claim.receivers}
        elif isinstance(entry, Telling | Digested):
            for key in entry.keys:
                if not is_ours(key) and entry.receiver not in concerned.get(key, ()):
                    yield f"{entry.receiver} is told of {key}"


def whoever_a_route_tells_has_been_a_receiver_of_the_incident(outcome: Outcome) -> Iterator[str]:
    have = {
        (outcome.ways[one.id], key, receiver)
        for one in outcome.incidents
        for key in one.problems
        for receiver in outcome.log.receivers[one.id]
    }
    for key, event in outcome.events.items():
        for claim in outcome.layout.claims(event):
            if missing := {name for name in claim.receivers if (claim.way, key, name) not in have}:
                yield f"{key} is in no incident of {missing}"


def what_is_told_to_be_over_is_and_what_is_told_to_go_on_does(outcome: Outcome) -> Iterator[str]:
    for telling in outcome.log.all(Telling):
        for key, end in telling.ends.items():
            ends = set(outcome.history.ends(key, telling.at))
            if not is_ours(key) and end not in ends:
                yield f"{telling.at}: {key} is told to be {end}, and may be {ends}"


def the_reason_for_a_notification_is_what_it_tells(outcome: Outcome) -> Iterator[str]:
    causes = {State.RECOVERED: {Cause.RECOVERED}, State.QUIET: {Cause.QUIET}}
    for telling in outcome.log.all(Telling):
        report = telling.report
        if report.state is State.OPEN:
            expected = {Cause.NEWS, Cause.REPEAT} if report.told_at else {Cause.FIRST}
        else:
            expected = causes[report.state]
        if report.cause not in expected:
            yield f"{telling}: it is {report.state}"
        if report.cause is Cause.REPEAT and any(line.is_news for line in report.lines if line.end is None):
            yield f"{telling}: it is no mere repeat"


def a_recovery_tells_what_has_occurred_and_from_when_to_when(outcome: Outcome) -> Iterator[str]:
    for telling in outcome.log.all(Telling):
        over = [line for line in telling.report.lines if line.end is End.RECOVERED]
        if not all(line.occurrences >= 1 and line.began_at <= line.last_at for line in over):
            yield f"{telling}: it recovers from nothing"
        if telling.report.state is State.RECOVERED and not over and not telling.report.muted:
            yield f"{telling}: nothing is recovered"


def in_the_end_nobody_waits_and_what_is_not_closed_goes_on(outcome: Outcome) -> Iterator[str]:
    if outcome.pending:
        yield f"{outcome.pending} notifications are pending"
    going_on = {key for key, episodes in outcome.history.episodes.items() if episodes[-1].end is None}
    for one in outcome.incidents:
        if one.closed_at is None and not going_on & one.problems.keys():
            yield f"incident {one.id} is not closed"
        if one.closed_at is not None and one.closed_at == outcome.ended_at:
            yield f"incident {one.id} was closed late"


def _last_episodes(outcome: Outcome) -> Iterator[Case]:
    """Yield how each problem that is certain went at last, with each receiver that it is for."""
    for key, event in outcome.events.items():
        episode = outcome.history.of(key)[-1]
        if episode.is_certain:
            for claim in outcome.layout.claims(event):
                yield from ((receiver, key, episode, claim.way.timing) for receiver in claim.receivers)


def _told(outcome: Outcome, receiver: str, key: ProblemKey, episode: Episode) -> list[Said]:
    """Return what a receiver was told of a problem since it began."""
    return list(outcome.log.ends_told(receiver, key, episode.began_at))


def _outlives(outcome: Outcome, key: ProblemKey, episode: Episode, timing: Timing) -> bool:
    """Tell whether it lasted for long enough after nothing muted it any more, and that had been seen."""
    muted_until = [end for _, end in outcome.muted(key) if end + LOOK > episode.began_at]
    until = episode.ended_at or outcome.ended_at
    return not muted_until or max(muted_until) + timing.group_interval + SLACK < until
