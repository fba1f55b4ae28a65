from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import (
    NO_STORMS,
    NOW,
    ROOT,
    RULES,
    FakeClock,
    arrival,
    event,
    forgotten,
    status,
    topic,
)
from tocsin_consumer import presence
from tocsin_consumer.counters import Counters
from tocsin_consumer.dedupe import dedupe
from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.intake import Uplink
from tocsin_consumer.mute import Mutes
from tocsin_consumer.notice import Notice
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.presence import Presence, Rules
from tocsin_consumer.roster import DECISION_LIMIT
from tocsin_consumer.route import Route
from tocsin_consumer.settings import RouteSettings
from tocsin_consumer.store import Store

ROUTE = Route(
    RouteSettings.model_validate(
        {
            "receivers": ["ops", "dump"],
            "routes": [
                {"match": {"reason": "Noise"}, "receivers": []},
                {"match": {"reason": "Quiet"}, "receivers": ["dump"]},
            ],
        }
    ),
    single=["ops", "dump"],
)


MINUTE = timedelta(minutes=1)
UPLINK = Uplink(since=0, resumed=True)


class Sut:
    """A pipeline over a store in memory, and whom it woke."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store("sqlite://")
        self.woken: list[set[str]] = []
        self.pipeline = self.restarted()

    def restarted(self) -> Pipeline:
        return Pipeline(
            ROOT,
            ROUTE,
            rules=RULES,
            mutes=Mutes(),
            storm_rules=NO_STORMS,
            store=self.store,
            notify=lambda names: self.woken.append(set(names)),
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
        )

    def process(self, *arrivals: Arrival) -> Counters:
        self.pipeline.process(arrivals)
        return self.pipeline.counters

    def pass_(self, length: timedelta, *, uplink: Uplink | None = UPLINK) -> None:
        """Let time pass, and then have decided what is due."""
        self.clock.advance(length.total_seconds())
        self.pipeline.decide(uplink)

    def listen(self, *, resumed: bool) -> Uplink:
        """Be connected from now on, and have that noticed."""
        uplink = Uplink(self.clock.seconds, resumed=resumed)
        self.pipeline.decide(uplink)
        return uplink

    def notices(self) -> list[str]:
        found = self.store.due("ops", self.clock.now, limit=100)
        return [d.notification.event.reason for d in found if d.notification.event.kind == "Cluster"]

    def due(self, receiver: str = "ops") -> list[str]:
        found = self.store.due(receiver, NOW, limit=100)
        return [f"{d.notification.event.uid}/{d.notification.event.count}" for d in found]


@pytest.fixture
def sut() -> Iterator[Sut]:
    made = Sut()
    yield made
    made.store.close()


def test_a_new_event_is_due_at_every_receiver_of_its_route_and_they_are_woken(sut: Sut) -> None:
    counters = sut.process(arrival(event()))
    assert sut.due("ops") == sut.due("dump") == ["uid-1/1"]
    assert sut.woken == [{"ops", "dump"}]
    assert counters == Counters(seen=1, events=1, deliveries=2)


def test_an_event_that_comes_again_is_not_told_again(sut: Sut) -> None:
    sut.process(arrival(event()), arrival(event()))
    counters = sut.process(arrival(event()))
    assert sut.due() == ["uid-1/1"]
    assert counters == Counters(seen=3, events=1, repeats=2, deliveries=2)


def test_an_event_that_comes_again_after_a_restart_is_not_told_again(sut: Sut) -> None:
    sut.process(arrival(event()))
    sut.pipeline = sut.restarted()
    assert sut.process(arrival(event())) == Counters(seen=1, repeats=1)


def test_a_count_below_a_known_one_is_never_told(sut: Sut) -> None:
    counters = sut.process(arrival(event(count=5, seq=2)), arrival(event(count=3, seq=1)))
    assert sut.due() == ["uid-1/5"]
    assert counters.stale == 1


def test_an_event_that_a_route_drops_is_kept_and_counted_as_dropped(sut: Sut) -> None:
    counters = sut.process(arrival(event(reason="Noise")))
    assert sut.due() == []
    assert counters == Counters(seen=1, events=1, dropped=1)
    assert sut.process(arrival(event(reason="Noise"))).repeats == 1


def test_only_receivers_with_something_new_are_woken(sut: Sut) -> None:
    sut.process(arrival(event(reason="Quiet")))
    sut.process(arrival(event(reason="Noise", uid="b", seq=2)))
    assert sut.woken == [{"dump"}, set()]


def test_what_nobody_understands_is_a_dead_letter_and_what_is_around_it_goes_on(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    counters = sut.process(arrival(event(uid="a")), arrival(b"{"), arrival(event(uid="b", seq=2)))
    assert sut.due() == ["a/1", "b/1"]
    assert counters == Counters(seen=3, events=2, rejected=1, deliveries=4)
    assert "dead letter: k8s/v1/edge-1/event/production/Pod/BackOff: payload is not JSON" in caplog.text


def test_a_message_that_no_stage_may_look_at_again_is_a_dead_letter(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    sut.pipeline.reject(arrival(event()), "internal error: OverflowError")
    assert sut.due() == []
    assert sut.pipeline.counters == Counters(seen=1, rejected=1)
    assert caplog.messages == [f"dead letter: {topic(event())}: internal error: OverflowError"]


def test_a_topic_cannot_act_on_the_terminal_that_shows_the_log(sut: Sut, caplog: pytest.LogCaptureFixture) -> None:
    sut.process(arrival(b"{", at="k8s/v1/\x1b[31m"))
    assert "\x1b" not in caplog.text


def test_a_status_is_counted(sut: Sut) -> None:
    assert sut.process(status()) == Counters(seen=1, statuses=1)


def test_events_that_never_came_are_counted_and_told_even_across_a_restart(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    sut.process(arrival(event(seq=1)))
    sut.pipeline = sut.restarted()
    assert sut.process(arrival(event(uid="b", seq=4))).missing == 2
    assert "cluster edge-1: 2 of the events that it published have not come" in caplog.messages


def test_nothing_is_counted_until_it_is_stored(sut: Sut, monkeypatch: pytest.MonkeyPatch) -> None:
    sut.process(arrival(event(seq=1)))

    def fail(*_: object, **__: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patch:
        patch.setattr(sut.store, "record", fail)
        with pytest.raises(StoreError):
            sut.process(arrival(event(uid="b", seq=3)))
    assert sut.pipeline.counters.seen == 1
    assert sut.process(arrival(event(uid="b", seq=3))) == Counters(seen=2, events=2, missing=1, deliveries=4)


def test_counters_read_as_names_and_numbers() -> None:
    assert str(Counters(seen=2, rejected=1)).startswith("seen=2 statuses=0 rejected=1 repeats=0")


def test_a_notice_about_a_cluster_takes_the_way_of_an_event_to_whom_the_routes_say(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    sut.process(status(), status("offline"))
    sut.woken.clear()
    sut.pass_(5 * MINUTE)
    [delivery] = sut.store.due("dump", sut.clock.now, limit=100)
    event = delivery.notification.event
    assert (event.kind, event.reason, event.name, event.from_) == ("Cluster", "ClusterOffline", "edge-1", "tocsin")
    assert (event.model_extra or {})["offline_since"] == int(NOW.timestamp())
    assert sut.woken == [{"ops", "dump"}]
    assert sut.pipeline.counters.notices == 1
    assert "cluster edge-1: ClusterOffline: Offline since 2026-11-24 08:00:00" in caplog.text


def test_notices_can_be_routed_by_their_reason(sut: Sut) -> None:
    settings = {"receivers": ["ops"], "drop": [{"kind": "Cluster", "reason": "ClusterOffline"}]}
    sut.pipeline._route = Route(RouteSettings.model_validate(settings), single=["ops"])
    sut.process(status(), status("offline"))
    sut.pass_(5 * MINUTE)
    assert sut.notices() == []
    assert sut.pipeline.counters.notices == 1


def test_a_restart_neither_forgets_an_absence_nor_tells_it_twice(sut: Sut) -> None:
    sut.process(status(), status("offline"))
    sut.pass_(4 * MINUTE)
    sut.pipeline = sut.restarted()
    sut.pass_(MINUTE)
    assert sut.notices() == ["ClusterOffline"]
    sut.pipeline = sut.restarted()
    sut.process(status("offline", retained=True))
    sut.pass_(60 * MINUTE)
    assert sut.notices() == ["ClusterOffline"]
    sut.process(status("online", waiting=4))
    sut.pipeline = sut.restarted()
    sut.pass_(MINUTE)
    assert sut.notices() == ["ClusterOffline", "ClusterOnline"]


def test_a_notice_that_cannot_be_stored_is_told_when_it_can_and_once(
    sut: Sut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("full")

    sut.process(status(), status("offline"))
    with monkeypatch.context() as patch:
        patch.setattr(sut.store, "record", fail)
        for _ in range(2):
            with pytest.raises(StoreError):
                sut.pass_(5 * MINUTE)
    assert sut.pipeline.counters.notices == 0
    for _ in range(2):
        sut.pass_(MINUTE)
    assert sut.notices() == ["ClusterOffline"]


def test_while_we_are_disconnected_ourselves_no_cluster_is_declared_dark(sut: Sut) -> None:
    sut.process(status(), status("offline"))
    sut.pass_(24 * 60 * MINUTE, uplink=None)
    assert sut.notices() == []


def test_after_our_own_reconnect_producers_get_time_to_come_back_first(sut: Sut) -> None:
    sut.process(status(), status("offline"))
    sut.pass_(60 * MINUTE, uplink=None)
    uplink = Uplink(sut.clock.seconds, resumed=True)
    sut.pass_(2 * MINUTE, uplink=uplink)
    sut.process(status(received_at=sut.clock.now))
    sut.pass_(60 * MINUTE, uplink=uplink)
    assert sut.notices() == []
    sut.process(status("offline", received_at=sut.clock.now))
    sut.pass_(60 * MINUTE, uplink=Uplink(sut.clock.seconds - 1, resumed=True))
    assert sut.notices() == ["ClusterOffline"]


def test_silence_counts_from_our_connection_where_the_broker_kept_nothing_for_us(sut: Sut) -> None:
    sut.process(status())
    sut.pass_(200 * MINUTE, uplink=None)
    uplink = Uplink(sut.clock.seconds, resumed=False)
    sut.pass_(149 * MINUTE, uplink=uplink)
    assert sut.notices() == []
    sut.pass_(149 * MINUTE, uplink=uplink)
    assert sut.notices() == ["ClusterOffline"]


def test_silence_that_counts_from_our_connection_does_so_after_another_restart_too(sut: Sut) -> None:
    sut.process(status())
    sut.clock.advance(200 * 60)
    sut.pipeline = sut.restarted()
    sut.listen(resumed=False)
    sut.pass_(10 * MINUTE, uplink=None)
    sut.pipeline = sut.restarted()
    uplink = sut.listen(resumed=True)
    sut.pass_(30 * MINUTE, uplink=uplink)
    assert sut.notices() == []
    sut.pass_(110 * MINUTE, uplink=uplink)
    assert sut.notices() == ["ClusterOffline"]


def test_silence_counts_from_our_connection_once_the_store_has_kept_that(
    sut: Sut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("full")

    sut.process(status())
    sut.pass_(200 * MINUTE, uplink=None)
    with monkeypatch.context() as patch:
        patch.setattr(sut.store, "record", fail)
        with pytest.raises(StoreError):
            sut.listen(resumed=False)
    sut.pass_(149 * MINUTE, uplink=sut.listen(resumed=False))
    assert sut.notices() == []


def test_silence_goes_on_through_a_break_in_which_a_living_cluster_could_say_nothing(sut: Sut) -> None:
    uplink = sut.listen(resumed=True)
    sut.process(status())
    sut.pass_(120 * MINUTE, uplink=uplink)
    sut.pass_(26 * MINUTE, uplink=None)
    sut.pass_(4 * MINUTE, uplink=sut.listen(resumed=True))
    assert sut.notices() == ["ClusterOffline"]


@pytest.mark.parametrize("restarts", [False, True])
def test_after_a_longer_break_silence_counts_anew_as_a_full_queue_of_the_broker_loses_signs_of_life(
    sut: Sut, *, restarts: bool
) -> None:
    sut.process(status())
    sut.pass_(MINUTE, uplink=sut.listen(resumed=True))
    sut.pass_(200 * MINUTE, uplink=None)
    if restarts:
        sut.pipeline = sut.restarted()
    uplink = sut.listen(resumed=True)
    sut.pass_(149 * MINUTE, uplink=uplink)
    assert sut.notices() == []
    sut.pass_(MINUTE, uplink=uplink)
    assert sut.notices() == ["ClusterOffline"]


def test_a_clock_that_is_set_neither_hastens_nor_delays_a_notice(sut: Sut) -> None:
    for step in (timedelta(days=-1), timedelta(days=2)):
        cluster = f"edge{step.days}"
        said = [status(state, cluster=cluster, received_at=sut.clock.now) for state in ("online", "offline")]
        sut.process(*said)
        sut.clock.now += step
        told = len(sut.notices())
        sut.pass_(4 * MINUTE)
        assert len(sut.notices()) == told
        sut.pass_(MINUTE)
        assert len(sut.notices()) == told + 1


def test_a_clock_that_was_set_back_while_we_were_away_delays_a_notice_by_no_more_than_a_wait(sut: Sut) -> None:
    sut.process(status(), status("offline"))
    sut.clock.now -= timedelta(days=300)
    sut.pipeline = sut.restarted()
    sut.pass_(RULES.longest)
    assert sut.notices() == ["ClusterOffline"]


def test_news_that_sets_no_new_wait_leaves_the_old_one_to_no_clock_that_was_set(sut: Sut) -> None:
    sut.process(status(), status("offline"))
    sut.clock.now -= timedelta(hours=2)
    sut.process(status("offline", lost=1, received_at=sut.clock.now))
    sut.pass_(5 * MINUTE)
    assert "ClusterOffline" in sut.notices()


def test_the_losses_of_a_cluster_are_forgotten_with_it(sut: Sut) -> None:
    sut.process(status(lost=1), status(lost=5), forgotten())
    sut.pass_(60 * MINUTE)
    assert sut.notices() == []
    assert sut.store.losses() == []


def test_a_cluster_whose_retained_status_is_cleared_is_forgotten(sut: Sut) -> None:
    sut.process(status(), status("offline"), forgotten())
    sut.pass_(24 * 60 * MINUTE)
    assert sut.notices() == []
    assert sut.store.presences() == []
    assert sut.pipeline.counters.rejected == 0


def test_a_configured_cluster_whose_status_is_cleared_is_waited_for_and_told_once(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sut.pipeline.expect(["edge-1"])
    sut.process(status(), forgotten())
    sut.pass_(4 * MINUTE)
    sut.process(forgotten())
    sut.pass_(MINUTE)
    sut.pipeline = sut.restarted()
    sut.pipeline.expect(["edge-1"])
    sut.pass_(60 * MINUTE)
    assert sut.notices() == ["ClusterNeverSeen"]
    assert len([text for text in caplog.messages if "its status was cleared" in text]) == 1


def test_an_expected_cluster_that_was_never_seen_is_told_once_whatever_restarts_there_are(sut: Sut) -> None:
    for _ in range(3):
        sut.pipeline.expect(["edge-7"])
        sut.pass_(2 * MINUTE)
        sut.pipeline = sut.restarted()
    assert sut.notices() == ["ClusterNeverSeen"]


def test_a_cluster_that_is_expected_no_longer_is_not_missed(sut: Sut) -> None:
    sut.pipeline.expect(["edge-7"])
    sut.pipeline = sut.restarted()
    sut.pipeline.expect([])
    sut.pass_(60 * MINUTE)
    assert sut.notices() == []


def test_events_that_never_came_and_those_that_a_producer_gave_up_are_one_notice(sut: Sut) -> None:
    sut.process(status(lost=1), arrival(event(seq=1)), arrival(event(uid="b", seq=4)), status(lost=6))
    sut.pass_(MINUTE)
    sut.pipeline = sut.restarted()
    sut.pass_(MINUTE)
    assert sut.notices() == ["EventsLost"]
    found = [d.notification.event for d in sut.store.due("ops", sut.clock.now, limit=9)][-1]
    assert found.msg.startswith("7 in all. Given up by the producer, whose outbox was full: 5;")


def test_that_a_budget_holds_events_is_told_once_whatever_restarts_there_are(sut: Sut) -> None:
    sut.process(status(), status(held=3), status(held=4))
    sut.pipeline = sut.restarted()
    sut.process(status(held=50), arrival(event()))
    assert sut.notices() == ["EventsHeld"]
    sut.process(status(), status("offline", held=50), status(held=2))
    assert sut.notices() == ["EventsHeld", "EventsHeld"]
    found = [d.notification.event for d in sut.store.due("ops", sut.clock.now, limit=9)]
    assert [notice.msg.split(":")[0] for notice in found if notice.kind == "Cluster"] == ["3 so far", "2 so far"]


def test_no_numbers_of_one_cluster_keep_the_presence_of_another_from_being_told(sut: Sut) -> None:
    sut.process(status(cluster="bad", lost=0), status(cluster="bad", lost=2**62), status())
    sut.process(arrival(event(cluster="bad")), arrival(event(cluster="bad", uid="b", seq=2**62 + 10)))
    sut.process(status("offline"))
    sut.pass_(5 * MINUTE)
    assert sut.notices() == ["EventsLost", "ClusterOffline"]


def test_what_cannot_be_decided_of_one_cluster_is_told_once_and_holds_up_no_other(
    sut: Sut, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = presence.wait_over

    def fail_of_bad(before: Presence, now: datetime, rules: Rules) -> tuple[Presence, Notice | None]:
        if before.cluster == "bad":
            raise OverflowError("too large")
        return decide(before, now, rules)

    monkeypatch.setattr(presence, "wait_over", fail_of_bad)
    sut.process(status("offline", cluster="bad"), status("offline"))
    for _ in range(3):
        sut.pass_(5 * MINUTE)
    assert sut.notices() == ["ClusterOffline"]
    assert caplog.messages.count("cluster bad: what is due cannot be decided") == 1


def test_of_too_many_clusters_the_later_ones_are_not_watched_which_is_told_once(
    sut: Sut, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tocsin_consumer.roster.CLUSTER_LIMIT", 2)
    sut.process(*(status(cluster=f"edge-{number}") for number in range(4)))
    assert len(sut.store.presences()) == 2
    assert caplog.messages == ["cluster edge-2 and others are not watched: 2 clusters are known"]


def test_ten_thousand_clusters_that_go_dark_are_told_in_steps_and_each_once(sut: Sut) -> None:
    names = [f"edge-{number}" for number in range(10_000)]
    for start in range(0, len(names), 500):
        sut.process(*(status(cluster=name) for name in names[start : start + 500]))
    sut.pass_(149 * MINUTE)
    assert sut.pipeline.counters.notices == 0
    for _ in range(len(names) // DECISION_LIMIT):
        sut.pass_(MINUTE)
    assert sut.pipeline.counters.notices == len(names)
    sut.pass_(60 * MINUTE)
    assert sut.pipeline.counters.notices == len(names)


_states = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), max_size=30)


@given(_states, st.dictionaries(st.sampled_from("ab"), st.integers(1, 6)))
def test_counts_only_rise_and_every_message_is_fresh_a_repeat_or_stale(
    states: list[tuple[str, int]], before: dict[str, int]
) -> None:
    arrivals = [(arrival(event()), event(uid=uid, count=count)) for uid, count in states]
    fresh, repeats, stale = dedupe(arrivals, {("edge-1", uid): count for uid, count in before.items()})
    assert len(fresh) + repeats + stale == len(states)
    for uid in "ab":
        counts = [before.get(uid, 0), *(one.event.count for one in fresh if one.event.uid == uid)]
        assert counts == sorted(set(counts))
        assert max([before.get(uid, 0), *(count for name, count in states if name == uid)]) == counts[-1]
