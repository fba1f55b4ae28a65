"""What a receiver is told of an incident: pure."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.consumer.messages import NOW, event
from tocsin_consumer.dispatch import Cause, Told
from tocsin_consumer.incident import COUNT_LIMIT, End, Incident, Problem, ended, heard, muted, quiet
from tocsin_consumer.recovery import Ended
from tocsin_consumer.report import Report, alone, report, severity_of
from tocsin_consumer.severity import Severity

MINUTE = timedelta(minutes=1)
CRITICAL: dict[str, Any] = {"reason": "NodeNotReady", "type": "Normal", "kind": "Node", "ns": None}


def incident(*saids: dict[str, Any]) -> Incident:
    """Return one in which these problems go on, each of an owner that is called after its `name`."""
    after = Incident(1, "", (), NOW, ("ops",))
    for said in saids:
        one = event(**({"kind": "Deployment"} | said))
        after = heard(after, one, one.count, wait=timedelta(), now=NOW)
    return after


def told_of(one: Incident, *names: str, occurrences: int = 1) -> Told:
    """Return what a receiver was told by whom the incident was told when there were these problems in it."""
    said = {key: True for key in one.problems if key.owner in names}
    return Told(NOW, len(names), occurrences, said)


def over(before: Incident, name: str) -> Incident:
    """Return the incident after one of its problems is over."""
    return quiet(before, lambda one: NOW if one.key.owner == name else None, wait=timedelta(), now=NOW)


def silenced(before: Incident, *names: str) -> Incident:
    def muted_by(problem: Problem) -> str | None:
        return "silence" if problem.key.owner in names else None

    return muted(before, muted_by, now=NOW)


def owners(told: Report) -> list[str]:
    return [line.owner for line in told.lines]


def test_what_goes_on_comes_before_what_is_over_and_news_before_what_is_known() -> None:
    one = over(incident({"name": "old"}, {"name": "over"}, {"name": "new"}), "over")
    assert owners(report(one, told_of(one, "old", "over"), Cause.NEWS)) == ["new", "old", "over"]


def test_what_is_known_and_goes_on_comes_before_the_news_that_something_is_over() -> None:
    one = over(incident({"name": "a"}, {"name": "old"}), "a")
    assert owners(report(one, told_of(one, "a", "old"), Cause.NEWS)) == ["old", "a"]


def test_the_worst_comes_first_and_of_two_that_are_as_bad_the_latest() -> None:
    one = incident(
        {"name": "early", "last": 100}, {"name": "late", "last": 200}, {**CRITICAL, "name": "pi-1", "last": 1}
    )
    assert owners(report(one, None, Cause.FIRST)) == ["pi-1", "late", "early"]


def test_the_event_that_stands_for_all_is_that_of_the_first_line() -> None:
    told = report(incident({"name": "early", "last": 100}, {"name": "late", "last": 200}), None, Cause.FIRST)
    assert (told.event.name, told.received_at) == ("late", NOW)


def test_what_is_muted_is_not_shown_and_counts_so_that_no_receiver_sees_a_sum_fall() -> None:
    one = silenced(incident({"name": "a", "count": 3}, {"name": "b", "count": 4}), "b")
    told = report(one, None, Cause.FIRST)
    assert (owners(told), told.muted, told.occurrences) == (["a"], 1, 7)


def test_where_all_has_been_muted_just_now_it_is_told_all_the_same() -> None:
    told = report(silenced(incident({"name": "a"}), "a"), None, Cause.FIRST)
    assert (owners(told), told.muted) == (["a"], 0)


def test_that_what_is_muted_is_over_is_shown_to_who_was_told_of_it_and_to_nobody_else() -> None:
    one = over(silenced(incident({"name": "a"}, {"name": "b"}), "b"), "b")
    for told, shown in ((told_of(one, "a"), ["a"]), (told_of(one, "a", "b"), ["a", "b"])):
        found = report(one, told, Cause.NEWS)
        assert (owners(found), found.muted) == (shown, 2 - len(shown))
    once = report(one, told_of(one, "a", "b"), Cause.NEWS).as_told(NOW)
    assert owners(report(one, once, Cause.REPEAT)) == ["a"]


def test_who_has_a_report_was_told_of_its_lines_and_of_what_was_told_before() -> None:
    one = silenced(incident({"name": "a"}, {"name": "b"}, {"name": "c"}), "b")
    gone = over(one, "c")
    said = report(gone, told_of(one, "b", "c"), Cause.NEWS).as_told(NOW).said
    assert {key.owner: goes_on for key, goes_on in said.items()} == {"a": True, "b": True, "c": False}


def test_occurrences_are_new_that_were_not_told_before() -> None:
    one = incident({"name": "a", "count": 3}, {"name": "b", "count": 4})
    assert report(one, None, Cause.FIRST).since_told == 7
    assert report(one, told_of(one, "a", occurrences=3), Cause.NEWS).since_told == 4
    assert report(silenced(one, "b"), told_of(one, "a", "b", occurrences=7), Cause.REPEAT).since_told == 0


def test_a_line_is_news_if_its_last_is_later_than_what_was_told() -> None:
    one = incident({"name": "a"}, {"name": "b"})
    for told, news in ((None, ["a", "b"]), (told_of(one, "a"), ["b"]), (told_of(one, "a", "b"), [])):
        assert sorted(line.owner for line in report(one, told, Cause.NEWS).lines if line.is_news) == news


def test_a_repeat_is_one_as_long_as_there_is_no_more_to_say_than_that_it_goes_on() -> None:
    one = incident({"name": "a"}, {"name": "b"})
    assert report(one, told_of(one, "a", "b"), Cause.REPEAT).cause is Cause.REPEAT
    assert report(one, told_of(one, "a"), Cause.REPEAT).cause is Cause.NEWS
    assert report(over(one, "b"), told_of(one, "a", "b"), Cause.REPEAT).cause is Cause.REPEAT
    assert report(over(over(one, "b"), "a"), told_of(one, "a", "b"), Cause.REPEAT).cause is Cause.QUIET


def test_a_report_is_of_all_the_time_that_its_lines_are() -> None:
    one = incident({"name": "a", "first": 100, "last": 900}, {"name": "b", "first": 300, "last": 400})
    told = report(one, None, Cause.FIRST)
    assert (told.began_at, told.last_at) == (100, 900)


def test_counts_have_a_limit_and_what_is_told_later_is_not_less() -> None:
    one = incident(*({"name": name, "count": COUNT_LIMIT} for name in "ab"))
    told = report(one, None, Cause.FIRST)
    said = dict.fromkeys(one.problems, True)
    assert told.as_told(NOW + MINUTE) == Told(NOW + MINUTE, 2, COUNT_LIMIT, said)


def test_what_is_recovered_is_well_and_of_what_is_quiet_nobody_knows() -> None:
    [problem] = incident({**CRITICAL, "name": "pi-1"}).problems.values()
    ends = {None: Severity.CRITICAL, End.RECOVERED: Severity.RECOVERED, End.QUIET: Severity.INFO}
    assert {end: severity_of(replace(problem, end=end)) for end in ends} == ends


def test_the_objects_that_still_have_it_come_first() -> None:
    said = {"kind": "Pod", "reason": "FailedMount", "ns": "shop"}
    one = incident(*({**said, "name": f"db-{number}"} for number in range(3)))
    end = Ended("edge-1", "Pod", "FailedMount", ("shop", "db-0"))
    [line] = report(ended(one, end, event(), wait=MINUTE, now=NOW), None, Cause.FIRST).lines
    assert line.objects == ("db-1", "db-2", "db-0")


def test_there_is_more_than_is_told_apart_if_an_incident_or_a_line_says_so() -> None:
    one = incident({"name": "a"})
    told = report(one, None, Cause.FIRST)
    assert (told.has_more, report(replace(one, beyond=1), None, Cause.FIRST).has_more) == (False, True)
    assert replace(told, lines=(replace(told.lines[0], has_more=True),)).has_more


def test_a_report_says_when_something_was_told_before() -> None:
    one = incident({"name": "a"})
    assert report(one, None, Cause.FIRST).told_at is None
    assert report(one, told_of(one, "a"), Cause.REPEAT).told_at == NOW


def test_a_line_is_never_over_before_it_began() -> None:
    assert report(incident({"name": "a", "first": 900, "last": 100}), None, Cause.FIRST).lines[0].last_at == 900


@pytest.mark.parametrize("namespace", ["shop", None])
def test_an_event_by_itself_is_one_line_of_one_object(namespace: str | None) -> None:
    told = alone(event(ns=namespace, name="api-0", count=4), NOW)
    [line] = told.lines
    assert (line.namespace, line.owner, line.objects) == (namespace or "", "api-0", ("api-0",))
    assert (told.occurrences, told.since_told, told.cause) == (4, 4, Cause.FIRST)
