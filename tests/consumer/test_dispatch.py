"""When a receiver is told of an incident, and why: pure, at the very moments."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.consumer.messages import NOW, event
from tocsin_consumer.dispatch import (
    Cause,
    Decision,
    Step,
    Timing,
    Told,
    arrived,
    decide,
    gathered,
    is_wanted,
    next_step,
    tellable,
)
from tocsin_consumer.incident import End, Incident, Problem, heard, key_of, muted, quiet

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
TIMING = Timing(
    group_wait=10 * SECOND,
    group_interval=5 * MINUTE,
    repeat_interval=60 * MINUTE,
    send_recovered=True,
    send_quiet=True,
)
SLOW = replace(TIMING, group_wait=MINUTE, group_interval=30 * SECOND)
RARE = replace(TIMING, repeat_interval=MINUTE)


def incident(
    *, news_at: datetime = NOW, opened_at: datetime = NOW, receivers: tuple[str, ...] = ("ops",)
) -> Incident:
    """Return one that was opened, and has a problem that was news at some time."""
    opened = Incident(1, "", (), opened_at, receivers)
    return heard(opened, event(), 1, wait=SECOND, now=news_at)


def told(at: datetime, goes_on: bool | None = True, *, revision: int = 1) -> Told:
    """Return what a receiver was told: that the problem goes on or is over, or nothing of it."""
    return Told(at, revision, 1, {} if goes_on is None else {only(incident()).key: goes_on})


def over(before: Incident, *, at: datetime = NOW) -> Incident:
    return quiet(before, lambda _: at, wait=timedelta(), now=at)


def only(one: Incident) -> Problem:
    [problem] = one.problems.values()
    return problem


def told_at(one: Incident, before: Told | None, timing: Timing) -> datetime | None:
    """Return the moment at which a receiver is told; at no earlier one it is."""
    step = next_step(one, before, timing, now=datetime.min.replace(tzinfo=NOW.tzinfo))
    assert step.cause is None
    if step.at is not None:
        assert next_step(one, before, timing, now=step.at - SECOND) == step
        assert next_step(one, before, timing, now=step.at).cause is not None
    return step.at


def test_the_first_is_told_group_wait_after_the_news_and_not_after_the_incident_was_opened() -> None:
    assert told_at(incident(), None, TIMING) == NOW + 10 * SECOND
    assert told_at(incident(news_at=NOW + 9 * MINUTE), None, TIMING) == NOW + 9 * MINUTE + 10 * SECOND
    assert told_at(incident(news_at=NOW - MINUTE), None, TIMING) == NOW + 10 * SECOND


@pytest.mark.parametrize(
    ("timing", "told_before", "waited"),
    [
        (TIMING, MINUTE, 4 * MINUTE),  # group_interval after the last time
        (TIMING, 9 * MINUTE, 10 * SECOND),  # group_wait after the news, after a calm
        (SLOW, 9 * MINUTE, 30 * SECOND),  # and never longer than group_interval
    ],
)
def test_news_wait_for_the_interval_and_after_a_calm_for_what_comes_with_them(
    timing: Timing, told_before: timedelta, waited: timedelta
) -> None:
    assert told_at(incident(), told(NOW - told_before, None, revision=0), timing) == NOW + waited


def test_what_goes_on_is_told_again_after_repeat_interval_but_not_sooner_than_group_interval() -> None:
    assert told_at(incident(), told(NOW), TIMING) == NOW + 60 * MINUTE
    assert told_at(incident(), told(NOW), RARE) == NOW + 5 * MINUTE
    assert next_step(incident(), told(NOW), TIMING, now=NOW + 60 * MINUTE) == Step(Cause.REPEAT)


def test_what_is_over_or_muted_or_was_never_told_is_not_repeated() -> None:
    silenced = muted(incident(), lambda _: "silence", now=NOW)
    for one, before in ((over(incident()), told(NOW, False, revision=2)), (silenced, told(NOW)), (silenced, None)):
        assert next_step(one, before, TIMING, now=NOW + 999 * MINUTE) == Step()


def test_an_end_is_told_where_it_is_wanted_and_to_whoever_was_not_told_of_the_beginning() -> None:
    deaf = replace(TIMING, send_recovered=False, send_quiet=False)
    gone = only(over(incident()))
    for end, wants in (
        (End.QUIET, replace(deaf, send_quiet=True)),
        (End.RECOVERED, replace(deaf, send_recovered=True)),
    ):
        ended = replace(gone, end=end)
        assert (is_wanted(ended, told(NOW), deaf), is_wanted(ended, told(NOW), wants)) == (
            False,
            True,
        )
        assert is_wanted(ended, told(NOW, None, revision=0), deaf)
        assert is_wanted(replace(ended, begun=2), told(NOW), deaf)
    assert is_wanted(only(incident()), told(NOW), deaf)


def test_something_is_news_if_it_is_otherwise_than_was_said_or_has_changed_since() -> None:
    problem = only(incident())
    gone = replace(problem, end=End.QUIET)
    unsaid, said_on, said_over = told(NOW, None), told(NOW), told(NOW, False)
    assert [one.is_news(problem) for one in (unsaid, said_on, said_over)] == [True, False, True]
    assert [one.is_news(gone) for one in (unsaid, said_on, said_over)] == [False, True, False]
    assert [one.is_news(replace(problem, revision=2)) for one in (unsaid, said_on, said_over)] == [True] * 3
    assert [one.tells_of(gone) for one in (unsaid, said_on, said_over)] == [False, True, True]


def test_what_a_digest_tells_is_no_news_and_was_told_once_that_has_arrived() -> None:
    both = Incident(1, "", (), NOW, ("ops",))
    for name in ("web", "db"):
        both = heard(both, event(name=name, kind="Deployment"), 1, wait=SECOND, now=NOW)
    waiting = gathered(both, None, NOW)
    assert waiting.gathered == both.problems.keys()
    assert waiting.said == {}
    assert next_step(both, waiting, TIMING, now=NOW + MINUTE).cause is None
    held = muted(both, lambda one: "silence" if one.key.owner == "db" else None, now=NOW)
    found = arrived(held, waiting)
    assert ({key.owner for key in found.said}, found.gathered) == ({"web"}, frozenset())
    assert found.is_news(
        muted(held, lambda _: None, now=NOW).problems[key_of(event(name="db", kind="Deployment"))]
    )


def test_what_was_told_before_a_digest_stays_told_and_its_end_counts_as_told_by_that() -> None:
    one = incident()
    again = gathered(one, told(NOW), NOW)
    assert (again.leaves_open(only(one)), arrived(one, again).said) == (True, told(NOW).said)
    held = muted(one, lambda _: "silence", now=NOW)
    assert arrived(held, gathered(held, told(NOW), NOW)).leaves_open(only(held))
    gone = over(one)
    assert gathered(gone, told(NOW), NOW).said == {only(one).key: False}


def test_of_what_is_muted_only_the_end_is_told_and_only_to_who_was_told_that_it_goes_on() -> None:
    held = muted(incident(), lambda _: "silence", now=NOW)
    for one, shown in ((held, [False, False, False]), (over(held), [False, False, True])):
        assert [bool(tellable(one, before)) for before in (None, told(NOW, None), told(NOW))] == shown


def test_nobody_is_told_for_whom_something_is_under_way_and_that_is_looked_at_again() -> None:
    both, now = incident(receivers=("ops", "boss")), NOW + 10 * SECOND
    assert decide(both, {}, {"boss"}, TIMING, now=now) == Decision({"ops": Cause.FIRST}, now + 5 * MINUTE)
    assert decide(both, {}, {"ops", "boss"}, TIMING, now=now) == Decision({}, now + 5 * MINUTE)
    assert decide(over(both), {}, {"ops", "boss"}, TIMING, now=now) == Decision({}, now + 5 * MINUTE)


def test_what_was_just_ordered_is_looked_at_again_as_nobody_says_when_it_is_told() -> None:
    assert decide(incident(), {}, (), TIMING, now=NOW + MINUTE) == Decision({"ops": Cause.FIRST}, NOW + 6 * MINUTE)


def test_an_incident_is_looked_at_again_when_the_first_of_its_receivers_is_to_be_told() -> None:
    both = incident(receivers=("ops", "boss"))
    assert decide(both, {"ops": told(NOW)}, (), TIMING, now=NOW) == Decision({}, NOW + 10 * SECOND)


def test_an_incident_is_over_when_it_has_ended_and_rested_for_group_interval_since_it_was_told_last() -> None:
    gone = over(incident(receivers=("ops", "boss")))
    before = {"ops": told(NOW, False, revision=2), "boss": told(NOW + MINUTE, False, revision=2)}
    rests_until = NOW + 6 * MINUTE
    assert decide(gone, before, (), TIMING, now=rests_until - SECOND) == Decision({}, rests_until)
    assert decide(gone, before, (), TIMING, now=rests_until) == Decision({}, rests_until, is_over=True)


def test_an_incident_that_nobody_was_told_of_rests_since_it_was_opened() -> None:
    held = muted(incident(opened_at=NOW - MINUTE), lambda _: "silence", now=NOW)
    assert decide(over(held), {}, (), TIMING, now=NOW) == Decision({}, NOW + 4 * MINUTE)
    assert decide(held, {}, (), TIMING, now=NOW + 99 * MINUTE) == Decision({}, None)
