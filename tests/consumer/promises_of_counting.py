"""Counts add up, whatever comes twice, fails or is merged. Each yields what is wrong."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from tests.consumer.episodes import ENDS
from tests.consumer.ledger import Digested, Enrolled, Fate, Heard, Telling, is_ours, key_in, last_noted
from tests.consumer.outcome import Outcome, Place
from tocsin_consumer.incident import Incident
from tocsin_consumer.report import Report


def what_is_told_counts_all_that_was_heard_of_its_group(outcome: Outcome) -> Iterator[str]:
    """But for what closed incidents had, and what is muted."""
    heard = Counter[Place]()
    for entry in outcome.log.entries:
        if isinstance(entry, Heard):
            heard.update(_places(outcome, entry))
        elif isinstance(entry, Telling):
            said = sum(one.occurrences for one in entry.report.lines if not is_ours(key_in(one)))
            there_are = heard[outcome.place(entry.report)] - _before(outcome, entry.report)
            if said > there_are or (said < there_are and not entry.report.muted):
                yield f"incident {entry.incident} counts {said}, and there are {there_are}"


def every_event_is_counted_once_in_an_incident_of_each_way_that_takes_it(outcome: Outcome) -> Iterator[str]:
    heard = Counter[Place]()
    for one in outcome.heard:
        heard.update(_places(outcome, one))
    kept = Counter[Place]()
    for incident in outcome.incidents:
        kept[outcome.ways[incident.id], incident.group] += _of_events(incident)
        if incident.occurrences != sum(one.occurrences for one in incident.problems.values()) + incident.beyond:
            yield f"incident {incident.id} does not count what its problems do"
    if +heard != +kept:
        yield f"the incidents do not count what was heard: {heard - kept} {kept - heard}"


def the_counts_of_a_notification_add_up_and_say_what_is_new(outcome: Outcome) -> Iterator[str]:
    for tellings in outcome.log.told().values():
        for index, telling in enumerate(tellings):
            if isinstance(telling, Telling):
                report = telling.report
                lines = sum(one.occurrences for one in report.lines) + report.beyond
                if lines > report.occurrences or (lines < report.occurrences and not report.muted):
                    yield f"{telling}: its lines do not add up to {report.occurrences}"
                noted = {one.occurrences if one else 0 for one in last_noted(tellings[:index])}
                if report.occurrences - report.since_told not in noted:
                    yield f"{telling}: {report.since_told} of {report.occurrences} are said to be new"


def counts_never_fall(outcome: Outcome) -> Iterator[str]:
    for tellings in outcome.log.told().values():
        for before, after in pairwise(one for one in tellings if isinstance(one, Telling)):
            if after.report.revision < before.report.revision:
                yield f"{after}: it is older than what was told before"
            counts = {key_in(line): line.occurrences for line in after.report.lines}
            fallen = [
                line
                for line in before.report.lines
                if counts.get(key_in(line), line.occurrences) < line.occurrences
            ]
            if fallen or after.occurrences < before.occurrences:
                yield f"{after}: counts fall"


def all_that_is_told_is_said_to_be_new_once(outcome: Outcome) -> Iterator[str]:
    for tellings in outcome.log.told().values():
        reports = [one.report for one in tellings if isinstance(one, Telling)]
        are_sure = all(one.fate is Fate.NOTED for one in tellings) and len(reports) == len(tellings)
        if are_sure and sum(one.since_told for one in reports) != reports[-1].occurrences:
            yield f"{tellings[-1]}: not all was said to be new once"


def every_storm_ends_with_a_digest(outcome: Outcome) -> Iterator[str]:
    enrolled = {one.storm for one in outcome.log.entries if isinstance(one, Enrolled)}
    last = {one.digest.storm: one.digest for one in outcome.log.all(Digested)}
    if last.keys() != enrolled:
        yield f"digests are of {last.keys()}, and storms were {enrolled}"
    yield from (f"{storm} does not end" for storm, digest in last.items() if digest.ended_at is None)


def the_numbers_of_a_digest_are_right(outcome: Outcome) -> Iterator[str]:
    for told in outcome.log.all(Digested):
        digest, incidents = told.digest, told.incidents
        problems = [one for incident in incidents for one in incident.problems.values()]
        going_on = sum(any(one.goes_on for one in incident.problems.values()) for incident in incidents)
        occurrences = sum(one.occurrences for one in problems)
        expected = len(incidents), going_on, len(problems), occurrences
        if (digest.incidents, digest.going_on, digest.problems, digest.occurrences) != expected:
            yield f"{told}: {expected}"
        named = [[problem.key for problem in one.unmuted()] for one in incidents]
        reasons = Counter(reason for keys in named for reason in {key.reason for key in keys})
        clusters = Counter(cluster for keys in named for cluster in {key.cluster for key in keys})
        for top, there_are in ((digest.reasons, reasons), (digest.clusters, clusters)):
            counts = sorted(there_are.values(), reverse=True)[: len(top.shares)]
            is_right = all(there_are[share.name] == share.incidents for share in top.shares)
            if not is_right or counts != [share.incidents for share in top.shares]:
                yield f"{told}: there are {there_are}"
            if len(top.shares) + top.others != len(there_are):
                yield f"{told}: there are {len(there_are)}"


def what_the_process_knows_is_what_another_would_find_in_the_store(outcome: Outcome) -> Iterator[str]:
    if {one.id: one for one in outcome.known} != {one.id: one for one in outcome.stored}:
        yield f"it knows {outcome.known}, and {outcome.stored} is stored"


def _places(outcome: Outcome, heard: Heard) -> dict[Place, int]:
    """Return where an event is counted, and how often."""
    event = heard.event
    if event.reason in ENDS:
        return {}
    return {
        (claim.way, claim.way.group_of(event)): heard.growth
        for claim in outcome.layout.claims(event)
        if claim.receivers
    }


def _before(outcome: Outcome, report: Report) -> int:
    """Return what the incidents of a group have counted that are closed."""
    place = outcome.place(report)
    return sum(
        _of_events(one)
        for one in outcome.incidents
        if one.id < report.incident and (outcome.ways[one.id], one.group) == place
    )


def _of_events(incident: Incident) -> int:
    return sum(one.occurrences for one in incident.problems.values() if not is_ours(one.key))
