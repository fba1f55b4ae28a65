"""What Alertmanager documents and tests of groups, case by case: the same here, or different for a reason.

`configuration` is prometheus.io/docs/alerting/latest/configuration, section `<route>`; the tests are those of
github.com/prometheus/alertmanager: dispatch/dispatch_test.go, notify/notify_test.go and
test/with_api_v2/acceptance/send_test.go. There an alert fires until it is resolved or times out; here a problem
goes on until its recovery is heard or nothing more is.
"""

from datetime import timedelta
from typing import Any

import pytest

from tests.consumer.desk import Desk
from tocsin_consumer.dispatch import Cause, Timing
from tocsin_consumer.incident import End, State
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.mute import Mutes
from tocsin_consumer.report import Report

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TIMES = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "2h", "group_by": ["reason"]}


def desk_of(**route: Any) -> Desk:
    desk = Desk(TIMES | route)
    desk.state("online")
    return desk


def fire(desk: Desk, *names: str) -> None:
    """Let nodes fail, which lasts until they are back."""
    for name in names:
        desk.say(kind="Node", reason="NodeNotReady", type="Normal", name=name, ns=None)


def resolve(desk: Desk, *names: str) -> None:
    for name in names:
        desk.say(kind="Node", reason="NodeReady", type="Normal", name=name, ns=None)


def names(report: Report) -> set[str]:
    return {line.owner for line in report.lines}


def ended(report: Report) -> set[str]:
    return {line.owner for line in report.lines if line.end}


# group_wait


def test_the_first_notification_of_a_new_group_waits_for_group_wait() -> None:
    """The same: configuration, group_wait; TestAggrGroup, "we wait for group_wait to send out alerts"."""
    desk = desk_of()
    fire(desk, "a")
    assert desk.pass_(29 * SECOND) == []
    assert [names(report) for report in desk.pass_(SECOND)] == [{"a"}]


def test_what_comes_within_group_wait_is_in_the_first_notification() -> None:
    """The same: TestBatching. What comes later does not lengthen the wait."""
    desk = desk_of()
    fire(desk, "test1")
    desk.pass_(25 * SECOND)
    fire(desk, "test5")
    assert [names(report) for report in desk.pass_(5 * SECOND)] == [{"test1", "test5"}]


def test_with_a_group_wait_of_zero_every_group_is_told_at_once() -> None:
    """The same: TestDispatcherRaceOnFirstAlertNotDeliveredWhenGroupWaitIsZero, though with fewer groups."""
    desk = desk_of(group_wait="0s", group_by=["namespace"])
    for number in range(20):
        desk.say(ns=f"ns-{number}")
    assert len(desk.pass_(SECOND)) == 20


def test_what_inhibits_may_come_within_group_wait_after_what_it_inhibits() -> None:
    """The same: configuration, group_wait, "for one or more inhibiting alerts to arrive"."""
    desk = Desk(TIMES, mutes=Mutes(DEFAULT_RULES))
    desk.say(node="pi-1")
    desk.pass_(20 * SECOND)
    fire(desk, "pi-1")
    assert [report.event.reason for report in desk.pass_(4 * MINUTE)] == ["NodeNotReady"]


def test_what_is_over_before_group_wait_has_elapsed_is_told_once() -> None:
    """Different: configuration, group_wait, "no notification will be sent for that alert".

    There, metrics show afterwards what has flapped; of an Event nothing is left that anyone would look at.
    """
    desk = desk_of()
    fire(desk, "a")
    desk.pass_(10 * SECOND)
    resolve(desk, "a")
    assert [(report.cause, ended(report)) for report in desk.pass_(HOUR)] == [(Cause.RECOVERED, {"a"})]


# group_interval


def test_what_has_missed_group_wait_is_told_with_all_of_the_group_after_group_interval() -> None:
    """The same: configuration, group_wait, "at the next group_interval instead"; TestAggrGroup, TestBatching."""
    desk = desk_of()
    fire(desk, "a")
    desk.pass_(30 * SECOND)
    for name in ("b", "c"):
        desk.pass_(MINUTE)
        fire(desk, name)
    assert desk.pass_(3 * MINUTE - SECOND) == []
    assert [names(report) for report in desk.pass_(SECOND)] == [{"a", "b", "c"}]


