"""What goes on beside an incident, and when it is looked at."""

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from tests.consumer.desk import UPLINK, Desk
from tests.consumer.messages import forgotten
from tocsin_consumer import board
from tocsin_consumer.inhibit import InhibitSettings
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.silence import Wish

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NODE_AWAY: dict[str, Any] = {
    "kind": "Node",
    "reason": "NodeNotReady",
    "type": "Normal",
    "name": "pi-1",
    "ns": None,
}


def silence(desk: Desk, length: timedelta) -> None:
    wish = Wish(MatchSettings(reason="BackOff"), desk.clock.now, desk.clock.now + length, "ops", "I know")
    desk.store.add_silence(wish, desk.clock.now)
    desk.pipeline._mutes.renew(desk.store.silences(desk.clock.now))


def test_of_an_incident_of_several_clusters_only_that_ends_which_is_of_the_one_that_is_retired() -> None:
    desk = Desk({"group_by": ["reason"]})
    for cluster in ("edge-1", "edge-2"):
        desk.say(**NODE_AWAY, cluster=cluster)
    desk.pass_(MINUTE)
    desk.pipeline.process([forgotten("edge-2")])
    [one] = desk.store.live_incidents()
    assert {key.cluster: problem.goes_on for key, problem in one.problems.items()} == {
        "edge-1": True,
        "edge-2": False,
    }


def test_what_has_become_quiet_inhibits_nothing_any_more() -> None:
    rule = InhibitSettings(source=MatchSettings(reason="BackOff"), target=MatchSettings(reason="Unhealthy"))
    desk = Desk({"quiet_after": "10m", "group_by": []}, mutes=Mutes([rule]))
    desk.state("online")
    desk.say(**NODE_AWAY)
    desk.say()
    desk.pass_(5 * MINUTE)
    desk.say(reason="Unhealthy")
    assert desk.pass_(4 * MINUTE) == []
    [report] = desk.pass_(3 * MINUTE)
    assert [line.reason for line in report.lines if line.is_news and line.end is None] == ["Unhealthy"]


def test_what_has_ended_while_it_was_muted_is_muted_no_longer() -> None:
    desk = Desk({"quiet_after": "10m", "group_by": []}, mutes=Mutes())
    desk.state("online")
    silence(desk, HOUR)
    desk.say()
    desk.say(**NODE_AWAY)
    desk.pass_(5 * MINUTE)
    assert desk.pipeline.board.count_muted() == 1
    desk.pass_(6 * MINUTE)
    assert desk.pipeline.board.count_muted() == 0


@pytest.mark.parametrize(("interval", "looked"), [("30s", 30 * SECOND), ("5m", MINUTE)])
def test_what_is_muted_is_looked_at_every_minute_and_as_often_as_something_could_be_told(
    interval: str, looked: timedelta
) -> None:
    desk = Desk({"group_interval": interval}, mutes=Mutes())
    silence(desk, HOUR)
    desk.say()
    desk.pass_(SECOND)
    assert [one.due_at for one in desk.store.live_incidents()] == [desk.clock.now + looked]


def test_what_is_silenced_is_looked_at_when_its_silence_ends() -> None:
    desk = Desk(mutes=Mutes())
    silence(desk, 30 * SECOND)
    desk.say()
    desk.pass_(10 * SECOND)
    assert [one.due_at for one in desk.store.live_incidents()] == [desk.clock.now + 20 * SECOND]


def test_an_incident_that_has_something_new_is_looked_at_when_what_belongs_to_it_has_had_the_time_to_come() -> (
    None
):
    desk = Desk({"group_wait": "10m", "group_interval": "5m"})
    desk.say()
    assert [one.due_at for one in desk.store.live_incidents()] == [desk.clock.now + 5 * MINUTE]


def test_what_has_been_told_is_not_looked_at_before_something_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.say()
    desk.pass_(2 * MINUTE)
    looks = Mock()
    monkeypatch.setattr(desk.store, "recall", looks)
    desk.pass_(MINUTE)
    assert looks.call_count == 0


def test_a_recovery_reaches_each_incident_with_such_a_problem_when_another_is_closed() -> None:
    desk = Desk({"group_by": ["name"]})
    for name in ("pi-1", "pi-2"):
        desk.say(**(NODE_AWAY | {"name": name}))
    desk.pass_(MINUTE)
    for name in ("pi-1", "pi-2"):
        desk.say(**(NODE_AWAY | {"name": name, "reason": "NodeReady"}))
        assert [report.event.name for report in desk.pass_(20 * MINUTE)] == [name]
    assert desk.store.live_incidents() == []


def test_an_incident_that_several_routes_share_now_goes_on_as_it_was_with_whom_it_was_told_to() -> None:
    def divided(*kinds: str) -> dict[str, Any]:
        return {
            "receivers": ["boss"],
            "routes": [{"match": {"kind": kind}, "receivers": ["ops"]} for kind in kinds],
        }

    desk = Desk()
    desk.reroute({**divided("Node|Pod"), "group_by": ["cluster"]})
    desk.say(**NODE_AWAY)
    desk.say()
    desk.pass_(MINUTE)
    desk.reroute({**divided("Node", "Pod"), "group_by": ["cluster"]})
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    desk.pass_(10 * MINUTE)
    assert [(receiver, report.cause) for _, receiver, report in desk.told] == [("ops", "first"), ("ops", "news")]


def test_no_two_incidents_that_go_on_are_of_one_route_and_group_whatever_is_configured_anew() -> None:
    def divided(kind: str) -> dict[str, Any]:
        routes = [{"match": {"kind": kind}}, {"match": {"kind": "Addon"}}]
        return {"receivers": ["ops"], "group_by": ["cluster"], "routes": routes}

    desk = Desk(divided("Node"))
    desk.say(**NODE_AWAY)
    desk.say(kind="Addon", reason="ApplyManifestFailed")
    desk.reroute(divided("Node|Addon"))
    places = [(one.route, one.group) for one in desk.pipeline.board._live.values()]
    assert len(places) == len(set(places)) == 2


def test_a_process_that_starts_takes_up_what_is_over_and_rests() -> None:
    desk = Desk()
    desk.say(**NODE_AWAY)
    desk.say(**(NODE_AWAY | {"reason": "NodeReady"}))
    desk.restart()
    assert [report.cause for report in desk.pass_(MINUTE)] == ["recovered"]


def test_what_is_closed_is_known_no_longer() -> None:
    desk = Desk({"quiet_after": "10m"})
    desk.say()
    desk.pass_(HOUR, step=10 * SECOND)
    assert sum(desk.pipeline.board.states().values()) == 0


def test_more_is_due_than_a_decision_is_about_until_all_of_it_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "DECISION_LIMIT", 2)
    desk = Desk()
    for number in range(5):
        desk.say(reason=f"Reason{number}")
    desk.clock.advance(60)
    behind = []
    for _ in range(3):
        desk.pipeline.decide(UPLINK)
        behind.append(desk.pipeline.is_behind)
    assert behind == [True, True, False]
    assert len(desk.pass_(SECOND)) == 5
