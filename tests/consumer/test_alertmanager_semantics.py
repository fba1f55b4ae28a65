"""What Alertmanager's documentation and its own tests promise, case by case, with events in the place of alerts.

Each test names its source: a page below prometheus.io/docs/alerting/latest, or a test of prometheus/alertmanager.
Where ours differs on purpose, the name says what it does instead, and a comment says why.
"""

from datetime import timedelta
from typing import Any

import pytest

from tests.consumer.desk import Desk
from tocsin_consumer.dispatch import Cause
from tocsin_consumer.incident import End, State
from tocsin_consumer.inhibit import InhibitSettings
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.report import Report
from tocsin_consumer.silence import Wish

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NODE = {"kind": "Node", "type": "Normal", "ns": None}


def alert(desk: Desk, *names: str) -> None:
    """Let a problem begin that has an end: a node is not ready."""
    for name in names:
        desk.say(**NODE, name=name, reason="NodeNotReady")


def resolve(desk: Desk, *names: str) -> None:
    for name in names:
        desk.say(**NODE, name=name, reason="NodeReady")


def firing(report: Report) -> set[str]:
    return {line.owner for line in report.lines if line.end is None}


def resolved(report: Report) -> set[str]:
    return {line.owner for line in report.lines if line.end is End.RECOVERED}


def desk_with(**route: Any) -> Desk:
    """Return a desk with one group and the timing of the acceptance tests, a minute for each of their seconds."""
    timing = {"group_wait": "1m", "group_interval": "1m", "repeat_interval": "5m", "quiet_after": "2d"}
    desk = Desk({"group_by": [], **timing, **route})
    desk.state("online")
    return desk


def silence(desk: Desk, length: timedelta, **match: str) -> None:
    now = desk.clock.now
    desk.store.add_silence(Wish(MatchSettings(**match), now, now + length, "ops", "known"), now)
    desk.pipeline._mutes.renew(desk.store.silences(now))
    desk.pipeline.board.look_again()


# group_by


def test_hundreds_of_instances_that_cannot_reach_something_are_one_notification() -> None:
    """Alertmanager, "Grouping": a single notification, in which the affected instances can still be seen."""
    desk = Desk({"group_by": ["cluster", "reason"]})
    for number in range(100):
        desk.say(name=f"service{number}x", reason="Unhealthy")
    [report] = desk.pass_(MINUTE)
    assert len(report.lines) == 100


def test_what_differs_in_a_field_of_group_by_is_notified_apart() -> None:
    """Configuration, "route": cluster=A and alertname=LatencyHigh are one group; TestGroupLabels."""
    desk = Desk({"group_by": ["cluster", "reason"]})
    for cluster in ("a", "b"):
        desk.say(cluster=cluster, name="api-0")
        desk.say(cluster=cluster, name="web-0")
    groups = [report.group for report in desk.pass_(MINUTE)]
    assert sorted(group["cluster"] for group in groups) == ["a", "b"]


def test_without_group_by_all_is_one_group() -> None:
    """send_test.go, TestBatching: `group_by: []`."""
    desk = Desk({"group_by": []})
    desk.say(cluster="a", reason="Failed")
    desk.say(cluster="b", reason="BackOff", name="web-0")
    [report] = desk.pass_(MINUTE)
    assert (report.group, len(report.lines)) == ({}, 2)


def test_grouped_by_every_field_that_tells_problems_apart_each_is_a_group_of_its_own() -> None:
    """Configuration, "route": `...` aggregates by all labels (dispatch_test.go, TestGroupByAllLabels).

    There is no such value here: a receiver with `grouped: false` is told of each event as it comes.
    """
    desk = Desk({"group_by": ["cluster", "namespace", "kind", "name", "reason"]})
    for name in ("api-0", "web-0"):
        for reason in ("Failed", "BackOff"):
            desk.say(name=name, reason=reason)
    assert [len(report.lines) for report in desk.pass_(MINUTE)] == [1] * 4