def test_what_comes_after_a_long_calm_waits_for_group_wait_and_not_for_the_next_turn_of_an_interval() -> None:
    """Different: configuration, group_interval, "a recurring timer".

    There it turns whether or not anything was sent, and news wait for up to a whole turn. Here group_interval is
    what it is for, the least time between two notifications, and people learn of news sooner.
    """
    desk = desk_of()
    fire(desk, "a")
    desk.pass_(8 * MINUTE)
    fire(desk, "b")
    assert desk.pass_(29 * SECOND) == []
    assert [names(report) for report in desk.pass_(SECOND)] == [{"a", "b"}]


def test_what_is_refreshed_is_no_news_and_keeps_its_beginning_and_has_the_last_message() -> None:
    """The same: TestMergeAlerts, "the starting time must remain", "annotations are always overwritten"."""
    desk = desk_of()
    desk.say(uid="a", count=1, msg="v1")
    began_at = int(desk.clock.now.timestamp())
    [first] = desk.pass_(MINUTE)
    desk.say(uid="a", count=2, msg="v2")
    assert desk.pass_(30 * MINUTE) == []
    desk.say(name="other")
    [second] = desk.pass_(MINUTE)
    before, after = (next(line for line in report.lines if line.event.uid == "a") for report in (first, second))
    assert (before.began_at, before.event.msg) == (began_at, "v1")
    assert (after.began_at, after.event.msg) == (began_at, "v2")


# repeat_interval


def test_what_goes_on_unchanged_is_told_again_after_repeat_interval_and_not_before() -> None:
    """The same: TestDedupStageNeedsUpdate, "identical sets of alerts"; TestBatching."""
    desk = desk_of()
    fire(desk, "a")
    desk.pass_(30 * SECOND)
    assert desk.pass_(2 * HOUR - 10 * SECOND, step=10 * SECOND) == []
    assert [report.cause for report in desk.pass_(10 * SECOND)] == [Cause.REPEAT]


def test_news_are_no_repeat_and_the_next_one_is_counted_from_them() -> None:
    """The same: configuration, repeat_interval, "not repeated if any new alerts have fired"."""
    desk = desk_of()
    fire(desk, "a")
    desk.pass_(HOUR, step=10 * SECOND)
    fire(desk, "b")
    assert [report.cause for report in desk.pass_(2 * HOUR, step=10 * SECOND)] == [Cause.NEWS]
    assert [report.cause for report in desk.pass_(MINUTE)] == [Cause.REPEAT]


def test_a_repeat_interval_is_kept_to_the_second() -> None:
    """Different: configuration, repeat_interval, "rounded up to the next multiple of the group_interval"."""
    desk = desk_of(repeat_interval="7m")
    fire(desk, "a")
    desk.pass_(30 * SECOND)
    assert desk.pass_(7 * MINUTE - SECOND) == []
    assert len(desk.pass_(SECOND)) == 1


def test_nothing_is_repeated_sooner_than_after_group_interval() -> None:
    """The same: TestMergeAlerts and TestRepeat, with a repeat_interval that is shorter than group_interval."""
    desk = desk_of(repeat_interval="1s", quiet_after="1m", group_by=["cluster"])
    fire(desk, "a")
    desk.say()  # and is quiet in between, which nobody wants to know
    desk.pass_(30 * SECOND)
    assert desk.pass_(5 * MINUTE - SECOND) == []
    assert len(desk.pass_(SECOND)) == 1


def test_what_is_over_is_not_repeated() -> None:
    """The same: TestRepeat; TestDedupStageNeedsUpdate, "resolved alerts without firing alerts"."""
    desk = desk_of(repeat_interval="10m")
    fire(desk, "a")
    desk.pass_(MINUTE)
    resolve(desk, "a")
    assert [report.cause for report in desk.pass_(HOUR)] == [Cause.RECOVERED]


# send_resolved


