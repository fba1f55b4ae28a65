"""What events make of an incident: pure, without anybody who is told of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.consumer.messages import NOW, event
from tocsin_consumer.incident import (
    OBJECT_LIMIT,
    PROBLEM_LIMIT,
    End,
    Incident,
    Problem,
    State,
    ended,
    heard,
    muted,
    not_later_than,
    quiet,
    quiet_at,
)
from tocsin_consumer.recovery import ended_by
from tocsin_schemas.event import EventPayload

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
WAIT = 10 * SECOND
UNMOUNTED: dict[str, Any] = {"reason": "FailedMount"}
AWAY: dict[str, Any] = {"reason": "NodeNotReady", "type": "Normal", "kind": "Node", "ns": None, "name": "pi-1"}


def incident(*events: EventPayload, at: datetime = NOW) -> Incident:
    """Return one that was opened when these events came."""
    after = Incident(1, "", (), at, ("ops",))
    for said in events:
        after = heard(after, said, said.count, wait=WAIT, now=at)
    return after


def recovered(before: Incident, *, at: datetime = NOW + MINUTE, **fields: Any) -> Incident:
    """Return the incident after a Normal event."""
    said = event(**{"type": "Normal", **fields})
    for one in ended_by(said):
        before = ended(before, one, said, wait=WAIT, now=at)
    return before


def silenced(before: Incident) -> Incident:
    """Return the incident with all of it muted."""
    return muted(before, lambda _: "silence", now=NOW)


def over(before: Incident, *, at: datetime = NOW + MINUTE) -> Incident:
    """Return the incident after nothing more was heard of it."""
    return quiet(before, lambda _: at, wait=WAIT, now=at)


def only(one: Incident) -> Problem:
    [problem] = one.problems.values()
    return problem


def ends(one: Incident) -> list[End | None]:
    return [problem.end for problem in one.problems.values()]


@pytest.mark.parametrize(("occurred", "began_at"), [(5, 100), (6, 100), (2, 900)])
def test_a_problem_began_with_its_event_or_with_what_is_new_of_one_that_was_heard_of_before(
    occurred: int, began_at: int
) -> None:
    said = event(count=5, first=100, last=900)
    assert only(heard(incident(), said, occurred, wait=WAIT, now=NOW)).began_at == began_at


def test_an_event_ends_the_problem_of_an_object_of_its_namespace_only() -> None:
    both = incident(event(**UNMOUNTED, ns="shop", name="db-0"), event(**UNMOUNTED, ns="factory", name="db-0"))
    assert ends(recovered(both, reason="Started", ns="factory", name="db-0")) == [None, End.RECOVERED]


def test_an_event_ends_the_problem_of_an_object_of_its_kind_only() -> None:
    both = incident(*(event(reason="FailedCreate", kind=kind, name="x") for kind in ("StatefulSet", "Job")))
    assert ends(recovered(both, reason="SuccessfulCreate", kind="Job", name="x")) == [None, End.RECOVERED]


def test_an_event_ends_the_problem_of_its_cluster_and_of_the_reason_that_it_is_about_only() -> None:
    several = incident(event(**AWAY), event(**AWAY, cluster="edge-2"), event(**(AWAY | {"reason": "Rebooted"})))
    after = recovered(several, **(AWAY | {"reason": "NodeReady"}))
    assert ends(after) == [End.RECOVERED, None, None]


def test_a_problem_is_over_when_the_last_of_its_objects_is() -> None:
    two = incident(*(event(**UNMOUNTED, name=f"db-{number}") for number in range(2)))
    one = recovered(two, reason="Started", name="db-0")
    assert (ends(one), dict(only(one).objects), one.revision) == ([None], {"db-0": False, "db-1": True}, 1)
    none = recovered(one, reason="Started", name="db-1")
    assert (ends(none), none.revision) == ([End.RECOVERED], 2)
    assert (only(none).event.reason, only(none).heard_at) == ("Started", NOW + MINUTE)


def test_an_object_that_no_longer_had_it_ends_nothing_that_others_have() -> None:
    two = incident(*(event(**UNMOUNTED, name=f"db-{number}") for number in range(2)))
    one = recovered(two, reason="Started", name="db-0")
    for name in ("db-0", "db-2"):
        assert recovered(one, reason="Started", name=name) == one


def test_what_is_quiet_is_not_recovered_afterwards() -> None:
    gone = over(incident(event(**UNMOUNTED)))
    assert recovered(gone, reason="Started", name="api-0") == gone


def test_a_problem_of_more_objects_than_are_told_apart_goes_on_when_those_are_over() -> None:
    many = incident(*(event(**UNMOUNTED, name=f"db-{number}") for number in range(OBJECT_LIMIT + 1)))
    for name in only(many).objects:
        many = recovered(many, reason="Started", name=name)
    assert (ends(many), any(only(many).objects.values())) == ([None], False)


def test_what_is_over_for_all_objects_is_so_for_those_that_are_not_told_apart() -> None:
    pods = [event(reason="NodeNotReady", name=f"db-{number}") for number in range(OBJECT_LIMIT + 1)]
    after = recovered(incident(*pods), **(AWAY | {"reason": "NodeReady"}))
    assert (ends(after), only(after).has_more) == ([End.RECOVERED], False)


def test_an_object_beyond_those_that_are_told_apart_is_told_to_be_more_and_none_that_is_known_is() -> None:
    many = incident(*(event(name=f"db-{number}") for number in range(OBJECT_LIMIT)))
    assert not only(heard(many, event(name="db-0"), 1, wait=WAIT, now=NOW)).has_more
    assert only(heard(many, event(name="db-100"), 1, wait=WAIT, now=NOW)).has_more


def test_problems_beyond_those_that_are_told_apart_are_counted_together_and_known_ones_by_themselves() -> None:
    many = incident(*(event(kind="Deployment", name=f"app-{number}") for number in range(PROBLEM_LIMIT)))
    known = heard(many, event(kind="Deployment", name="app-0"), 2, wait=WAIT, now=NOW)
    assert (known.occurrences, known.beyond) == (PROBLEM_LIMIT + 2, 0)
    beyond = heard(known, event(kind="Deployment", name="other"), 3, wait=WAIT, now=NOW)
    assert (beyond.occurrences, beyond.beyond, beyond.revision) == (PROBLEM_LIMIT + 5, 3, PROBLEM_LIMIT)


def test_more_of_what_goes_on_is_no_news_and_what_begins_again_is() -> None:
    first = incident(event())
    more = heard(first, event(count=4), 3, wait=WAIT, now=NOW + MINUTE)
    assert (more.revision, more.occurrences, only(more).occurrences) == (1, 4, 4)
    assert (only(more).news_at, only(more).heard_at, only(more).event.count) == (NOW, NOW + MINUTE, 4)
    again = heard(over(more), event(uid="b"), 1, wait=WAIT, now=NOW + 9 * MINUTE)
    assert (again.revision, again.occurrences, only(again).occurrences) == (3, 5, 5)
    assert (only(again).news_at, only(again).revision) == (NOW + 9 * MINUTE, 3)


@pytest.mark.parametrize(("seconds", "is_one"), [(20, True), (21, False)])
def test_what_comes_soon_after_other_news_of_a_problem_is_told_with_it(*, seconds: int, is_one: bool) -> None:
    at = NOW + seconds * SECOND
    gone = over(incident(event()), at=at)
    again = heard(over(incident(event())), event(), 1, wait=WAIT, now=NOW + MINUTE + seconds * SECOND)
    assert only(gone).news_at == (NOW if is_one else at)
    assert only(again).news_at == NOW + MINUTE + (timedelta() if is_one else seconds * SECOND)


def test_what_is_due_to_be_over_is_and_nothing_before() -> None:
    one = incident(event())
    assert quiet(one, lambda _: NOW + MINUTE, wait=WAIT, now=NOW + MINUTE - SECOND) is one
    assert quiet(one, lambda _: None, wait=WAIT, now=NOW + MINUTE) is one
    gone = over(one)
    assert (gone.state, gone.revision) == (State.QUIET, 2)
    assert quiet(gone, lambda _: NOW, wait=WAIT, now=NOW + MINUTE) is gone


def test_what_stands_until_its_end_is_said_is_never_quiet_nor_is_what_is_over() -> None:
    assert quiet_at(only(incident(event())), MINUTE) == NOW + MINUTE
    assert quiet_at(only(incident(event(**AWAY))), MINUTE) is None
    assert quiet_at(only(over(incident(event()))), MINUTE) is None


def test_an_incident_is_recovered_if_any_of_it_is_and_open_while_any_of_it_goes_on() -> None:
    both = incident(event(), event(**AWAY))
    back = recovered(both, **(AWAY | {"reason": "NodeReady"}))
    assert (incident().state, both.state, back.state, over(back).state) == (*[State.OPEN] * 3, State.RECOVERED)


def test_what_is_no_longer_muted_is_news_from_then_on() -> None:
    held = silenced(incident(event()))
    assert (only(held).muted_by, only(held).news_at) == ("silence", NOW)
    free = muted(held, lambda _: None, now=NOW + 9 * MINUTE)
    assert (free.revision, only(free).revision, only(free).muted_by) == (1, 1, None)
    assert only(free).news_at == NOW + 9 * MINUTE


def test_what_is_muted_otherwise_than_before_is_no_news() -> None:
    after = muted(silenced(incident(event())), lambda _: "inhibition", now=NOW + MINUTE)
    assert (only(after).muted_by, only(after).news_at, after.revision) == ("inhibition", NOW, 1)


def test_what_has_ended_is_neither_muted_nor_unmuted_any_more() -> None:
    gone = over(incident(event()))
    assert silenced(gone) == gone
    held = over(silenced(incident(event())))
    assert only(held).muted_by == "silence"
    assert muted(held, lambda _: None, now=NOW + 9 * MINUTE) == held


def test_what_is_muted_is_no_reason_to_call_an_incident_recovered() -> None:
    def is_node(one: Problem) -> str | None:
        return "silence" if one.key.kind == "Node" else None

    both = muted(incident(event(), event(**AWAY)), is_node, now=NOW)
    assert over(recovered(both, **(AWAY | {"reason": "NodeReady"}))).state is State.QUIET


def test_nothing_was_later_than_now() -> None:
    back = not_later_than(NOW, incident(event(), at=NOW + MINUTE))
    assert (back.opened_at, only(back).heard_at, only(back).news_at) == (NOW, NOW, NOW)
    earlier = incident(event(), at=NOW - MINUTE)
    assert not_later_than(NOW, earlier) is earlier
    assert not_later_than(NOW, replace(earlier, opened_at=NOW + MINUTE)).opened_at == NOW
    more = not_later_than(NOW, heard(earlier, event(count=2), 1, wait=WAIT, now=NOW + MINUTE))
    assert (more.opened_at, only(more).heard_at, only(more).news_at) == (NOW - MINUTE, NOW, NOW - MINUTE)