def test_a_field_that_an_event_lacks_is_empty_in_its_group() -> None:
    """Configuration, "inhibit_rule", and dispatch_test.go, TestGroupLabels: a missing label is an empty one."""
    desk = Desk({"group_by": ["node"]})
    desk.say()
    [report] = desk.pass_(MINUTE)
    assert report.group == {"node": ""}


# group_wait


def test_a_new_group_is_notified_group_wait_after_its_first_alert_with_what_came_meanwhile() -> None:
    """send_test.go, TestBatching: alerts at 1.1 and 1.7 are notified together at 2.1."""
    desk = desk_with()
    alert(desk, "test1")
    assert desk.pass_(40 * SECOND) == []
    alert(desk, "test5")
    assert desk.pass_(19 * SECOND) == []
    [report] = desk.pass_(SECOND)
    assert firing(report) == {"test1", "test5"}


def test_group_wait_lets_an_inhibiting_alert_arrive() -> None:
    """Configuration, "route": group_wait "allows to wait for an inhibiting alert to arrive"."""
    rule = InhibitSettings(source=MatchSettings(reason="NodeNotReady"), target=MatchSettings(kind="Pod"))
    desk = Desk({"group_by": []}, mutes=Mutes([rule]))
    desk.say()
    desk.pass_(9 * SECOND)
    alert(desk, "pi-1")
    [report] = desk.pass_(MINUTE)
    assert [line.kind for line in report.lines] == ["Node"]


def test_an_event_that_is_old_when_it_comes_waits_for_group_wait_all_the_same() -> None:
    """dispatch_test.go, TestAggrGroup: an alert whose start is longer ago than group_wait is flushed at once."""
    # An alert says since when it fires. After an outage all events that were held back come old and at once; what
    # belongs together among them is only known a while later.
    desk = desk_with()
    began = int(desk.clock.now.timestamp()) - 3600
    desk.say(first=began, last=began)
    assert desk.pass_(59 * SECOND) == []
    assert len(desk.pass_(SECOND)) == 1


# group_interval


def test_new_alerts_of_a_group_are_notified_group_interval_after_the_last_time_with_all_that_fires() -> None:
    """Configuration, "route", group_interval; dispatch_test.go, TestAggrGroup."""
    desk = desk_with(group_interval="5m")
    alert(desk, "test1")
    desk.pass_(MINUTE)
    alert(desk, "test2")
    assert desk.pass_(5 * MINUTE - SECOND) == []
    [report] = desk.pass_(SECOND)
    assert firing(report) == {"test1", "test2"}


def test_a_new_alert_after_a_long_calm_waits_for_group_wait_and_not_for_the_next_tick() -> None:
    """dispatch.go: a group is flushed every group_interval, so that an alert waits for up to one."""
    # Ticks of a group that nobody can see make a delay that nobody can explain. Since the last notification at
    # least one group_interval has gone by in either case.
    desk = desk_with(group_interval="30m", repeat_interval="7d")
    alert(desk, "test1")
    desk.pass_(47 * MINUTE)
    alert(desk, "test2")
    [report] = desk.pass_(MINUTE)
    assert (report.cause, firing(report)) == (Cause.NEWS, {"test1", "test2"})


def test_the_same_alerts_again_are_no_news() -> None:
    """notify_test.go, TestDedupStageNeedsUpdate: identical sets of alerts do not update before repeat_interval.

    Alerts are sent again while they fire; an Event grows instead, and the next notification counts that.
    """
    desk = desk_with(repeat_interval="1h")
    desk.say(uid="a")
    desk.pass_(MINUTE)
    for count in range(2, 30):
        desk.say(uid="a", count=count)
        assert desk.pass_(MINUTE) == []


# repeat_interval


