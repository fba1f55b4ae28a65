"""What becomes of storms when the clock jumps or their receiver is gone."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.consumer.test_incident_life import silence
from tests.consumer.test_storms import MINUTE, SECOND, say, stormy
from tocsin_consumer.incident import COUNT_LIMIT
from tocsin_consumer.notification import Notification
from tocsin_consumer.records import Outcome
from tocsin_consumer.view import View


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=1)])
def test_a_clock_that_jumps_neither_ends_a_storm_nor_keeps_it_going(jump: timedelta) -> None:
    desk = stormy()
    say(desk, 6)
    desk.pass_(MINUTE)
    desk.clock.now += jump
    desk.pass_(8 * MINUTE)
    assert len(desk.pipeline.storms) == 1
    desk.pass_(12 * MINUTE)
    assert len(desk.pipeline.storms) == 0
    assert [digest.ended_at is not None for _, _, digest in desk.digests].count(True) == 1


def test_nobody_is_told_of_the_storm_of_a_receiver_that_is_gone() -> None:
    desk = stormy()
    say(desk, 6)
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["boss"]})
    desk.pass_(20 * MINUTE)
    assert desk.store.live_storms() == []
    assert [receiver for _, receiver, _ in desk.digests].count("ops") == 1
    assert desk.store.backlog() == {}


def test_a_storm_of_one_cluster_leaves_the_others_alone() -> None:
    desk = stormy()
    say(desk, 8)
    desk.pass_(MINUTE)
    desk.say(cluster="edge-2", reason="Other")
    assert [report.group["cluster"] for report in desk.pass_(MINUTE)] == ["edge-2"]


def test_a_digest_of_counts_beyond_all_measure_can_be_told() -> None:
    desk = stormy(group_by=["name"])
    for number in range(1100):
        desk.say(name=f"x{number}x", count=2**63 - 1)
    desk.pass_(2 * MINUTE)
    assert {digest.occurrences for _, _, digest in desk.digests} == {COUNT_LIMIT}


def test_a_cluster_may_have_any_name() -> None:
    desk = stormy()
    say(desk, 8, cluster="backlog")
    desk.pass_(MINUTE)
    assert [digest.event.reason for _, _, digest in desk.digests] == ["EventStorm"]


def test_the_end_of_a_storm_is_told_though_a_digest_is_on_its_way() -> None:
    desk = stormy()
    say(desk, 5)
    desk.pass_(12 * SECOND)
    desk.down.add("ops")
    desk.pass_(10 * MINUTE + 5 * SECOND)
    [delivery] = desk.store.due("ops", desk.clock.now, limit=1)
    desk.pass_(5 * SECOND)
    desk.store.settle([Outcome(delivery, "delivered", desk.clock.now)])
    desk.down.clear()
    desk.pass_(20 * MINUTE, step=5 * SECOND)
    assert [digest.ended_at is not None for _, _, digest in desk.digests] == [True]


def test_digests_that_wait_for_a_receiver_that_is_down_are_told_as_one() -> None:
    desk = stormy()
    desk.down.add("ops")
    for minute in range(12):
        for number in range(4):
            desk.say(reason=f"Reason{minute}-{number}")
        desk.pass_(MINUTE)
    desk.down.clear()
    desk.pass_(SECOND)
    assert len(desk.digests) == 1


def test_a_digest_names_nothing_that_is_silenced_and_counts_it() -> None:
    desk = stormy(group_by=["name"])
    desk.down.add("ops")
    for number in range(8):
        desk.say(reason="Silenced" if number % 2 else "Loud", name=f"web-{number}")
    desk.pass_(MINUTE)
    silence(desk, 60 * MINUTE, reason="Silenced")
    desk.pass_(6 * MINUTE)
    desk.down.clear()
    desk.pass_(MINUTE)
    [(_, _, digest)] = desk.digests
    assert (digest.incidents, digest.occurrences) == (5, 5)
    assert [share.name for share in digest.reasons.shares] == ["Loud"]


def test_a_digest_can_be_told_though_all_of_it_is_silenced() -> None:
    desk = stormy()
    desk.down.add("ops")
    say(desk, 8)
    desk.pass_(MINUTE)
    silence(desk, 60 * MINUTE, reason="Reason.*")
    desk.pass_(6 * MINUTE)
    desk.down.clear()
    desk.pass_(MINUTE)
    [(_, _, digest)] = desk.digests
    view = View.of(Notification(digest.event, desk.clock.now, digest), ZoneInfo("UTC"), language="en")
    assert (digest.incidents, view.cluster) == (5, "edge-1")
    assert all(value for _, value in view.rows)
    assert view.message == view.message.strip()
