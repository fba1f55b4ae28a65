"""A ledger that cannot fail is worth nothing."""

from typing import Any

import pytest

from tests.chaos.ledger import Delivery, Expectation, Ledger, State, Told, Window

BOTH = frozenset({"record", "hook"})
STORY = (
    Expectation("a", (1, 2, 5), BOTH),
    Expectation("b", (1,), BOTH),
    Expectation("filtered", (1,), frozenset()),
    Expectation("critical", (3,), BOTH | {"group"}),
)


def got(*states: tuple[str, int]) -> list[Delivery]:
    return [Delivery(State(*state), float(at)) for at, state in enumerate(states)]


WHOLE = (("a", 1), ("b", 1), ("critical", 3), ("a", 5))
GROUP = (("critical", 3),)


def ledger(
    *record: tuple[str, int],
    hook: tuple[tuple[str, int], ...] = WHOLE,
    group: tuple[tuple[str, int], ...] = GROUP,
    **more: Any,
) -> Ledger:
    return Ledger(STORY, {"record": got(*record), "hook": got(*hook), "group": got(*group)}, **more)


def kinds(ledger: Ledger) -> list[str]:
    return [violation.kind for violation in ledger.balance().violations]


def test_the_newest_state_of_each_event_at_each_receiver_is_enough() -> None:
    assert kinds(ledger(*WHOLE)) == []
    assert kinds(ledger(("b", 1), ("critical", 3), ("a", 5))) == []


def test_the_totals_say_what_there_was() -> None:
    totals = ledger(*WHOLE).balance().totals
    assert (totals["served"], totals["passed"], totals["events"], totals["delivered"]) == (6, 5, 3, 9)


def test_a_newest_state_that_one_receiver_lacks_is_missing_there() -> None:
    assert kinds(ledger(("a", 5), ("critical", 3))) == ["missing"]
    assert kinds(ledger(("a", 2), ("b", 1), ("critical", 3))) == ["missing"]
    assert kinds(ledger(*WHOLE, group=())) == ["missing"]


def test_an_event_that_no_receiver_has_is_missing() -> None:
    (violation,) = ledger(*WHOLE[:3], hook=WHOLE[:3]).balance().violations
    assert (violation.kind, "1 everywhere: a" in violation.detail) == ("missing", True)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Told(), ["missing"]),
        (Told(lost=1), []),
        (Told(lost=2), ["lost"]),
        (Told(lost=2, doubtful=1), []),
        (Told(lost=3, doubtful=1), ["lost"]),
        (Told(gap=1), ["missing", "gap"]),
        (Told(gap=1, gap_limit=16), []),
        (Told(gap=0, gap_limit=16), ["missing"]),
    ],
)
def test_what_no_receiver_has_must_be_told_and_no_more_than_that(told: Told, expected: list[str]) -> None:
    assert kinds(ledger(*WHOLE[:3], hook=WHOLE[:3], told=told)) == expected


def test_a_loss_that_is_told_and_did_not_happen_is_wrong() -> None:
    assert kinds(ledger(*WHOLE, told=Told(lost=1))) == ["lost"]


def test_a_gap_that_is_told_and_cannot_be_is_wrong() -> None:
    assert kinds(ledger(*WHOLE, told=Told(gap=1))) == ["gap"]


def test_a_dead_letter_accounts_for_what_one_receiver_lacks_and_only_for_that_one() -> None:
    dead = frozenset({State("critical", 3)})
    assert kinds(ledger(*WHOLE, group=(), told=Told(dead={"group": dead}))) == []
    assert kinds(ledger(*WHOLE, group=(), told=Told(dead={"hook": dead}))) == ["missing"]


def test_an_event_that_is_excused_need_not_arrive_and_may() -> None:
    story = [Expectation("a", (1, 2), BOTH, is_excused=True)]
    assert kinds(Ledger(story, {"record": [], "hook": got(("a", 1))})) == []


def test_a_state_that_a_receiver_gets_twice_is_repeated() -> None:
    assert kinds(ledger(*WHOLE, ("a", 5))) == ["repeated"]
    assert kinds(ledger(*WHOLE, ("a", 5), ("a", 5))) == ["repeated", "repeated"]


def test_a_repeat_of_what_came_just_before_a_kill_is_counted_apart() -> None:
    window = Window("record", 2.9, 3.1)  # in which came what is repeated
    balance = ledger(*WHOLE, ("a", 5), windows=[window]).balance()
    assert (balance.violations, balance.totals["repeated in a window"]) == ((), 1)


@pytest.mark.parametrize(
    "window", [Window("record", 0.0, 2.9), Window("hook", 0.0, 9.0), Window("record", 3.9, 4.1)]
)
def test_a_repeat_of_what_came_at_another_time_or_elsewhere_is_none_of_the_kill(window: Window) -> None:
    assert kinds(ledger(*WHOLE, ("a", 5), windows=[window])) == ["repeated"]


def test_a_second_repeat_is_excused_only_by_a_second_kill() -> None:
    assert kinds(ledger(*WHOLE, ("a", 5), ("a", 5), windows=[Window("record", 2.9, 3.1)])) == ["repeated"]


def test_a_count_that_falls_is_backwards_and_no_window_excuses_it() -> None:
    windows = [Window("record", 0.0, 9.0)]
    assert kinds(ledger(*WHOLE, ("a", 2), windows=windows)) == ["backwards"]
    assert kinds(ledger(*WHOLE, ("a", 1), windows=windows)) == ["backwards"]


def test_what_the_filter_drops_is_uninvited_and_so_is_what_another_route_takes() -> None:
    assert kinds(ledger(*WHOLE, ("filtered", 1))) == ["uninvited"]
    assert kinds(ledger(*WHOLE, group=(*GROUP, ("b", 1)))) == ["uninvited"]


def test_what_the_api_server_never_had_is_invented() -> None:
    assert kinds(ledger(*WHOLE, ("nobody", 1))) == ["invented"]
    assert kinds(ledger(*WHOLE, ("a", 7))) == ["invented"]
