"""What receivers are told when so much happens that nobody could read it one by one."""

from datetime import timedelta
from itertools import pairwise
from unittest.mock import Mock

import pytest

from tests.consumer.desk import STEP, UPLINK, Desk
from tocsin_consumer.digest import BACKLOG, FLEET, Share
from tocsin_consumer.errors import StoreError
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.storm import StormRules
from tocsin_consumer.storm_rows import BACKLOG_LIMIT, NEWEST

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
RULES = StormRules(
    cluster=RateLimit(3, 5 * MINUTE), fleet=RateLimit(5, 5 * MINUTE), calm_after=timedelta(minutes=10)
)


def stormy(**route: object) -> Desk:
    return Desk(route, storm_rules=RULES)


def say(desk: Desk, count: int, *, cluster: str = "edge-1") -> None:
    for number in range(count):
        desk.say(cluster=cluster, reason=f"Reason{number}")


def test_incidents_of_a_cluster_beyond_the_limit_are_told_in_one_digest() -> None:
    desk = stormy()
    say(desk, 10)
    assert len(desk.pass_(MINUTE)) == 3
    [(_, receiver, digest)] = desk.digests
    assert (receiver, digest.scope, digest.incidents, digest.going_on) == ("ops", "edge-1", 7, 7)
    assert digest.clusters.shares == (Share("edge-1", 7),)
    assert (len(digest.reasons.shares), digest.reasons.others) == (5, 2)
    assert desk.pipeline.counters.digested == 7


def test_a_storm_of_many_clusters_is_one_of_the_fleet_and_names_where_most_of_it_is() -> None:
    desk = stormy()
    for number in range(20):
        say(desk, 2, cluster=f"edge-{number}")
    say(desk, 3, cluster="edge-1")
    assert len(desk.pass_(MINUTE)) == 5
    [(_, _, digest)] = desk.digests
    assert (digest.scope, digest.incidents, digest.occurrences) == (FLEET, 36, 38)
    assert (len(digest.clusters.shares), digest.clusters.others) == (5, 14)
    assert digest.reasons.shares[0] == Share("Reason1", 18)


def test_a_storm_is_told_anew_every_five_minutes_while_there_is_more_of_it_and_then_that_it_is_over() -> None:
    desk = stormy()
    for minute in range(12):
        for number in range(4):
            desk.say(reason=f"Reason{minute}-{number}")
        desk.pass_(MINUTE)
    desk.pass_(20 * MINUTE)
    ended = [digest.ended_at is not None for _, _, digest in desk.digests]
    assert ended == [False, False, False, False, True]
    times = [at for at, _, _ in desk.digests]
    assert all(later - earlier >= 5 * MINUTE for earlier, later in pairwise(times))
    assert desk.digests[-1][2].incidents == 12 * 4 - 3
    assert len(desk.pipeline.storms) == 0


def test_a_storm_ends_though_something_trickles_in_all_the_time() -> None:
    desk = stormy()
    say(desk, 6)
    desk.pass_(MINUTE)
    for number in range(10):
        desk.say(reason=f"Later{number}")
        desk.pass_(9 * MINUTE, step=10 * SECOND)
    ended = [digest.ended_at is not None for _, _, digest in desk.digests]
    assert (ended[-1], ended.count(True)) == (True, 1)
    assert desk.told[-1][2].group["reason"] == "Later9"


@pytest.mark.parametrize(("more", "storms"), [(3, 0), (4, 1)])
def test_it_is_calm_when_no_more_came_than_half_of_what_may_be_told_one_by_one(more: int, storms: int) -> None:
    desk = stormy(group_wait="10s")
    say(desk, 6)
    desk.pass_(2 * MINUTE)
    for number in range(more):
        desk.say(reason=f"Later{number}")
    desk.pass_(9 * MINUTE)
    assert len(desk.pipeline.storms) == storms


def test_a_commit_that_fails_again_and_again_begins_no_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = stormy()
    say(desk, 2)
    desk.clock.advance(11)
    with monkeypatch.context() as failing:
        failing.setattr(desk.store, "record", Mock(side_effect=StoreError("full")))
        for _ in range(9):
            with pytest.raises(StoreError):
                desk.pipeline.decide(UPLINK)
    assert (len(desk.pass_(MINUTE)), desk.digests) == (2, [])


