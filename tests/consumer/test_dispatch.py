"""When a receiver is told of an incident, and why: pure, at the very moments."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.consumer.messages import NOW, event
from tocsin_consumer.dispatch import Cause, Decision, Step, Timing, Told, decide, is_wanted, knowing, next_step
from tocsin_consumer.incident import End, Incident, Problem, heard, muted, quiet

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


def told(at: datetime, *, revision: int = 1) -> Told:
    return Told(at, revision, 1)


def over(before: Incident, *, at: datetime = NOW) -> Incident:
    return quiet(before, lambda _: at, wait=timedelta(), now=at)


def only(one: Incident) -> Problem:
    [problem] = one.problems.values()
    return problem


def told_at(one: Incident, before: Told | None, timing: Timing) -> datetime | None:
    """Return the moment at which a receiver is told; at no earlier one it is."""
    step = next_step(one, "ops", before, timing, now=datetime.min.replace(tzinfo=NOW.tzinfo))
    assert step.cause is None
    if step.at is not None:
        assert next_step(one, "ops", before, timing, now=step.at - SECOND) == step
        assert next_step(one, "ops", before, timing, now=step.at).cause is not None
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
    assert told_at(incident(), told(NOW - told_before, revision=0), timing) == NOW + waited


def test_what_goes_on_is_told_again_after_repeat_interval_but_not_sooner_than_group_interval() -> None:
    assert told_at(incident(), told(NOW), TIMING) == NOW + 60 * MINUTE
    assert told_at(incident(), told(NOW), RARE) == NOW + 5 * MINUTE
    assert next_step(incident(), "ops", told(NOW), TIMING, now=NOW + 60 * MINUTE) == Step(Cause.REPEAT)


def test_what_is_over_or_muted_or_was_never_told_is_not_repeated() -> None:
    silenced = muted(incident(), lambda _: "silence", lambda _: ["ops"], now=NOW)
    for one, before in ((over(incident()), told(NOW, revision=2)), (silenced, told(NOW)), (silenced, None)):
        assert next_step(one, "ops", before, TIMING, now=NOW + 999 * MINUTE) == Step()


def test_an_end_is_told_where_it_is_wanted_and_to_who_does_not_know_of_the_beginning() -> None:
    deaf = replace(TIMING, send_recovered=False, send_quiet=False)
    gone = only(over(incident()))
    for end, wants in (
        (End.QUIET, replace(deaf, send_quiet=True)),
        (End.RECOVERED, replace(deaf, send_recovered=True)),
    ):
        ended = replace(gone, end=end)
        assert (is_wanted(ended, "ops", told(NOW), deaf), is_wanted(ended, "ops", told(NOW), wants)) == (
            False,
            True,
        )
        assert is_wanted(ended, "ops", told(NOW, revision=0), deaf)
    assert is_wanted(only(incident()), "ops", told(NOW), deaf)


def test_who_was_told_of_the_revision_at_which_it_began_or_a_later_one_knows_of_it() -> None:
    problem = only(incident())
    assert [told(NOW, revision=revision).tells_of(problem, "ops") for revision in (0, 1, 2)] == [False, True, True]
    assert not told(NOW, revision=9).tells_of(replace(problem, begun=None), "ops")


def test_who_knew_of_it_when_it_was_muted_is_told_of_its_end_and_not_of_its_beginning_again() -> None:
    problem = replace(only(incident()), begun=2, revision=2, known_to=("ops",))
    assert [told(NOW).tells_of(problem, name) for name in ("ops", "boss")] == [True, False]
    assert [told(NOW).is_news(problem, name) for name in ("ops", "boss")] == [False, True]
    assert told(NOW).is_news(replace(problem, end=End.QUIET), "ops")


def test_who_was_told_of_a_problem_knows_of_it_unless_that_is_in_a_digest_under_way() -> None:
    one = only(incident())
    before = {"ops": told(NOW), "boss": told(NOW, revision=0), "chief": told(NOW)}
    assert knowing(one, before, {"chief"}) == ["ops"]


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
    before = {"ops": told(NOW, revision=2), "boss": told(NOW + MINUTE, revision=2)}
    rests_until = NOW + 6 * MINUTE
    assert decide(gone, before, (), TIMING, now=rests_until - SECOND) == Decision({}, rests_until)
    assert decide(gone, before, (), TIMING, now=rests_until) == Decision({}, rests_until, is_over=True)


def test_an_incident_that_nobody_was_told_of_rests_since_it_was_opened() -> None:
    held = muted(incident(opened_at=NOW - MINUTE), lambda _: "silence", lambda _: (), now=NOW)
    assert decide(over(held), {}, (), TIMING, now=NOW) == Decision({}, NOW + 4 * MINUTE)
    assert decide(held, {}, (), TIMING, now=NOW + 99 * MINUTE) == Decision({}, None)
