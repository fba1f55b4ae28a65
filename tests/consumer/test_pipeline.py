from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import NOW, ROOT, arrival, event, status, topic
from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.pipeline import Counters, Pipeline, dedupe
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
    )
)


class Sut:
    """A pipeline over a store in memory, and whom it woke."""

    def __init__(self) -> None:
        self.store = Store("sqlite://")
        self.woken: list[set[str]] = []
        self.pipeline = self.restarted()

    def restarted(self) -> Pipeline:
        return Pipeline(
            ROOT, ROUTE, store=self.store, notify=lambda names: self.woken.append(set(names)), clock=lambda: NOW
        )

    def process(self, *arrivals: Arrival) -> Counters:
        self.pipeline.process(arrivals)
        return self.pipeline.counters

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


_states = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), max_size=30)


@given(_states, st.dictionaries(st.sampled_from("ab"), st.integers(1, 6)))
def test_counts_only_rise_and_every_message_is_fresh_a_repeat_or_stale(
    states: list[tuple[str, int]], before: dict[str, int]
) -> None:
    arrivals = [(arrival(event()), event(uid=uid, count=count)) for uid, count in states]
    fresh, repeats, stale = dedupe(arrivals, {("edge-1", uid): count for uid, count in before.items()})
    assert len(fresh) + repeats + stale == len(states)
    for uid in "ab":
        counts = [before.get(uid, 0), *(said.count for _, said in fresh if said.uid == uid)]
        assert counts == sorted(set(counts))
        assert max([before.get(uid, 0), *(count for name, count in states if name == uid)]) == counts[-1]