def test_what_is_resolved_is_told_after_group_interval_where_that_is_wanted() -> None:
    """The same: TestDedupStageNeedsUpdate, "should update when resolve is true"; TestAggrGroup."""
    desk = desk_of()
    fire(desk, "a", "b")
    desk.pass_(MINUTE)
    resolve(desk, "a")
    assert desk.pass_(4 * MINUTE + 29 * SECOND) == []
    assert [(names(report), ended(report)) for report in desk.pass_(SECOND)] == [({"a", "b"}, {"a"})]


@pytest.mark.parametrize("resolved", [("a",), ("a", "b")])
def test_what_is_resolved_is_not_told_where_that_is_not_wanted(resolved: tuple[str, ...]) -> None:
    """The same: TestDedupStageNeedsUpdate, "shouldn't update when resolve is false"; TestRetryStageNoResolved."""
    desk = desk_of(send_recovered=False)
    fire(desk, "a", "b")
    desk.pass_(MINUTE)
    resolve(desk, *resolved)
    assert desk.pass_(HOUR) == []


def test_that_something_was_resolved_is_known_even_where_it_is_not_told() -> None:
    """The same: TestResolvedFilter, "otherwise when an alert fires again it is ambiguous"."""
    desk = desk_of(send_recovered=False)
    fire(desk, "a", "b")
    desk.pass_(10 * MINUTE)
    resolve(desk, "a")
    desk.pass_(10 * MINUTE)
    fire(desk, "a")
    assert [report.cause for report in desk.pass_(MINUTE)] == [Cause.NEWS]


def test_what_is_over_is_shown_beside_what_goes_on_until_the_incident_is_closed() -> None:
    """Different: TestAggrGroup, "it should be removed after the next batch"; TestResolvedFilter.

    There a group is what fires now. Here a card tells the whole incident, and its counts never get fewer.
    """
    desk = desk_of(send_recovered=False)
    fire(desk, "a", "b")
    desk.pass_(MINUTE)
    resolve(desk, "a")
    desk.pass_(10 * MINUTE)
    fire(desk, "c")
    [report] = desk.pass_(MINUTE)
    assert (names(report), ended(report), report.occurrences) == ({"a", "b", "c"}, {"a"}, 3)


def test_a_group_of_which_all_is_resolved_and_told_is_gone_and_the_next_waits_for_group_wait_again() -> None:
    """The same: TestAggrGroup, "expected aggregation group to be empty", once it has rested for group_interval."""
    desk = desk_of()
    fire(desk, "a")
    desk.pass_(MINUTE)
    resolve(desk, "a")
    [over] = desk.pass_(6 * MINUTE)
    assert over.state is State.RECOVERED
    desk.pass_(5 * MINUTE)
    fire(desk, "a")
    assert desk.pass_(29 * SECOND) == []
    [again] = desk.pass_(SECOND)
    assert (again.cause, again.occurrences, again.incident > over.incident) == (Cause.FIRST, 1, True)


def test_what_begins_again_within_group_interval_of_its_end_belongs_to_the_same_incident() -> None:
    """Different: TestMergeAlerts, "reactivate an alert", is a new group there, which waits for group_wait alone.

    A node that comes and goes is one incident, and is told once in group_interval.
    """
    desk = desk_of()
    fire(desk, "a")
    desk.pass_(MINUTE)
    resolve(desk, "a")
    [over] = desk.pass_(5 * MINUTE)
    fire(desk, "a")
    assert desk.pass_(4 * MINUTE) == []
    [again] = desk.pass_(MINUTE)
    assert (again.incident, again.cause, again.occurrences) == (over.incident, Cause.NEWS, 2)


def test_what_is_no_longer_refreshed_is_over_after_a_while_and_that_is_told_on_demand() -> None:
    """Different: TestResolved and `resolve_timeout` (5m), which are told as resolved.

    Prometheus refreshes what fires; an Event that does not come again proves nothing, so it is called quiet.
    """
    for send_quiet, told in ((False, []), (True, [(Cause.QUIET, End.QUIET)])):
        desk = desk_of(quiet_after="5m", send_quiet=send_quiet)
        desk.say()
        desk.pass_(MINUTE)
        reports = desk.pass_(10 * MINUTE)
        assert [(report.cause, report.lines[0].end) for report in reports] == told