def test_without_changes_nothing_is_notified_until_repeat_interval_is_over() -> None:
    """send_test.go, TestBatching; TestDedupStageNeedsUpdate: identical sets update after repeat_interval."""
    desk = desk_with()
    alert(desk, "test1")
    [first] = desk.pass_(MINUTE)
    assert desk.pass_(5 * MINUTE - SECOND) == []
    [again] = desk.pass_(SECOND)
    assert (again.cause, firing(again)) == (Cause.REPEAT, firing(first))


def test_a_change_begins_repeat_interval_anew() -> None:
    """send_test.go, TestBatching: notified at 2.1, changed at 4.1, repeated at 9.1."""
    desk = desk_with()
    alert(desk, "test1")
    desk.pass_(3 * MINUTE)
    alert(desk, "test2")
    assert len(desk.pass_(MINUTE)) == 1
    assert desk.pass_(5 * MINUTE - SECOND) == []
    assert [report.cause for report in desk.pass_(SECOND)] == [Cause.REPEAT]


def test_repeat_interval_counts_from_the_last_notification_that_was_successful() -> None:
    """Configuration, "route", repeat_interval: "if it has already been sent successfully"; TestRetry."""
    desk = desk_with(receivers=["fine", "failing"])
    desk.down.add("failing")
    alert(desk, "test1")
    desk.pass_(4 * MINUTE)
    desk.down.clear()
    desk.pass_(7 * MINUTE)
    times = {name: [at for at, to, _ in desk.told if to == name] for name in ("fine", "failing")}
    assert [(at - desk.clock.now) // SECOND for at in times["fine"]] == [-600, -300, 0]
    assert [(at - desk.clock.now) // SECOND for at in times["failing"]] == [-419, -119]


def test_a_repeat_interval_that_is_no_multiple_of_group_interval_is_kept_to_the_second() -> None:
    """Configuration, "route", repeat_interval: it is rounded up to a multiple of group_interval."""
    # There are no ticks to round to.
    desk = desk_with(group_interval="5m", repeat_interval="7m")
    alert(desk, "test1")
    desk.pass_(MINUTE)
    assert [report.cause for report in desk.pass_(7 * MINUTE)] == [Cause.REPEAT]


def test_a_repeat_interval_shorter_than_group_interval_is_as_long_as_that() -> None:
    """send_test.go, TestRepeat: with a repeat_interval of 1ms, it repeats every group_interval."""
    desk = desk_with(group_interval="5m", repeat_interval="1s", quiet_after="2m", group_by=["cluster"])
    alert(desk, "test1")
    desk.say()  # which goes quiet in between, and nobody wants to know that
    desk.pass_(MINUTE)
    assert desk.pass_(5 * MINUTE - SECOND) == []
    assert [report.cause for report in desk.pass_(SECOND)] == [Cause.REPEAT]


# send_resolved


def test_that_all_is_resolved_is_notified_once_and_not_repeated() -> None:
    """send_test.go, TestResolved; TestDedupStageNeedsUpdate: sets of resolved alerts do not update after that."""
    desk = desk_with()
    alert(desk, "v1", "v2", "v3")
    desk.pass_(2 * MINUTE)
    resolve(desk, "v1", "v2", "v3")
    [report] = desk.pass_(MINUTE)
    assert (report.state, resolved(report)) == (State.RECOVERED, {"v1", "v2", "v3"})
    assert desk.pass_(20 * MINUTE) == []


def test_one_that_is_resolved_among_others_is_notified_where_resolved_ones_are_sent() -> None:
    """TestDedupStageNeedsUpdate: different sets of resolved alerts update when resolve is true."""
    desk = desk_with()
    alert(desk, "v1", "v2")
    desk.pass_(2 * MINUTE)
    resolve(desk, "v1")
    [report] = desk.pass_(MINUTE)
    assert (firing(report), resolved(report)) == ({"v2"}, {"v1"})


@pytest.mark.parametrize("ended", [("v1",), ("v1", "v2")])
def test_what_is_resolved_is_not_notified_where_resolved_ones_are_not_sent(ended: tuple[str, ...]) -> None:
    """TestDedupStageNeedsUpdate and send_test.go, TestResolvedFilter: with send_resolved false."""
    desk = desk_with(send_recovered=False, repeat_interval="1h")
    alert(desk, "v1", "v2")
    desk.pass_(2 * MINUTE)
    resolve(desk, *ended)
    assert desk.pass_(30 * MINUTE) == []


def test_an_alert_that_resolved_unsent_and_fires_again_is_notified() -> None:
    """send_test.go, TestResolvedFilter: a resolved alert that is not sent still counts when it fires again."""
    desk = desk_with(send_recovered=False)
    alert(desk, "v1", "v2")
    desk.pass_(2 * MINUTE)
    resolve(desk, "v1")
    desk.pass_(2 * MINUTE)
    alert(desk, "v1")
    [report] = desk.pass_(MINUTE)
    assert [line.owner for line in report.lines if line.is_news] == ["v1"]


def test_what_ended_and_began_again_between_two_notifications_is_notified() -> None:
    """TestDedupStageNeedsUpdate: sets that are identical again do not update."""
    # A node that flaps is worse than one that is away, and that it came back in between is what people ask.
    desk = desk_with(group_interval="5m", repeat_interval="1h")
    alert(desk, "v1")
    desk.pass_(MINUTE)
    resolve(desk, "v1")
    desk.pass_(MINUTE)
    alert(desk, "v1")
    [report] = desk.pass_(5 * MINUTE)
    assert (report.cause, report.since_told) == (Cause.NEWS, 1)


def test_what_is_resolved_before_it_was_notified_is_notified_once_as_resolved() -> None:
    """TestDedupStageNeedsUpdate: without an entry, there is no update if no alert fires."""
    # An alert that is over within group_wait was a wrong threshold; an Event is something that has happened.
    desk = desk_with(send_recovered=False)
    alert(desk, "v1")
    desk.pass_(30 * SECOND)
    resolve(desk, "v1")
    assert [resolved(report) for report in desk.pass_(20 * MINUTE)] == [{"v1"}]


def test_an_alert_that_is_not_sent_again_is_over_without_a_word_unless_that_is_wanted() -> None:
    """Configuration, "global", resolve_timeout: an alert that was not updated for so long counts as resolved."""
    # Events have no end: that nothing more is heard of one says little, and to tell that doubles the messages.
    desk = Desk({"quiet_after": "5m"})
    desk.state("online")
    desk.say()
    assert [report.cause for report in desk.pass_(30 * MINUTE)] == [Cause.FIRST]
    wanted = Desk({"quiet_after": "5m", "send_quiet": True})
    wanted.state("online")
    wanted.say()
    assert [report.state for report in wanted.pass_(30 * MINUTE)] == [State.OPEN, State.QUIET]


def test_a_resolved_alert_leaves_its_group_once_that_was_notified_and_group_interval_is_over() -> None:
    """dispatch_test.go, TestAggrGroup: resolved alerts are removed after a flush, and then the group is empty."""
    desk = desk_with()
    alert(desk, "v1")
    desk.pass_(MINUTE)
    resolve(desk, "v1")
    desk.pass_(3 * MINUTE)
    assert desk.store.live_incidents() == []
    alert(desk, "v1")
    [report] = desk.pass_(MINUTE)
    assert (report.cause, report.occurrences) == (Cause.FIRST, 1)


# routes


def test_the_first_child_that_matches_takes_an_alert_and_with_continue_the_next_does_as_well() -> None:
    """Configuration, "route": continue; options that a node does not set are those above it."""
    routes = [
        {"match": {"reason": "Failed"}, "receivers": ["a"], "continue": True},
        {"match": {"kind": "Pod"}, "receivers": ["b"], "group_wait": "30s"},
        {"match": {"kind": "Pod"}, "receivers": ["c"]},
    ]
    desk = Desk({"routes": routes})
    desk.say(reason="Failed")
    start = desk.clock.now
    desk.pass_(MINUTE)
    assert [((at - start) // SECOND, receiver) for at, receiver, _ in desk.told] == [(10, "a"), (30, "b")]


# restarts


def test_after_a_restart_nothing_is_notified_twice_and_the_intervals_go_on() -> None:
    """send_test.go, TestReload: timers begin anew with a reload, and what was notified is not notified again."""
    # The times are kept, so that the interval counts from the last notification, however often we restart.
    desk = desk_with(group_interval="6m")
    alert(desk, "test1")
    assert len(desk.pass_(MINUTE)) == 1
    desk.pass_(MINUTE)
    desk.restart()
    alert(desk, "test2")
    assert desk.pass_(5 * MINUTE - SECOND) == []
    [report] = desk.pass_(SECOND)
    assert firing(report) == {"test1", "test2"}


# inhibition and silences


def test_an_alert_that_a_cluster_is_unreachable_mutes_all_others_of_that_cluster() -> None:
    """Alertmanager, "Inhibition": the example of a cluster that cannot be reached."""
    rule = InhibitSettings(source=MatchSettings(reason="NodeNotReady"), target=MatchSettings(kind="Pod"))
    desk = Desk({"group_by": ["cluster"]}, mutes=Mutes([rule]))
    desk.say(**NODE, name="pi-1", cluster="a", reason="NodeNotReady")
    desk.say(cluster="a")
    desk.say(cluster="b")
    told = desk.pass_(MINUTE)
    assert {(report.group["cluster"], *(line.kind for line in report.lines)) for report in told} == {
        ("a", "Node"),
        ("b", "StatefulSet"),
    }


def test_what_was_inhibited_is_notified_when_its_source_is_resolved() -> None:
    """inhibit_test.go, TestInhibiting: with the source resolved, the target is notified."""
    rule = InhibitSettings(source=MatchSettings(reason="NodeNotReady"), target=MatchSettings(kind="Pod"))
    desk = Desk({"group_by": ["reason"], "group_interval": "1m"}, mutes=Mutes([rule]))
    alert(desk, "pi-1")
    desk.say()
    assert len(desk.pass_(10 * MINUTE)) == 1
    resolve(desk, "pi-1")
    reasons = [report.event.reason for report in desk.pass_(3 * MINUTE)]
    assert sorted(reasons) == ["BackOff", "NodeReady"]


def test_a_source_that_is_silenced_inhibits_all_the_same() -> None:
    """inhibit_test.go, TestAlwaysInhibiting: a source inhibits whatever becomes of its own notification."""
    rule = InhibitSettings(source=MatchSettings(reason="NodeNotReady"), target=MatchSettings(kind="Pod"))
    desk = Desk({"group_by": []}, mutes=Mutes([rule]))
    silence(desk, HOUR, reason="NodeNotReady")
    alert(desk, "pi-1")
    desk.say()
    assert desk.pass_(30 * MINUTE) == []


def test_a_silence_mutes_what_matches_it_and_nothing_else() -> None:
    """silence_test.go, TestSilencing: of two alerts, the one that is silenced is left out of the notification."""
    desk = desk_with()
    alert(desk, "test1", "test2")
    desk.pass_(MINUTE)
    silence(desk, HOUR, name="test1")
    [report] = desk.pass_(5 * MINUTE)
    assert (firing(report), report.muted) == ({"test2"}, 1)


def test_what_fires_when_its_silence_ends_is_notified_again() -> None:
    """silence_test.go, TestSilencing and TestSilenceDelete: after the silence, notifications go on."""
    desk = desk_with(repeat_interval="10m")
    alert(desk, "test1")
    desk.pass_(MINUTE)
    silence(desk, HOUR, name="test1")
    assert desk.pass_(HOUR - SECOND) == []
    assert [report.cause for report in desk.pass_(2 * MINUTE)] == [Cause.REPEAT]
