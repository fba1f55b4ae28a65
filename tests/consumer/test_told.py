"""What a receiver is told next, by what it was told before: whatever is muted, waits or is given up meanwhile."""

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.consumer.desk import UPLINK, Desk
from tests.consumer.test_incident_life import MINUTE, NODE_AWAY, SECOND, causes, silence
from tests.consumer.test_storms import stormy
from tocsin_consumer.dead_letter import Search
from tocsin_consumer.dispatch import Cause
from tocsin_consumer.incident import PROBLEM_LIMIT, End
from tocsin_consumer.incident_text import detail_lines
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.mute import Mutes
from tocsin_consumer.records import Outcome
from tocsin_consumer.silence import Wish
from tocsin_consumer.store import Store
from tocsin_consumer.telling import telling

NODE_BACK = NODE_AWAY | {"reason": "NodeReady"}
HOUR = 60 * MINUTE


@pytest.fixture
def desk() -> Desk:
    desk = Desk(mutes=Mutes())
    desk.state("online")
    return desk


def pass_(desk: Desk, length: timedelta) -> None:
    for _ in range(int(length / (30 * MINUTE))):
        desk.pass_(30 * MINUTE, step=10 * SECOND)
        desk.state("online")


def named(desk: Desk, receiver: str = "ops") -> list[tuple[str, End | None]]:
    return [(line.reason, line.end) for _, name, one in desk.told if name == receiver for line in one.lines]


def test_the_end_of_what_was_told_is_told_though_it_began_again_under_a_silence(desk: Desk) -> None:
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.say(**NODE_BACK)  # told at 5:10 at the earliest
    desk.pass_(MINUTE)
    silence(desk, HOUR, reason="NodeNotReady")
    desk.say(**NODE_AWAY)
    desk.pass_(2 * MINUTE)
    desk.say(**NODE_BACK)
    pass_(desk, 3 * HOUR)
    assert desk.store.live_incidents() == []
    assert named(desk)[-1] == ("NodeNotReady", End.RECOVERED)


def test_the_end_of_what_was_told_is_told_though_a_digest_waits_when_it_is_silenced() -> None:
    desk = stormy(group_by=["cluster", "name"])
    desk._mutes = Mutes()
    desk.restart()
    desk.state("online")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    assert named(desk) == [("NodeNotReady", None)]
    desk.down.add("ops")
    for number in range(6):
        desk.say(reason="Failed", name=f"web-{number}xyz")
    desk.say(name="pi-1", kind="Node", ns=None, reason="Rebooted", node="pi-1")
    desk.pass_(6 * MINUTE)
    silence(desk, 2 * HOUR, reason="NodeNotReady")
    desk.pass_(6 * MINUTE)
    desk.say(**NODE_BACK)
    desk.pass_(MINUTE)
    desk.down.clear()
    pass_(desk, 6 * HOUR)
    assert ("NodeNotReady", End.RECOVERED) in named(desk)


def test_what_a_digest_could_not_name_as_it_was_silenced_is_told_when_it_outlives_that() -> None:
    desk = stormy(group_by=["name"], group_interval="1m", quiet_after="1d")
    desk._mutes = Mutes()
    desk.restart()
    desk.state("online")
    for number in range(8):
        desk.say(reason="Loud", name=f"web-{number}")
    desk.pass_(2 * MINUTE)  # the first digest is told, the next comes in 5 minutes at the earliest
    desk.say(reason="Late", name="db-0")
    desk.pass_(30 * SECOND)
    silence(desk, 30 * MINUTE, reason="Late")
    desk.pass_(HOUR, step=5 * SECOND)
    in_digests = {share.name for _, _, one in desk.digests for share in one.reasons.shares}
    assert "Late" in {reason for reason, _ in named(desk)} | in_digests


def test_a_dead_letter_that_is_replayed_under_a_silence_is_told_after_it(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "quiet_after": "1d", "repeat_interval": "7d"})
    desk.say()
    desk.down.add("ops")
    desk.pass_(MINUTE)
    [delivery] = desk.store.due("ops", desk.clock.now, limit=1)
    desk.store.settle([Outcome(delivery, "dead", desk.clock.now, reason="HTTP 404")])
    desk.pass_(6 * MINUTE)
    silence(desk, 30 * MINUTE)
    desk.pass_(6 * MINUTE)
    [letter] = desk.store.dead_letters(Search())
    assert desk.store.replay([letter.id], desk.clock.now) == 1
    desk.pipeline.board.look_again()
    desk.pipeline.board.look_at_all(desk.clock.now)
    desk.pass_(6 * MINUTE)
    desk.down.clear()
    pass_(desk, 20 * HOUR)
    assert named(desk) == [("BackOff", None)]


