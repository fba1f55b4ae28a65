"""What becomes of incidents when something changes beside them: the configuration, and what mutes them."""

from datetime import timedelta
from typing import Literal

import pytest

from tests.consumer.desk import Desk
from tocsin_consumer.dead_letter import Search
from tocsin_consumer.dispatch import Cause
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.records import Outcome
from tocsin_consumer.silence import Silence, Wish

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


def test_what_is_muted_is_not_among_the_occurrences_that_are_told(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"]})
    held = silence(desk, 30 * MINUTE, reason="Quiet")
    desk.say(reason="Quiet", count=100)
    desk.say(reason="Loud", count=3)
    [report] = desk.pass_(MINUTE)
    assert (report.occurrences, report.since_told, report.muted) == (3, 3, 1)
    desk.store.expire_silence(held.id, desk.clock.now)
    desk.pipeline._mutes.renew(desk.store.silences(desk.clock.now))
    [report] = desk.pass_(10 * MINUTE)
    assert (report.occurrences, report.since_told, report.muted) == (103, 100, 0)


def test_a_clock_that_is_set_back_brings_no_repeat_forward_and_puts_none_off_beyond_its_interval() -> None:
    desk = Desk({"repeat_interval": "1h"})
    desk.state("online")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.clock.now -= timedelta(days=3)
    desk.state("online")
    assert desk.pass_(50 * MINUTE, step=10 * SECOND) == []
    assert [report.cause for report in desk.pass_(20 * MINUTE, step=10 * SECOND)] == [Cause.REPEAT]
