"""The life of incidents, from events to what receivers are told."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.consumer.desk import UPLINK, Desk
from tests.consumer.messages import arrival, event, forgotten
from tocsin_consumer.dispatch import Cause
from tocsin_consumer.errors import StoreError
from tocsin_consumer.incident import OBJECT_LIMIT, PROBLEM_LIMIT, End, State
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.records import Outcome
from tocsin_consumer.silence import Wish
from tocsin_consumer.store import Store

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.state("online")
    return desk


def test_what_comes_within_group_wait_is_told_together(desk: Desk) -> None:
    desk.say(name="api-0")
    assert desk.pass_(9 * SECOND) == []
    desk.say(name="web-0")
    [report] = desk.pass_(SECOND)
    assert (report.cause, report.state) == (Cause.FIRST, State.OPEN)
    assert {line.owner for line in report.lines} == {"api", "web"}
    assert report.group == {"cluster": "edge-1", "namespace": "production", "reason": "BackOff"}


def test_a_new_problem_of_a_group_is_told_group_interval_after_the_last_time_at_the_earliest(desk: Desk) -> None:
    desk.say(name="api-0")
    desk.pass_(MINUTE)
    desk.say(name="web-0")
    assert desk.pass_(4 * MINUTE + 9 * SECOND) == []
    [report] = desk.pass_(SECOND)
    assert (report.cause, [line.owner for line in report.lines if line.is_news]) == (Cause.NEWS, ["web"])


def test_a_new_problem_after_a_long_calm_waits_no_longer_than_group_wait(desk: Desk) -> None:
    desk.say(name="api-0")
    desk.pass_(30 * MINUTE)
    desk.say(name="web-0")
    assert desk.pass_(9 * SECOND) == []
    assert len(desk.pass_(SECOND)) == 1


def test_more_occurrences_are_no_news_and_the_next_card_counts_them(desk: Desk) -> None:
    desk.say(uid="a", count=3)
    desk.pass_(MINUTE)
    desk.say(uid="a", count=20)
    assert desk.pass_(20 * MINUTE) == []
    desk.say(name="web-0")
    [report] = desk.pass_(MINUTE)
    assert (report.occurrences, report.since_told) == (21, 18)


def test_what_goes_on_is_told_again_every_repeat_interval() -> None:
    desk = Desk({"repeat_interval": "30m"})
    desk.state("online")
    desk.say(kind="Node", reason="NodeNotReady", type="Normal", name="pi-1", ns=None)
    assert [report.cause for report in desk.pass_(2 * HOUR, step=10 * SECOND)] == [
        Cause.FIRST,
        *[Cause.REPEAT] * 3,
    ]


def test_a_node_that_is_ready_again_recovers_the_incident_wherever_its_event_would_go(desk: Desk) -> None:
    desk.say(kind="Node", reason="NodeNotReady", type="Normal", name="pi-1", ns=None)
    desk.pass_(10 * MINUTE)
    desk.say(kind="Node", reason="NodeReady", type="Normal", name="pi-1", ns=None)
    [report] = desk.pass_(MINUTE)
    assert (report.cause, report.state, report.event.reason) == (Cause.RECOVERED, State.RECOVERED, "NodeReady")
    assert report.last_at - report.began_at == 600
    assert [line.end for line in report.lines] == [End.RECOVERED]
    assert desk.pass_(6 * MINUTE) == []
    assert desk.store.live_incidents() == []


def test_a_problem_that_is_over_before_it_was_told_is_told_once_as_recovered(desk: Desk) -> None:
    desk.say(kind="Node", reason="NodeNotReady", type="Normal", name="pi-1", ns=None)
    desk.pass_(3 * SECOND)
    desk.say(kind="Node", reason="NodeReady", type="Normal", name="pi-1", ns=None)
    assert [report.cause for report in desk.pass_(HOUR)] == [Cause.RECOVERED]


def test_a_recovery_of_nothing_that_is_known_tells_nobody_anything(desk: Desk) -> None:
    desk.say(kind="Node", reason="NodeReady", type="Normal", name="pi-1", ns=None)
    assert desk.pass_(MINUTE) == []
    assert desk.pipeline.counters.needless == 1


def test_recoveries_are_not_told_where_a_route_does_not_want_them() -> None:
    desk = Desk({"send_recovered": False})
    desk.say(kind="Node", reason="NodeNotReady", type="Normal", name="pi-1", ns=None)
    desk.pass_(MINUTE)
    desk.say(kind="Node", reason="NodeReady", type="Normal", name="pi-1", ns=None)
    assert desk.pass_(10 * MINUTE) == []
    assert desk.store.live_incidents() == []


def test_one_of_two_nodes_that_is_back_is_told_while_the_other_is_still_away() -> None:
    desk = Desk({"group_by": ["cluster", "reason"]})
    for name in ("pi-1", "pi-2"):
        desk.say(kind="Node", reason="NodeNotReady", type="Normal", name=name, ns=None)
    desk.pass_(10 * MINUTE)
    desk.say(kind="Node", reason="NodeReady", type="Normal", name="pi-2", ns=None)
    [report] = desk.pass_(MINUTE)
    assert (report.cause, report.state, report.event.name) == (Cause.NEWS, State.OPEN, "pi-1")
    assert [(line.owner, line.end) for line in report.lines] == [("pi-1", None), ("pi-2", End.RECOVERED)]


def test_an_incident_whose_end_nobody_says_is_quiet_after_a_while_and_that_is_told_on_demand_only(
    desk: Desk,
) -> None:
    desk.say()
    assert len(desk.pass_(89 * MINUTE, step=10 * SECOND)) == 1
    assert desk.pipeline.board.states()["open"] == 1
    assert desk.pass_(10 * MINUTE) == []
    assert desk.store.live_incidents() == []
    told = Desk({"send_quiet": True, "quiet_after": "10m"})
    told.state("online")
    told.say()
    assert [report.cause for report in told.pass_(11 * MINUTE)] == [Cause.FIRST, Cause.QUIET]


def test_nothing_becomes_quiet_while_its_cluster_is_away(desk: Desk) -> None:
    desk.say()
    desk.pass_(MINUTE)
    desk.state("offline")
    desk.pass_(3 * HOUR, step=10 * SECOND)
    assert desk.pipeline.board.states()["open"] >= 1
    desk.state("online", boot=2)
    desk.pass_(4 * MINUTE, step=10 * SECOND)
    assert desk.pipeline.board.states()["open"] >= 1
    desk.pass_(30 * MINUTE, step=10 * SECOND)
    assert desk.store.live_incidents() == []


def test_a_link_that_drops_now_and_then_keeps_nothing_open(desk: Desk) -> None:
    desk.say()
    desk.pass_(MINUTE)
    for _ in range(3):
        desk.pass_(49 * MINUTE, step=10 * SECOND)
        desk.state("offline")
        desk.pass_(MINUTE)
        desk.state("online")
    assert [one for one in desk.store.live_incidents() if ("reason", "BackOff") in one.group] == []


def test_an_event_and_the_retirement_of_its_cluster_that_come_together_leave_nothing_open(desk: Desk) -> None:
    desk.pipeline.process([arrival(event(**NODE_AWAY, uid="a"), received_at=desk.clock.now), forgotten()])
    desk.pass_(HOUR, step=10 * SECOND)
    assert desk.store.live_incidents() == []


def test_a_receiver_that_a_route_tells_from_now_on_is_told_of_what_goes_on() -> None:
    desk = Desk()
    desk.state("online")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["ops", "boss"]})
    assert [report.cause for report in desk.pass_(MINUTE)] == [Cause.FIRST]
    desk.reroute({"receivers": ["boss"]})
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    desk.pass_(10 * MINUTE)
    assert [(receiver, report.cause) for _, receiver, report in desk.told] == [
        ("ops", Cause.FIRST),
        ("boss", Cause.FIRST),
        ("boss", Cause.RECOVERED),
    ]


def test_a_clock_that_is_set_back_delays_nothing_that_is_to_be_told_and_keeps_nothing_open(desk: Desk) -> None:
    desk.say()
    desk.pass_(2 * SECOND)
    desk.clock.now -= timedelta(days=30)
    assert len(desk.pass_(MINUTE)) == 1
    desk.state("online")
    desk.pass_(100 * MINUTE, step=10 * SECOND)
    assert desk.store.live_incidents() == []


def test_a_cluster_that_is_retired_is_not_told_to_be_offline_for_ever(desk: Desk) -> None:
    desk.state("offline")
    assert [report.event.reason for report in desk.pass_(20 * MINUTE)] == ["ClusterOffline"]
    desk.pipeline.process([forgotten()])
    assert desk.pass_(9 * HOUR, step=10 * SECOND) == []
    assert desk.store.live_incidents() == []


def test_a_problem_that_begins_again_soon_belongs_to_the_same_incident_and_is_news(desk: Desk) -> None:
    desk.say(kind="Node", reason="NodeNotReady", type="Normal", name="pi-1", ns=None)
    desk.pass_(MINUTE)
    desk.say(kind="Node", reason="NodeReady", type="Normal", name="pi-1", ns=None)
    desk.pass_(5 * MINUTE)
    desk.say(kind="Node", reason="NodeNotReady", type="Normal", name="pi-1", ns=None)
    [report] = desk.pass_(5 * MINUTE)
    assert (report.incident, report.cause, report.occurrences) == (1, Cause.NEWS, 2)


def test_what_begins_again_is_of_who_has_it_now_and_since_now(desk: Desk) -> None:
    unscheduled = {"reason": "FailedScheduling", "ns": "production"}
    desk.say(uid="other", name="db-0", **unscheduled)
    desk.say(name="api-7c9f8d6b5-x2x4q", **unscheduled)
    for count in (2, 3):
        desk.pass_(60 * MINUTE, step=10 * SECOND)
        desk.say(uid="other", count=count, name="db-0", **unscheduled)
    began_at = int(desk.clock.now.timestamp())
    desk.say(name="api-7c9f8d6b5-bb7zk", **unscheduled)
    [report] = desk.pass_(MINUTE)
    assert [
        (line.owner, line.began_at, line.objects, line.occurrences) for line in report.lines if line.is_news
    ] == [("api", began_at, ("api-7c9f8d6b5-bb7zk",), 2)]
    desk.say(type="Normal", reason="Scheduled", name="api-7c9f8d6b5-bb7zk")
    [report] = desk.pass_(6 * MINUTE)
    assert [line.end for line in report.lines if line.owner == "api"] == [End.RECOVERED]


def test_a_receiver_that_a_later_event_is_for_is_told_of_the_incident_as_well() -> None:
    routes = [
        {"match": {"kind": "Pod"}, "receivers": ["a"], "continue": True},
        {"match": {"type": "Warning"}, "receivers": ["a", "b"], "group_by": ["cluster"]},
    ]
    desk = Desk({"routes": routes})
    desk.say()
    desk.pass_(MINUTE)
    desk.say(kind="Node", reason="Rebooted", name="pi-1", ns=None)
    desk.pass_(MINUTE)
    assert [receiver for _, receiver, report in desk.told if report.group == {"cluster": "edge-1"}] == ["b", "a"]


def test_a_restart_neither_repeats_nor_forgets_a_notification(desk: Desk) -> None:
    desk.say(name="api-0")
    desk.pass_(5 * SECOND)
    desk.restart()
    assert len(desk.pass_(5 * SECOND)) == 1
    desk.restart()
    assert desk.pass_(30 * MINUTE) == []
    desk.say(name="web-0")
    desk.restart()
    assert [report.cause for report in desk.pass_(MINUTE)] == [Cause.NEWS]


def test_a_receiver_that_was_down_is_told_once_what_is_the_case_now() -> None:
    desk = Desk({"receivers": ["ops", "boss"]})
    desk.down.add("boss")
    for number in range(5):
        desk.say(name=f"api{number}-0", count=2)
        desk.pass_(6 * MINUTE)
    assert [receiver for _, receiver, _ in desk.told] == ["ops"] * 5
    desk.down.clear()
    [report] = desk.pass_(SECOND)
    assert (len(report.lines), report.occurrences, report.since_told) == (5, 10, 10)
    assert desk.pass_(10 * MINUTE) == []


def test_ten_replicas_of_one_deployment_are_one_line(desk: Desk) -> None:
    for letter in "bcdfghjklm":
        desk.say(name=f"api-7c9f6d5b8-x2x7{letter}")
    [report] = desk.pass_(MINUTE)
    [line] = report.lines
    assert (line.kind, line.owner, len(line.objects), line.has_more) == ("Deployment", "api", 10, False)


def test_of_more_objects_than_are_told_apart_it_is_said_that_there_are_more(desk: Desk) -> None:
    for number in range(OBJECT_LIMIT + 1):
        desk.say(name=f"db-{number}")
    [report] = desk.pass_(MINUTE)
    assert (report.objects, report.has_more, report.occurrences) == (OBJECT_LIMIT, True, OBJECT_LIMIT + 1)


def test_what_is_beyond_what_an_incident_tells_apart_is_counted(desk: Desk) -> None:
    for number in range(PROBLEM_LIMIT + 3):
        desk.say(kind="Deployment", name=f"app{number}x")
    [backoff] = desk.pass_(MINUTE)
    assert (len(backoff.lines), backoff.beyond, backoff.occurrences) == (PROBLEM_LIMIT, 3, PROBLEM_LIMIT + 3)
    assert backoff.has_more


def test_a_notice_of_the_turn_in_which_its_incident_is_closed_opens_another() -> None:
    desk = Desk({"group_by": ["kind"], "quiet_after": "1m", "group_interval": "1m"})
    desk.state("online")
    desk.say(cluster="edge-2", kind="Cluster", name="other", ns=None)
    assert len(desk.pass_(20 * SECOND)) == 1
    desk.state("offline")
    desk.pass_(5 * MINUTE, step=5 * MINUTE)
    assert [one.id for one in desk.store.live_incidents()] == [2]
    assert [report.event.reason for report in desk.pass_(MINUTE)] == ["ClusterOffline"]


def test_events_that_an_overlapping_route_takes_as_well_are_told_to_a_receiver_once() -> None:
    routes = [
        {"match": {"kind": "Pod"}, "continue": True},
        {"match": {"type": "Warning"}, "receivers": ["ops", "b"]},
    ]
    desk = Desk({"routes": routes})
    desk.say()
    desk.pass_(MINUTE)
    assert sorted(receiver for _, receiver, _ in desk.told) == ["b", "ops"]


def test_a_count_beyond_all_measure_stays_a_number(desk: Desk) -> None:
    for _ in range(2):
        desk.say(count=2**63 - 1)
    [report] = desk.pass_(MINUTE)
    assert report.occurrences == 2**53


NODE_AWAY = {"kind": "Node", "reason": "NodeNotReady", "type": "Normal", "name": "pi-1", "ns": None}


def test_what_a_node_that_is_not_ready_explains_is_not_told_and_told_if_it_outlives_that() -> None:
    desk = Desk(mutes=Mutes(DEFAULT_RULES))
    desk.state("online")
    desk.say(name="api-0", node="pi-1")
    desk.say(**NODE_AWAY)
    [report] = desk.pass_(10 * MINUTE)
    assert report.event.reason == "NodeNotReady"
    assert desk.pipeline.board.count_muted() == 1
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    recovered, outlived = desk.pass_(10 * MINUTE)
    assert (recovered.cause, outlived.event.name) == (Cause.RECOVERED, "api-0")


def test_what_inhibits_does_so_even_where_nobody_is_told_of_it() -> None:
    routes = [{"match": {"kind": "Node"}, "receivers": []}]
    desk = Desk({"routes": routes}, mutes=Mutes(DEFAULT_RULES))
    desk.say(**NODE_AWAY)
    desk.say(node="pi-1")
    assert desk.pass_(10 * MINUTE) == []
    desk.restart()
    assert desk.pass_(10 * MINUTE) == []


def test_what_was_told_before_its_cluster_went_offline_is_not_told_anew_when_it_is_back() -> None:
    desk = Desk(mutes=Mutes(DEFAULT_RULES))
    desk.state("online")
    desk.say()
    desk.pass_(MINUTE)
    desk.state("offline")
    assert [report.event.reason for report in desk.pass_(20 * MINUTE)] == ["ClusterOffline"]
    desk.state("online", boot=2)
    assert [report.event.reason for report in desk.pass_(20 * MINUTE)] == ["ClusterOnline"]


def silence(desk: Desk, length: timedelta) -> None:
    wish = Wish(MatchSettings(reason="BackOff"), desk.clock.now, desk.clock.now + length, "ops", "I know")
    desk.store.add_silence(wish, desk.clock.now)
    desk.pipeline._mutes.renew(desk.store.silences(desk.clock.now))


def test_a_silenced_incident_is_recorded_and_told_as_soon_as_it_has_outlived_its_silence(desk: Desk) -> None:
    silence(desk, 30 * MINUTE)
    desk.say(uid="a")
    assert desk.pass_(29 * MINUTE) == []
    [known] = desk.store.live_incidents()
    assert [str(problem.muted_by)[:7] for problem in known.problems.values()] == ["silence"]
    desk.say(uid="a", count=5)
    [report] = desk.pass_(MINUTE + 10 * SECOND)
    assert (report.cause, report.occurrences) == (Cause.FIRST, 5)


def test_what_is_over_before_its_silence_is_never_told(desk: Desk) -> None:
    silence(desk, 2 * HOUR)
    desk.say()
    assert desk.pass_(125 * MINUTE, step=10 * SECOND) == []
    assert desk.store.live_incidents() == []


def test_a_silence_that_another_process_adds_or_ends_is_heeded_at_once(tmp_path: Path) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path}/tocsin.db")
    desk.pipeline.decide(UPLINK)
    other = Store(f"sqlite:///{tmp_path}/tocsin.db")
    wish = Wish(MatchSettings(reason="BackOff"), desk.clock.now, desk.clock.now + HOUR, "ops", "I know")
    added = other.add_silence(wish, desk.clock.now)
    desk.say()
    assert desk.pass_(MINUTE) == []
    other.expire_silence(added.id, desk.clock.now)
    assert len(desk.pass_(11 * SECOND)) == 1
    other.close()


def test_a_silence_that_comes_while_a_receiver_is_down_loses_nothing_that_outlives_it() -> None:
    desk = Desk({"group_by": ["cluster"]})
    desk.state("online")
    desk.say(name="api-0")
    desk.say(reason="Failed")
    desk.down.add("ops")
    desk.pass_(15 * SECOND)
    silence(desk, 20 * MINUTE)
    desk.pass_(10 * MINUTE)
    desk.down.clear()
    [report] = desk.pass_(SECOND)
    assert [line.reason for line in report.lines] == ["Failed"]
    desk.say(uid="late", reason="Failed")
    [report] = desk.pass_(20 * MINUTE)
    assert [line.reason for line in report.lines if line.is_news] == ["BackOff"]


def settle(desk: Desk, state: Literal["pending", "dead"]) -> None:
    """Let what waits for the receiver be tried, and fail."""
    [delivery] = desk.store.due("ops", desk.clock.now, limit=1)
    now = desk.clock.now
    desk.store.settle([Outcome(delivery, state, now, reason="no route to host", due_at=now)])


def test_a_try_that_failed_has_told_nothing_and_one_that_was_given_up_counts_as_told(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say(count=2)
    desk.pass_(10 * SECOND)
    settle(desk, "pending")
    assert desk.store.recall([1], desk.clock.now).told == {}
    settle(desk, "dead")
    desk.say(name="web-0")
    desk.down.clear()
    [report] = desk.pass_(10 * MINUTE)
    assert (report.cause, report.occurrences, report.since_told) == (Cause.NEWS, 3, 1)


def test_a_receiver_that_is_down_does_not_delay_what_another_is_told() -> None:
    desk = Desk({"receivers": ["ops", "boss"]})
    desk.down.add("boss")
    desk.say(name="api-0")
    desk.pass_(285 * SECOND)
    desk.say(name="web-0")
    assert len(desk.pass_(25 * SECOND)) == 1


def test_an_end_is_told_to_who_was_not_told_of_the_beginning_whatever_others_know() -> None:
    desk = Desk({"receivers": ["ops", "boss"], "send_recovered": False, "group_by": ["cluster"]})
    desk.down.add("boss")
    desk.say()
    desk.pass_(250 * SECOND)
    desk.down.clear()
    desk.pass_(SECOND)
    desk.say(**NODE_AWAY)
    assert len(desk.pass_(MINUTE)) == 1
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    assert [report.lines[-1].end for report in desk.pass_(20 * MINUTE)] == [End.RECOVERED]
    assert [receiver for _, receiver, _ in desk.told] == ["ops", "boss", "ops", "boss"]


def test_an_end_is_not_told_where_a_route_does_not_want_it_though_the_beginning_came_with_something_else() -> None:
    desk = Desk({"send_recovered": False, "group_by": ["cluster"]})
    desk.down.add("ops")
    desk.say()
    desk.pass_(15 * SECOND)
    desk.say(**NODE_AWAY)
    desk.down.clear()
    [report] = desk.pass_(SECOND)
    assert len(report.lines) == 2
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    assert desk.pass_(20 * MINUTE) == []


def test_a_commit_that_was_done_though_it_failed_is_not_done_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.store.record

    def record(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise StoreError("disk I/O error")

    monkeypatch.setattr(desk.store, "record", record)
    with pytest.raises(StoreError):
        desk.say(uid="a", count=3)
    monkeypatch.undo()
    desk.say(uid="a", count=3)
    desk.say(reason="Failed")
    told = desk.pass_(MINUTE)
    assert {(report.group["reason"], report.occurrences) for report in told} == {("BackOff", 3), ("Failed", 1)}


def test_two_routes_that_match_the_same_have_incidents_and_timings_of_their_own() -> None:
    routes = [
        {"match": {"kind": "Pod"}, "receivers": ["a"], "continue": True, "group_wait": "30s"},
        {"match": {"kind": "Pod"}, "receivers": ["b"]},
    ]
    desk = Desk({"routes": routes})
    desk.say(count=3)
    desk.pass_(MINUTE)
    assert [(receiver, report.occurrences) for _, receiver, report in desk.told] == [("b", 3), ("a", 3)]


def test_a_node_that_comes_and_goes_all_the_time_is_told_and_not_waited_for_until_it_rests() -> None:
    desk = Desk({"group_interval": "1m"})
    desk.state("online")
    for _ in range(20):
        for reason in ("NodeNotReady", "NodeReady"):
            desk.say(**(NODE_AWAY | {"reason": reason}))
            desk.pass_(5 * SECOND)
    times = [at for at, _, _ in desk.told]
    assert len(times) == 4
    assert all(MINUTE <= later - earlier <= 70 * SECOND for earlier, later in pairwise(times))


def test_what_has_begun_again_before_its_recovery_could_be_told_is_told_as_news(desk: Desk) -> None:
    desk.say(**NODE_AWAY)
    desk.pass_(10 * MINUTE)
    desk.down.add("ops")
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    desk.pass_(MINUTE)
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.down.clear()
    [report] = desk.pass_(SECOND)
    assert (report.cause, report.state) == (Cause.NEWS, State.OPEN)


def test_what_fails_every_hour_is_one_problem_that_is_told_every_repeat_interval(desk: Desk) -> None:
    desk.state("online")
    for hour in range(9):
        number = 29923806 + 60 * hour
        desk.say(kind="Job", name=f"export-{number}", reason="BackoffLimitExceeded", uid=f"job-{hour}")
        desk.pass_(HOUR, step=10 * SECOND)
        desk.state("online")
    assert [report.cause for _, _, report in desk.told] == [Cause.FIRST, Cause.REPEAT, Cause.REPEAT]
