"""What is demanded of notifications of incidents can be missed."""

from typing import Any

import pytest

from tests.chaos.incident_ledger import IncidentLedger, Telling
from tests.chaos.ledger import Window

KNOWN = {"BackOff": {"a": 5, "b": 1}, "NodeNotReady": {"n": 1}}


def told(at: float, *names: str, **fields: Any) -> Telling:
    values: dict[str, Any] = {
        "incident": 1,
        "group": "BackOff",
        "count": sum(KNOWN["BackOff"].get(name, 0) for name in names),
        "names": frozenset(names),
    } | fields
    return Telling(at=at, **({"new_count": values["count"], "lines": (values["count"],)} | values))


NODE = told(0.0, "n", incident=2, group="NodeNotReady", count=1)
FIRST = told(0.0, "a", count=3)
SECOND = told(2.0, "a", "b", new_count=3)


def kinds(*tellings: Telling, windows: tuple[Window, ...] = ()) -> list[str]:
    ledger = IncidentLedger(KNOWN, (NODE, *tellings), 2.0, windows)
    return [violation.kind for violation in ledger.violations()]


def test_each_object_in_some_notification_is_enough() -> None:
    assert kinds(FIRST, SECOND) == []
    assert kinds(told(0.0, "a", "b")) == []


def test_an_object_that_no_notification_names_is_not_told() -> None:
    assert kinds(FIRST) == ["not told"]


def test_an_object_that_never_came_is_invented() -> None:
    assert kinds(told(0.0, "a", "b", "c")) == ["invented"]


def test_events_that_belong_together_and_are_told_apart_are_split() -> None:
    assert kinds(FIRST, told(2.0, "b", incident=3)) == ["split"]


@pytest.mark.parametrize(
    "telling",
    [
        told(0.0, "a", "b", lines=(5,)),
        told(0.0, "a", "b", new_count=5),
        told(0.0, "a", "b", count=7),
    ],
)
def test_occurrences_that_do_not_add_up_are_found(telling: Telling) -> None:
    assert kinds(telling) == ["sum"]


def test_what_was_told_before_is_not_new() -> None:
    assert kinds(FIRST, told(2.0, "a", "b")) == ["sum"]


def test_a_count_that_falls_is_backwards() -> None:
    assert kinds(FIRST, told(2.0, "a", "b", count=2, new_count=-1)) == ["backwards"]


def test_a_notification_within_group_interval_of_the_last_is_too_soon() -> None:
    assert kinds(FIRST, told(1.9, "a", "b", new_count=3)) == ["too soon"]


def test_a_notification_that_names_nothing_new_is_one_without_news() -> None:
    assert kinds(FIRST, SECOND, told(4.0, "a", "b", new_count=0)) == ["without news"]


def test_what_comes_after_one_that_may_not_have_been_noted_may_be_as_if_that_had_never_been() -> None:
    window = Window("pager", -0.1, 0.1)
    again = (FIRST, told(0.5, "a", "b"))
    assert kinds(*again, windows=(window,)) == []
    assert kinds(*again) == ["sum", "too soon"]
    assert kinds(FIRST, SECOND, windows=(window,)) == []
    assert kinds(FIRST, SECOND, told(2.5, "a", "b"), windows=(window,)) == ["sum", "too soon", "without news"]
