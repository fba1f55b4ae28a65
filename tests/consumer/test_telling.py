"""What the tools say of the telling of an incident: what arrived, and not what the engine counts as told."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.desk import Desk
from tocsin_consumer.digest import BACKLOG, Digest
from tocsin_consumer.incident import Problem, ProblemKey
from tocsin_consumer.incident_object import incident_object
from tocsin_consumer.incident_text import detail_lines, incident_line, receivers_of
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.records import Account, Content, Outcome
from tocsin_consumer.report import Report
from tocsin_consumer.storm import StormRules
from tocsin_consumer.telling import Fate, Telling, telling

MINUTE = timedelta(minutes=1)
ZONE = ZoneInfo("UTC")
ONE_BY_ITSELF = StormRules(
    cluster=RateLimit(1, timedelta(minutes=5)), fleet=None, calm_after=timedelta(minutes=10)
)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def stormy() -> Desk:
    """Return a desk that tells one incident of a cluster by itself, and the others in digests."""
    return Desk(storm_rules=ONE_BY_ITSELF)


def account(desk: Desk, incident: int = 1) -> Account:
    found = desk.store.account(incident)
    assert found is not None
    return found


def fate(desk: Desk, incident: int = 1) -> Telling:
    return telling(account(desk, incident), "ops")


def problem(desk: Desk, incident: int = 1) -> Problem:
    [found] = account(desk, incident).incident.problems.values()
    return found


def give_up(desk: Desk) -> None:
    """Let the deliveries to a receiver that is down be given up."""
    due = desk.store.due("ops", desk.clock.now, limit=10)
    desk.store.settle([Outcome(one, "dead", desk.clock.now, reason="HTTP 502") for one in due])


def test_what_was_delivered_is_told(desk: Desk) -> None:
    desk.say()
    desk.pass_(MINUTE)
    assert (fate(desk).fate, fate(desk).tells_of(problem(desk))) == (Fate.TOLD, True)


def test_a_dead_letter_is_given_up_and_not_told(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    give_up(desk)
    found = fate(desk)
    assert (found.fate, found.reason, found.delivered_at) == (Fate.GIVEN_UP, "HTTP 502", None)
    assert not found.tells_of(problem(desk))
    assert "ops not told: given up 2026-11-24 08:01 UTC: HTTP 502" in incident_line(account(desk), ZONE)


def test_what_was_told_before_its_news_was_given_up_stays_told(desk: Desk) -> None:
    desk.say()
    desk.pass_(MINUTE)
    desk.down.add("ops")
    desk.say(name="web")
    desk.pass_(10 * MINUTE)
    give_up(desk)
    found = fate(desk)
    known, news = account(desk).incident.problems.values()
    assert (found.fate, found.tells_of(known), found.tells_of(news)) == (Fate.GIVEN_UP, True, False)
    assert "given up 2026-11-24 08:11 UTC: HTTP 502; told before, 2026-11-24 08:00 UTC" in incident_line(
        account(desk), ZONE
    )


def test_what_was_given_up_and_is_told_after_all_is_told(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    give_up(desk)
    desk.down.clear()
    desk.say(name="web")
    desk.pass_(10 * MINUTE)
    assert fate(desk).fate == Fate.TOLD


def test_what_waits_for_a_receiver_that_is_gone_is_given_up(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    desk.store.bury_all_but(["other"], "no receiver is called ops", now=desk.clock.now)
    assert (fate(desk).fate, fate(desk).reason) == (Fate.GIVEN_UP, "no receiver is called ops")
    desk.reroute({"receivers": ["other"]})
    desk.say()
    assert receivers_of(account(desk)) == ["other", "ops"]


def test_what_is_gathered_for_a_digest_is_told_once_that_is_delivered(stormy: Desk) -> None:
    stormy.say(reason="A")
    stormy.say(reason="B")
    stormy.pass_(timedelta(seconds=12))
    assert [fate(stormy, id_).fate for id_ in (1, 2)] == [Fate.TOLD, Fate.GATHERED]
    assert "ops not told yet: waits in a digest" in incident_line(account(stormy, 2), ZONE)
    assert not fate(stormy, 2).tells_of(problem(stormy, 2))
    stormy.down.add("ops")
    stormy.pass_(MINUTE)
    assert fate(stormy, 2).fate == Fate.GATHERED
    stormy.down.clear()
    stormy.pass_(MINUTE)
    assert fate(stormy, 2).fate == Fate.DIGESTED
    assert fate(stormy, 2).tells_of(problem(stormy, 2))
    assert "ops told in a digest 2026-11-24 08:01 UTC" in incident_line(account(stormy, 2), ZONE)


def test_what_comes_after_a_digest_waits_for_the_next(stormy: Desk) -> None:
    stormy.say(reason="A")
    stormy.say(reason="B")
    stormy.pass_(MINUTE)
    stormy.say(reason="C")
    stormy.pass_(MINUTE)
    assert [fate(stormy, id_).fate for id_ in (2, 3)] == [Fate.DIGESTED, Fate.GATHERED]


def test_what_stands_in_another_digest_may_have_stood_in_one_before(stormy: Desk) -> None:
    stormy.say(reason="A")
    stormy.say(reason="B")
    stormy.pass_(MINUTE)
    stormy.reroute({"receivers": ["ops"], "repeat_interval": "5m"})
    stormy.down.add("ops")
    stormy.pass_(6 * MINUTE)
    found = fate(stormy, 2)
    assert (found.fate, found.tells_of(problem(stormy, 2))) == (Fate.GATHERED, False)
    assert found.may_tell_of(problem(stormy, 2))
    line = incident_line(account(stormy, 2), ZONE)
    assert "ops waits in a digest; the digest of 2026-11-24 08:00 UTC may have told of it before" in line


def test_what_is_tried_again_says_why(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    [one] = desk.store.due("ops", desk.clock.now, limit=1)
    desk.store.settle([Outcome(one, "pending", desk.clock.now, reason="HTTP 502", due_at=desk.clock.now + MINUTE)])
    assert "ops not told; one is pending, after 1 try: HTTP 502" in incident_line(account(desk), ZONE)
    desk.down.clear()
    desk.pass_(2 * MINUTE)
    lines = detail_lines(account(desk), route="route", now=desk.clock.now, time_zone=ZONE)
    assert any("delivered 2026-11-24 08:02 UTC, 2 tries, before that: HTTP 502" in line for line in lines)


def test_what_stood_in_a_digest_that_was_given_up_is_given_up(stormy: Desk) -> None:
    stormy.say(reason="A")
    stormy.say(reason="B")
    stormy.pass_(timedelta(seconds=12))
    stormy.down.add("ops")
    stormy.pass_(MINUTE)
    give_up(stormy)
    assert (fate(stormy, 2).fate, fate(stormy, 2).reason) == (Fate.GIVEN_UP, "HTTP 502")


def test_what_is_merged_for_a_receiver_that_is_behind_waits_in_a_digest(desk: Desk) -> None:
    desk.down.add("ops")
    for number in range(31):
        desk.say(reason=f"R{number}")
    desk.pass_(MINUTE)
    desk.store.due("ops", desk.clock.now, limit=1)
    merged = [one.state for one in account(desk, 1).history]
    assert merged == ["merged", "pending"]
    assert BACKLOG in account(desk, 1).storms[0].storm
    assert fate(desk, 1).fate == Fate.GATHERED
    desk.down.clear()
    desk.pass_(MINUTE)
    assert {fate(desk, id_).fate for id_ in range(1, 32)} == {Fate.TOLD, Fate.DIGESTED}


def test_what_its_digest_can_say_to_nobody_is_given_up(stormy: Desk) -> None:
    stormy.say(reason="A")
    stormy.say(reason="B")
    stormy.pass_(timedelta(seconds=12))
    stormy.reroute({"receivers": ["other"]})
    stormy.pass_(20 * MINUTE)
    assert fate(stormy, 2).fate == Fate.GIVEN_UP


def test_programs_read_what_became_of_it(desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    give_up(desk)
    found = incident_object(account(desk))
    assert found["receivers"] == [
        {
            "name": "ops",
            "fate": "given up",
            "at": desk.clock.now.isoformat(),
            "reason": "HTTP 502",
            "told_at": None,
            "perhaps_told_at": None,
            "pending": False,
        }
    ]
    assert found["lines"][0]["is_told"] is False


class Witness(Desk):
    """A desk that notes which problems stood in what arrived, in a digest as part of its storm."""

    arrived: set[tuple[int, ProblemKey]]

    def _note(self, receiver: str, content: Content) -> None:
        super()._note(receiver, content)
        if isinstance(content, Report):
            keys = [
                ProblemKey(one.cluster, one.namespace, one.kind, one.owner, one.reason) for one in content.lines
            ]
            self.arrived.update((content.incident, key) for key in keys)
        elif isinstance(content, Digest):
            for one in self.store.accounts():
                if content.storm in [storm.storm for storm in one.storms]:
                    self.arrived.update((one.incident.id, key) for key in one.incident.problems)


@given(st.lists(st.sampled_from(["A", "B", "C", "pass", "wait", "down", "up", "dead"]), max_size=30))
def test_what_is_said_to_be_told_arrived_and_what_arrived_is_not_said_to_be_untold(acts: list[str]) -> None:
    desk = Witness({"repeat_interval": "6m"}, storm_rules=ONE_BY_ITSELF)
    desk.arrived = set()
    for act in acts:
        match act:
            case "pass" | "wait":
                desk.pass_({"pass": timedelta(seconds=12), "wait": 6 * MINUTE}[act])
            case "down":
                desk.down.add("ops")
            case "up":
                desk.down.clear()
            case "dead":
                give_up(desk)
            case reason:
                desk.say(reason=reason, name=f"pod-{reason}")
                desk.say(reason=reason, name=f"web-{len(desk.arrived)}")
    for one in desk.store.accounts():
        found = telling(one, "ops")
        for key, held in one.incident.problems.items():
            has_arrived = (one.incident.id, key) in desk.arrived
            assert has_arrived or not found.tells_of(held)
            assert not has_arrived or found.tells_of(held) or found.may_tell_of(held)
        assert found.fate != Fate.NOT_TOLD or not any(
            (one.incident.id, key) in desk.arrived for key in one.incident.problems
        )
