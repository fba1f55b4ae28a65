"""What becomes of incidents when something changes beside them: the configuration, and what mutes them."""

from datetime import timedelta
from typing import Literal

import pytest

from tests.consumer.desk import Desk
from tocsin_consumer.dead_letter import Search
from tocsin_consumer.dispatch import Cause
from tocsin_consumer.incident import OBJECT_LIMIT, PROBLEM_LIMIT, End, State
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.records import Outcome
from tocsin_consumer.silence import Silence, Wish
from tocsin_consumer.storm_rows import BACKLOG_LIMIT

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
STATES: tuple[Literal["pending", "dead"], ...] = ("pending", "dead")
NODE_AWAY = {
    "kind": "Node",
    "reason": "NodeNotReady",
    "type": "Normal",
    "name": "pi-1",
    "ns": None,
    "node": "pi-1",
}


@pytest.fixture
def desk() -> Desk:
    desk = Desk(mutes=Mutes())
    desk.state("online")
    return desk


def silence(desk: Desk, length: timedelta, *, reason: str = "BackOff") -> Silence:
    wish = Wish(MatchSettings(reason=reason), desk.clock.now, desk.clock.now + length, "ops", "I know")
    added = desk.store.add_silence(wish, desk.clock.now)
    desk.pipeline._mutes.renew(desk.store.silences(desk.clock.now))
    return added


def silence_node(desk: Desk, node: str) -> None:
    wish = Wish(MatchSettings(node=node), desk.clock.now, desk.clock.now + timedelta(hours=2), "ops", "I know")
    desk.store.add_silence(wish, desk.clock.now)
    desk.pipeline._mutes.renew(desk.store.silences(desk.clock.now))


def causes(desk: Desk) -> list[tuple[str, Cause]]:
    return [(receiver, report.cause) for _, receiver, report in desk.told]


def test_what_goes_on_is_not_told_anew_when_the_match_of_its_route_is_changed(desk: Desk) -> None:
    desk.reroute({"receivers": ["boss"], "routes": [{"match": {"kind": "Node"}, "receivers": ["ops"]}]})
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["boss"], "routes": [{"match": {"kind": "Node|Pod"}, "receivers": ["ops"]}]})
    desk.say(**NODE_AWAY)
    desk.pass_(10 * MINUTE)
    desk.restart()
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    desk.pass_(10 * MINUTE)
    assert causes(desk) == [("ops", Cause.FIRST), ("ops", Cause.RECOVERED)]


def test_what_another_route_takes_now_is_told_to_whom_that_tells(desk: Desk) -> None:
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["ops"], "routes": [{"match": {"kind": "Node"}, "receivers": ["boss"]}]})
    desk.pass_(10 * MINUTE)
    assert causes(desk) == [("ops", Cause.FIRST), ("boss", Cause.FIRST)]


def test_of_two_incidents_that_one_route_takes_now_none_takes_the_place_of_the_other(desk: Desk) -> None:
    def divided(kind: str) -> dict[str, object]:
        return {"routes": [{"match": {"kind": kind}}, {"match": {"kind": "Addon"}}], "group_by": ["cluster"]}

    desk.reroute({"receivers": ["ops"], **divided("Node")})
    desk.say(**NODE_AWAY)
    desk.say(kind="Addon", reason="ApplyManifestFailed")
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["ops"], **divided("Node|Addon")})
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    desk.pass_(10 * MINUTE)
    desk.restart()
    desk.say(kind="Addon", reason="ApplyManifestFailed", name="late")
    desk.pass_(10 * MINUTE)
    assert sorted(cause for _, cause in causes(desk)) == ["first", "first", "news", "recovered"]
    assert len({(one.route, one.group) for one in desk.store.live_incidents()}) == 1