def test_what_was_told_while_it_was_withdrawn_is_not_told_again(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    [delivery] = desk.store.due("ops", desk.clock.now, limit=1)
    silence(desk, 2 * HOUR, reason="NodeNotReady")
    desk.pass_(6 * MINUTE)
    desk._note("ops", delivery.content)
    desk.store.settle([Outcome(delivery, "delivered", desk.clock.now)])
    desk.down.clear()
    desk.pass_(MINUTE)
    desk.say(**NODE_BACK)
    desk.pass_(20 * MINUTE)
    assert named(desk) == [("NodeNotReady", None), ("NodeNotReady", End.RECOVERED)]


def test_who_never_knew_is_not_told_of_the_end_of_what_was_silenced_when_it_ended() -> None:
    desk = Desk({"receivers": ["ops", "boss"]}, mutes=Mutes())
    desk.state("online")
    desk.down.add("boss")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    silence(desk, 2 * HOUR, reason="NodeNotReady")
    desk.pass_(6 * MINUTE)
    desk.down.clear()
    desk.say(**NODE_BACK)
    desk.pass_(20 * MINUTE)
    assert named(desk, "ops")[-1] == ("NodeNotReady", End.RECOVERED)
    assert named(desk, "boss") == []


def tell_and_give_up_news(desk: Desk) -> None:
    """Tell that a node is away, and let the news that come after that become a dead letter."""
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.down.add("ops")
    desk.say(reason="Failed", name="web-1")
    desk.pass_(6 * MINUTE)
    dead(desk)


def replay(desk: Desk) -> int:
    """Let all dead letters be tried again."""
    return desk.store.replay([one.id for one in desk.store.dead_letters(Search())], desk.clock.now)


def dead(desk: Desk, receiver: str = "ops") -> None:
    [delivery] = desk.store.due(receiver, desk.clock.now, limit=1)
    desk.store.settle([Outcome(delivery, "dead", desk.clock.now, reason="HTTP 404")])


def test_a_dead_letter_is_not_delivered_while_it_is_silenced(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tocsin.db"
    desk = Desk(store=url, mutes=Mutes())
    command = Store(url, beside=True)
    desk.state("online")
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    dead(desk)
    wish = Wish(MatchSettings(reason="BackOff"), desk.clock.now, desk.clock.now + HOUR, "ops", "I know")
    command.add_silence(wish, desk.clock.now)
    desk.pass_(7 * MINUTE)
    desk.down.clear()
    desk.pipeline._notify = lambda _: desk._deliver()  # the worker is woken, and is as quick as it can be
    desk.clock.advance(1)
    command.replay([1], desk.clock.now)
    desk.pipeline.decide(UPLINK)
    assert desk.told == []


def test_a_dead_letter_of_who_was_told_since_is_not_told_again(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops", "boss"]})
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    desk.store.bury_all_but(["boss"], "no receiver has this name", now=desk.clock.now)
    desk.reroute({"receivers": ["boss"]})
    desk.pass_(10 * MINUTE)
    desk.down.clear()
    desk.reroute({"receivers": ["ops", "boss"]})
    desk.pass_(10 * MINUTE)
    assert named(desk) == [("BackOff", None)]
    desk.store.replay([letter.id for letter in desk.store.dead_letters(Search())], desk.clock.now)
    desk.pass_(10 * MINUTE)
    assert named(desk) == [("BackOff", None)]


def test_a_dead_letter_that_will_not_be_told_is_not_taken_for_one_that_will(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    dead(desk)
    desk.reroute({"receivers": ["ops"], "routes": [{"match": {"reason": "BackOff"}, "receivers": ["boss"]}]})
    desk.pass_(10 * MINUTE)
    revived = desk.store.replay([1], desk.clock.now)
    desk.pass_(80 * MINUTE)
    desk.down.clear()
    desk.pass_(10 * MINUTE)
    assert (revived, len(desk.store.dead_letters(Search())), len(named(desk))) in [(1, 0, 1), (0, 1, 0)]


def test_what_is_withdrawn_as_its_route_tells_another_is_not_said_to_be_muted(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["ops"], "routes": [{"match": {"reason": "BackOff"}, "receivers": ["boss"]}]})
    desk.pass_(10 * MINUTE)
    account = desk.store.account(1)
    assert account is not None
    assert "muted" not in "\n".join(
        detail_lines(account, route="route", now=desk.clock.now, time_zone=ZoneInfo("UTC"))
    )


def test_a_node_that_goes_away_is_told_though_its_incident_has_had_many_problems() -> None:
    desk = Desk({"group_by": ["cluster"]})
    desk.state("online")
    for reason, type_ in (("FailedScheduling", "Warning"), ("Scheduled", "Normal")):
        for number in range(PROBLEM_LIMIT):
            desk.say(reason=reason, type=type_, name=f"x{number}x")
        desk.pass_(MINUTE)
    desk.say(**NODE_AWAY)
    pass_(desk, 10 * HOUR)
    assert ("NodeNotReady", None) in named(desk)


@pytest.mark.parametrize(
    "case",
    [
        ({"send_recovered": False, "quiet_after": "1d"}, NODE_BACK),
        ({"quiet_after": "30m"}, NODE_AWAY | {"uid": "2"}),
    ],
    ids=["recovered", "quiet"],
)
def test_an_end_that_a_route_does_not_want_is_not_told_in_place_of_a_repeat_that_waits(
    case: tuple[dict[str, object], dict[str, object]],
) -> None:
    route, then = case
    desk = Desk({"repeat_interval": "10m", **route})
    desk.state("online")
    desk.say(**(NODE_AWAY if then is NODE_BACK else {}))
    desk.pass_(MINUTE)
    desk.down.add("ops")
    desk.pass_(20 * MINUTE)
    if then is NODE_BACK:
        desk.say(**NODE_BACK)
    desk.pass_(40 * MINUTE)
    desk.down.clear()
    desk.pass_(30 * MINUTE)
    assert causes(desk) == [("ops", Cause.FIRST)]


def test_a_card_that_waits_is_not_sent_when_what_was_new_in_it_is_silenced(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"]})
    desk.say(reason="Loud")
    desk.pass_(MINUTE)
    desk.down.add("ops")
    desk.say(reason="Noisy", name="n")
    desk.pass_(6 * MINUTE)
    silence(desk, HOUR, reason="Noisy")
    desk.pass_(10 * MINUTE)
    desk.down.clear()
    desk.pass_(10 * MINUTE)
    assert causes(desk) == [("ops", Cause.FIRST)]


def test_who_was_told_before_a_dead_letter_is_told_of_the_end_though_that_was_replayed(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"], "quiet_after": "1d"})
    tell_and_give_up_news(desk)
    silence(desk, 3 * HOUR, reason="NodeNotReady")
    desk.pass_(6 * MINUTE)
    assert replay(desk) == 1
    desk.down.clear()
    desk.pass_(MINUTE)
    desk.say(**NODE_BACK)
    pass_(desk, 2 * HOUR)
    assert ("NodeNotReady", End.RECOVERED) in named(desk)


def test_who_was_told_before_a_dead_letter_is_not_told_again_what_was_silenced_when_that_was_replayed(
    desk: Desk,
) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"], "quiet_after": "1d", "repeat_interval": "7d"})
    tell_and_give_up_news(desk)
    silence(desk, HOUR, reason="NodeNotReady")
    desk.pass_(6 * MINUTE)
    assert replay(desk) == 1
    desk.down.clear()
    pass_(desk, 3 * HOUR)
    assert len(causes(desk)) == 2


def test_an_end_that_its_route_does_not_want_is_not_told_of_what_began_again_under_a_silence(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "send_recovered": False})
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.say(**NODE_BACK)
    desk.pass_(MINUTE)
    silence(desk, HOUR, reason="NodeNotReady")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.say(**NODE_BACK)
    pass_(desk, HOUR)
    assert causes(desk) == [("ops", Cause.FIRST)]


def test_what_began_again_and_is_silenced_is_not_said_to_be_told(desk: Desk) -> None:
    desk.reroute({"receivers": ["ops"], "group_by": ["cluster"], "quiet_after": "1d", "repeat_interval": "7d"})
    desk.say(reason="Failed", name="web-1")
    desk.say(**NODE_AWAY)
    desk.pass_(MINUTE)
    desk.say(**NODE_BACK)
    desk.pass_(10 * MINUTE)
    silence(desk, 5 * HOUR, reason="NodeNotReady")
    desk.say(**NODE_AWAY)
    desk.pass_(10 * MINUTE)
    account = desk.store.account(1)
    assert account is not None
    [problem] = [p for k, p in account.incident.problems.items() if k.reason == "NodeNotReady"]
    assert not telling(account, "ops").tells_of(problem)
    assert not account.tells_of(problem)


def test_a_digest_that_is_under_way_tells_of_nothing_that_became_part_of_it_since() -> None:
    desk = stormy(group_by=["name"], group_interval="1m", quiet_after="1d", repeat_interval="7d")
    desk._mutes = Mutes()
    desk.restart()
    desk.state("online")
    for number in range(8):
        desk.say(reason="Loud", name=f"web-{number}x")
    desk.down.add("ops")
    desk.pass_(MINUTE)
    while True:  # single ones first
        [delivery] = desk.store.due("ops", desk.clock.now, limit=1)
        desk._note("ops", delivery.content)
        if desk.digests:
            break
        desk.store.settle([Outcome(delivery, "delivered", desk.clock.now)])
    desk.say(reason="Late", name="db-0")
    desk.pass_(15 * SECOND)
    desk.store.settle([Outcome(delivery, "delivered", desk.clock.now)])
    desk.down.clear()
    silence(desk, HOUR, reason="Late")
    pass_(desk, 4 * HOUR)
    in_digests = {share.name for _, _, one in desk.digests for share in one.reasons.shares}
    assert "Late" in in_digests | {reason for reason, _ in named(desk)}