# Receivers, restarts and the tree


def test_a_receiver_that_fails_holds_no_other_up_and_is_told_once_it_works() -> None:
    """The same: TestRetry."""
    desk = desk_of(receivers=["a", "b"], repeat_interval="10m")
    desk.down.add("b")
    fire(desk, "test1")
    desk.pass_(15 * MINUTE)
    assert [(receiver, report.cause) for _, receiver, report in desk.told] == [
        ("a", Cause.FIRST),
        ("a", Cause.REPEAT),
    ]
    desk.down.clear()
    desk.pass_(SECOND)
    assert [receiver for _, receiver, _ in desk.told] == ["a", "a", "b"]


def test_a_restart_tells_nothing_twice_and_every_interval_goes_on() -> None:
    """Different: TestReload, "timers are reset on reload"; here each is counted from what was told."""
    desk = desk_of()
    fire(desk, "test1")
    desk.pass_(MINUTE)
    desk.restart()
    fire(desk, "test2")
    assert desk.pass_(4 * MINUTE + 29 * SECOND) == []
    desk.restart()
    assert [names(report) for report in desk.pass_(SECOND)] == [{"test1", "test2"}]
    desk.restart()
    assert desk.pass_(HOUR, step=10 * SECOND) == []


def test_the_options_of_a_route_are_those_of_the_route_above_where_it_says_nothing() -> None:
    """The same: configuration, "inherited from its parent node if not set"."""
    desk = desk_of(routes=[{"match": {"kind": "Node"}, "group_wait": "2m"}])
    fire(desk, "a")
    desk.say()
    assert [report.event.reason for report in desk.pass_(MINUTE)] == ["BackOff"]
    assert [report.event.reason for report in desk.pass_(MINUTE)] == ["NodeNotReady"]


def test_an_event_that_two_routes_take_is_in_a_group_of_each() -> None:
    """The same: TestGroups, "matches the second and third sub-route"."""
    routes = [
        {"match": {"kind": "Node"}, "receivers": ["prod"], "continue": True},
        {"match": {"name": "kafka.*"}, "receivers": ["kafka"], "group_by": ["cluster"]},
    ]
    desk = desk_of(routes=routes)
    fire(desk, "kafka-1")
    desk.pass_(MINUTE)
    assert {(receiver, *report.group) for _, receiver, report in desk.told} == {
        ("prod", "reason"),
        ("kafka", "cluster"),
    }


def test_a_receiver_that_two_routes_name_is_told_by_the_first() -> None:
    """Different: there it is told by both. Nobody wants one event twice."""
    routes = [{"match": {"kind": "Node"}, "continue": True}, {"match": {"cluster": ".*"}, "group_by": ["cluster"]}]
    desk = desk_of(routes=routes)
    fire(desk, "a")
    assert [dict(report.group) for report in desk.pass_(MINUTE)] == [{"reason": "NodeNotReady"}]


@pytest.mark.parametrize(
    ("group_by", "groups"), [(["cluster", "reason"], 2), (["cluster"], 2), (["reason"], 1), ([], 1), (["name"], 4)]
)
def test_events_that_have_the_same_values_in_group_by_are_one_group(group_by: list[str], groups: int) -> None:
    """The same: configuration, group_by; TestBatching with none. `grouped: false` is what `['...']` is there."""
    desk = desk_of(group_by=group_by)
    for number in range(4):
        desk.say(cluster=f"edge-{number % 2}", name=f"web{number}x")
    assert len(desk.pass_(MINUTE)) == groups


def test_the_defaults_are_alertmanagers_but_for_group_wait() -> None:
    """Different: configuration, 30s, 5m and 4h. What belongs together comes within seconds from one cluster."""
    assert (Timing().group_interval, Timing().repeat_interval) == (5 * MINUTE, 4 * HOUR)
    assert Timing().group_wait == 10 * SECOND