def test_after_a_storm_each_incident_is_told_by_itself_again_with_what_is_new_since_the_digest() -> None:
    desk = stormy()
    say(desk, 5)
    desk.pass_(20 * MINUTE)
    desk.say(reason="Reason4", name="web-0", count=3)
    [report] = desk.pass_(MINUTE)
    assert (report.group["reason"], report.since_told, report.occurrences) == ("Reason4", 3, 4)


def test_a_restart_in_a_storm_neither_repeats_nor_forgets_its_digest() -> None:
    desk = stormy()
    say(desk, 6)
    desk.pass_(12 * SECOND)
    desk.restart()
    desk.pass_(9 * SECOND)
    assert [digest.incidents for _, _, digest in desk.digests] == [3]
    desk.restart()
    desk.say(reason="Later")
    desk.pass_(20 * MINUTE)
    assert [(digest.incidents, digest.ended_at is None) for _, _, digest in desk.digests[1:]] == [
        (4, True),
        (4, False),
    ]


def test_an_incident_of_several_clusters_counts_in_the_fleet_only() -> None:
    desk = stormy(group_by=["reason"])
    for cluster in ("edge-1", "edge-2"):
        say(desk, 5, cluster=cluster)
    assert (len(desk.pass_(MINUTE)), desk.digests) == (5, [])
    desk.say(cluster="edge-1", reason="Sixth")
    desk.pass_(MINUTE)
    assert [digest.scope for _, _, digest in desk.digests] == [FLEET]


def test_each_receiver_has_storms_of_its_own() -> None:
    desk = stormy(routes=[{"match": {"reason": "Reason[01]"}, "receivers": ["boss", "ops"]}])
    say(desk, 5)
    desk.pass_(MINUTE)
    assert sorted(receiver for _, receiver, _ in desk.told) == ["boss", "boss", "ops", "ops", "ops"]
    assert [receiver for _, receiver, _ in desk.digests] == ["ops"]


def test_what_waits_for_a_receiver_that_is_behind_is_merged_but_for_the_newest() -> None:
    desk = Desk()
    desk.down.add("ops")
    for number in range(BACKLOG_LIMIT + 15):
        desk.say(reason=f"Reason{number}", count=2)
        desk.pass_(STEP)
    desk.pass_(MINUTE)
    assert (desk.told, desk.digests) == ([], [])
    desk.down.clear()
    told = desk.pass_(STEP)
    newest = [f"Reason{number}" for number in range(BACKLOG_LIMIT + 15 - NEWEST, BACKLOG_LIMIT + 15)]
    assert [report.group["reason"] for report in told] == newest[::-1]
    [(_, _, digest)] = desk.digests
    assert (digest.scope, digest.incidents, digest.occurrences) == (BACKLOG, 35, 70)
    assert desk.pass_(10 * MINUTE) == []


def test_a_receiver_is_behind_if_more_wait_for_it_than_are_told_one_by_one() -> None:
    for more, merged in ((0, 0), (1, BACKLOG_LIMIT + 1 - NEWEST)):
        desk = Desk()
        desk.down.add("ops")
        say(desk, BACKLOG_LIMIT + more)
        desk.pass_(MINUTE)
        desk.down.clear()
        assert len(desk.pass_(STEP)) == BACKLOG_LIMIT + more - merged
        assert [digest.incidents for _, _, digest in desk.digests] == [merged] * more


def test_a_digest_comes_when_what_begins_with_a_storm_has_been_gathered() -> None:
    desk = stormy(group_wait="0s")
    say(desk, 6)
    desk.pass_(10 * SECOND)
    assert desk.digests == []
    desk.pass_(SECOND)
    assert [digest.incidents for _, _, digest in desk.digests] == [3]


def test_more_that_is_merged_while_a_digest_waits_becomes_part_of_it() -> None:
    desk = Desk()
    desk.down.add("ops")
    for batch in range(2):
        for number in range(BACKLOG_LIMIT + 1):
            desk.say(reason=f"Reason{batch}-{number}")
        desk.pass_(MINUTE)
        desk.store.due("ops", desk.clock.now, limit=1)
    desk.down.clear()
    desk.pass_(STEP)
    [(_, _, digest)] = desk.digests
    assert digest.incidents == 2 * (BACKLOG_LIMIT + 1) - NEWEST