def test_what_waits_for_a_receiver_that_is_down_is_not_told_of_what_is_silenced_meanwhile(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    silence(desk, 30 * MINUTE)
    desk.pass_(6 * MINUTE)
    desk.down.clear()
    desk.pass_(20 * MINUTE)
    assert desk.told == []
    [report] = desk.pass_(10 * MINUTE)
    assert (report.cause, report.occurrences) == (Cause.FIRST, 1)
    assert [one.state for one in desk.store.account(report.incident).tries] == ["withdrawn", "delivered"]  # type: ignore[union-attr]


def test_what_fails_on_its_way_is_not_tried_again_when_it_was_withdrawn_meanwhile(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    [delivery] = desk.store.due("ops", desk.clock.now, limit=1)
    silence(desk, 30 * MINUTE)
    desk.pass_(6 * MINUTE)
    for state in STATES:
        now = desk.clock.now
        desk.store.settle([Outcome(delivery, state, now, reason="no route to host", due_at=now)])
    assert desk.store.backlog() == {}
    assert desk.store.dead_letters(Search()) == []
    desk.down.clear()
    assert [report.occurrences for report in desk.pass_(30 * MINUTE)] == [1]


def test_a_recovery_is_told_though_what_goes_on_beside_it_is_silenced_while_it_waits(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"]})
    desk.say(**NODE_AWAY)
    desk.say()
    desk.pass_(MINUTE)
    desk.down.add("ops")
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    desk.pass_(6 * MINUTE)
    silence(desk, 30 * MINUTE)
    desk.pass_(6 * MINUTE)
    desk.down.clear()
    [report] = desk.pass_(MINUTE)
    assert [(line.reason, line.end) for line in report.lines] == [("NodeNotReady", "recovered")]


def test_what_is_muted_counts_in_the_sum_of_an_incident_so_that_no_receiver_sees_it_fall(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"]})
    desk.say(reason="Silenced", count=100)
    desk.say(reason="Loud", count=3)
    desk.pass_(MINUTE)
    silence(desk, 30 * MINUTE, reason="Silenced")
    desk.pass_(MINUTE)
    desk.say(reason="Later")
    [report] = desk.pass_(10 * MINUTE)
    assert (report.occurrences, report.since_told, report.muted) == (104, 1, 1)


def test_a_clock_that_is_set_back_brings_no_repeat_forward_and_puts_none_off_beyond_its_interval() -> None:
    desk = Desk({"repeat_interval": "1h"})
    desk.state("online")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.clock.now -= timedelta(days=3)
    desk.state("online")
    assert desk.pass_(50 * MINUTE, step=10 * SECOND) == []
    assert [report.cause for report in desk.pass_(20 * MINUTE, step=10 * SECOND)] == [Cause.REPEAT]


def test_a_silence_of_one_node_hides_nothing_of_the_same_owner_on_another(desk: Desk) -> None:
    silence_node(desk, "pi-3")
    desk.say(name="agent-bb7zk", node="pi-1")
    desk.say(name="agent-bb7zq", node="pi-3")
    assert [report.cause for report in desk.pass_(50 * MINUTE, step=10 * SECOND)] == [Cause.FIRST]


def test_what_is_silenced_when_it_comes_is_not_told_in_a_card_that_waits(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"]})
    silence(desk, 60 * MINUTE, reason="Silenced")
    desk.down.add("ops")
    desk.say(reason="Loud")
    desk.pass_(MINUTE)
    desk.say(reason="Silenced")
    desk.down.clear()
    [report] = desk.pass_(MINUTE)
    assert ([line.reason for line in report.lines], report.muted) == (["Loud"], 1)


def test_what_is_dropped_is_told_to_nobody_though_it_inhibits() -> None:
    desk = Desk({"drop": [{"name": "lab-.*"}], "group_by": ["cluster", "reason"]}, mutes=Mutes(DEFAULT_RULES))
    desk.state("online")
    desk.say(**(NODE_AWAY | {"name": "prod-1"}))
    desk.say(**(NODE_AWAY | {"name": "lab-1", "node": "lab-1"}))
    desk.say(name="api-0", node="lab-1")
    for _ in range(2):
        desk.pass_(MINUTE)
        desk.restart()
    assert [[line.owner for line in report.lines] for _, _, report in desk.told] == [["prod-1"]]


def test_a_shorter_interval_holds_from_the_reload_on(desk: Desk) -> None:
    desk.say(**NODE_AWAY)
    desk.pass_(10 * MINUTE)
    desk.reroute({"receivers": ["ops"], "repeat_interval": "10m"})
    assert [report.cause for report in desk.pass_(30 * MINUTE, step=10 * SECOND)] == [Cause.REPEAT] * 3


def test_a_clock_that_was_set_back_while_we_were_away_delays_nothing(desk: Desk) -> None:
    desk.say()
    desk.clock.now -= timedelta(hours=3)
    desk.restart()
    assert len(desk.pass_(2 * MINUTE)) == 1


def test_what_is_over_leaves_room_for_what_is_new(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"]})
    desk.say(name="keeps-failing", uid="k")
    for number in range(PROBLEM_LIMIT):
        desk.say(name=f"ci-{number:04d}-a")
    desk.pass_(MINUTE)
    for count in range(2, 8):
        desk.say(name="keeps-failing", uid="k", count=count)
        desk.pass_(30 * MINUTE, step=30 * SECOND)
    desk.say(**NODE_AWAY)
    lines = [line for report in desk.pass_(10 * MINUTE) for line in report.lines]
    assert "NodeNotReady" in {line.reason for line in lines}
    [stored] = desk.store.live_incidents()
    assert len(stored.problems) == PROBLEM_LIMIT
    assert stored.occurrences == sum(one.occurrences for one in stored.problems.values()) + stored.beyond


def test_objects_that_are_over_leave_room_for_others(desk: Desk) -> None:
    desk.say(reason="FailedScheduling", name="db-999")
    for number in range(OBJECT_LIMIT + 5):
        desk.say(reason="FailedScheduling", name=f"db-{number}")
        desk.say(reason="Scheduled", type="Normal", name=f"db-{number}")
    desk.say(reason="Scheduled", type="Normal", name="db-999")
    desk.pass_(30 * MINUTE)
    assert desk.told[-1][2].state == State.RECOVERED


def test_who_has_not_got_the_digest_was_told_of_nothing_yet() -> None:
    desk = Desk({"group_by": ["name"]})
    desk.state("online")
    desk.down.add("ops")
    nodes = [NODE_AWAY | {"name": f"node-{number:02d}"} for number in range(BACKLOG_LIMIT + 10)]
    for node in nodes:
        desk.say(**node)
        desk.pass_(SECOND)
    desk.pass_(MINUTE)
    desk.store.due("ops", desk.clock.now, limit=1)  # all but the newest are merged
    for node in nodes[:25]:
        desk.say(**(node | {"reason": "NodeReady"}))
    desk.pass_(5 * 60 * MINUTE, step=10 * SECOND)
    desk.down.clear()
    desk.pass_(SECOND)
    assert desk.digests
    assert [report for _, _, report in desk.told if report.told_at is not None] == []


def test_what_waits_for_whom_its_route_no_longer_tells_is_not_told(desk: Desk) -> None:
    other = {"match": {"reason": "Other"}}
    desk.reroute({"receivers": ["ops"], "routes": [other | {"receivers": ["boss"]}]})
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["boss"], "routes": [other | {"receivers": ["ops"]}]})
    desk.pass_(10 * MINUTE)
    desk.down.clear()
    desk.pass_(10 * MINUTE)
    assert causes(desk) == [("boss", Cause.FIRST)]


def test_a_receiver_that_is_down_repeats_nothing_to_another() -> None:
    desk = Desk({"receivers": ["ops", "boss"], "quiet_after": "7d"}, mutes=Mutes(DEFAULT_RULES))
    desk.down.add("boss")
    desk.state("online")
    for number in range(5):
        desk.say(reason=f"Reason{number}")
    desk.pass_(MINUTE)
    for boot in range(1, 4):
        desk.state("offline", boot=boot)
        desk.pass_(8 * MINUTE)
        desk.state("online", boot=boot + 1)
        desk.pass_(8 * MINUTE)
    desk.down.clear()
    desk.pass_(10 * MINUTE)
    for receiver in ("ops", "boss"):
        lines = [line for _, name, report in desk.told if name == receiver for line in report.lines]
        assert sum(line.reason.startswith("Reason") for line in lines) == 5


def test_who_was_added_while_a_problem_was_muted_is_told_of_it_afterwards(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"]})
    desk.say(reason="Muted")
    desk.say(reason="Loud")
    desk.pass_(MINUTE)
    silence(desk, 30 * MINUTE, reason="Muted")
    desk.pass_(10 * MINUTE)
    desk.reroute({"receivers": ["ops", "boss"], "group_by": ["cluster"]})
    desk.pass_(40 * MINUTE)
    told = [(name, line.reason) for _, name, report in desk.told for line in report.lines if line.is_news]
    assert told == [("ops", "Loud"), ("ops", "Muted"), ("boss", "Loud"), ("boss", "Muted")]


def test_what_is_silenced_while_its_repeat_waits_is_no_news_afterwards_and_its_end_is_told(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"], "repeat_interval": "10m", "quiet_after": "1d"})
    desk.say(reason="FailedScheduling", name="web")
    desk.say(reason="Loud")
    desk.pass_(MINUTE)
    desk.down.add("ops")
    desk.pass_(10 * MINUTE)
    silence(desk, 20 * MINUTE, reason="FailedScheduling")
    desk.pass_(10 * MINUTE)
    desk.down.clear()
    desk.pass_(15 * MINUTE)
    assert [line.reason for _, _, one in desk.told[1:] for line in one.lines if line.is_news] == []
    desk.say(reason="Scheduled", type="Normal", name="web")
    [over] = [line for one in desk.pass_(6 * MINUTE) for line in one.lines if line.is_news]
    assert (over.reason, over.end) == ("FailedScheduling", End.RECOVERED)


def test_the_end_of_what_went_to_a_receiver_by_another_event_is_told_to_it_after_a_restart(desk: Desk) -> None:
    first = {"match": {"reason": "BackOff"}, "receivers": ["ops"], "continue": True}
    second = {"receivers": ["ops", "boss"], "group_by": ["cluster"], "quiet_after": "1d"}
    desk.reroute({"receivers": [], "routes": [first, second]})
    desk.say(reason="BackOff")
    desk.say(reason="FailedScheduling", name="web")
    desk.pass_(MINUTE)
    desk.down.add("ops")
    desk.say(reason="Scheduled", type="Normal", name="web")
    desk.pass_(6 * MINUTE)
    desk.restart()
    desk.pass_(MINUTE)
    desk.down.clear()
    ends = {line.reason: line.end for report in desk.pass_(MINUTE) for line in report.lines}
    assert ends["FailedScheduling"] is End.RECOVERED


def test_who_is_not_told_of_what_recovers_is_not_told_that_all_is_well(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"], "quiet_after": "10m", "send_quiet": True})
    silence(desk, 30 * MINUTE, reason="FailedScheduling")
    desk.say(reason="FailedScheduling", name="web")
    desk.say(reason="Loud")
    desk.pass_(MINUTE)
    desk.say(reason="Scheduled", type="Normal", name="web")
    desk.pass_(20 * MINUTE)
    assert causes(desk) == [("ops", Cause.FIRST), ("ops", Cause.QUIET)]
    assert desk.told[-1][2].state is State.QUIET


def test_what_begins_again_while_it_is_muted_is_not_told_in_a_card_that_waits(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_wait": "1m"})
    desk.down.add("ops")
    desk.say(reason="FailedScheduling", name="web")
    desk.say(reason="Scheduled", type="Normal", name="web")
    desk.pass_(2 * MINUTE)
    silence(desk, 60 * MINUTE, reason="FailedScheduling")
    desk.say(reason="FailedScheduling", name="web")
    desk.pass_(SECOND)
    desk.down.clear()
    assert desk.pass_(10 * MINUTE) == []


def test_what_an_incident_no_longer_tells_apart_is_looked_for_in_none(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"], "send_recovered": False, "quiet_after": "2h"})
    desk.state("online")
    desk.say(reason="FailedScheduling", name="web")
    desk.pass_(MINUTE)
    desk.say(reason="Scheduled", type="Normal", name="web")
    for number in range(PROBLEM_LIMIT - 1):
        desk.say(name=f"x{number}x")
    desk.pass_(90 * MINUTE, step=MINUTE)
    desk.say(name="one-more")
    for _ in range(8):
        desk.state("online")
        desk.pass_(30 * MINUTE, step=MINUTE)
    assert desk.store.live_incidents() == []
    desk.say(reason="Scheduled", type="Normal", name="web")
    assert desk.pipeline.counters.rejected == 0
