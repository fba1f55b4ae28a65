import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from tests.consumer.messages import NOW, FakeClock, FakeConnection, FakeReceiver, arrival, event, payload
from tests.consumer.test_feed import FakePipeline
from tests.waiting import until
from tocsin_consumer.deliver import Worker
from tocsin_consumer.errors import StoreError
from tocsin_consumer.feed import Feed
from tocsin_consumer.health import FEED_PATIENCE, SESSION_PATIENCE, Health
from tocsin_consumer.inbox import Inbox
from tocsin_consumer.intake import Intake
from tocsin_consumer.records import Entry
from tocsin_consumer.store import Store

if TYPE_CHECKING:
    from tocsin_consumer.pipeline import Pipeline

KEEPALIVE = timedelta(minutes=4)
PATIENCE = timedelta(minutes=2)


class Sut:
    """Health over real parts, none of which runs in a thread of its own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store("sqlite://")
        self.threads = {"mqtt": True, "pipeline": True}
        self.receiver = FakeReceiver(clock=self.clock)
        self.worker = Worker(self.receiver, self.store, max_age=timedelta(hours=1), monotonic=self.clock.monotonic)
        self.inbox = Inbox()
        self.pipeline = FakePipeline()
        self.feed = Feed(
            self.inbox,
            cast("Pipeline", self.pipeline),
            acknowledge=lambda _: None,
            uplink=lambda: None,
            monotonic=self.clock.monotonic,
        )
        self.intake = Intake("k8s/v1", self.inbox, monotonic=self.clock.monotonic)
        self.connection = FakeConnection().real
        self.intake.on_connected(self.connection, session_present=True)
        self.health = Health(
            threads=lambda: self.threads,
            workers={self.worker: PATIENCE},
            feed=self.feed,
            intake=self.intake,
            keepalive=KEEPALIVE,
            monotonic=self.clock.monotonic,
        )

    def turn(self) -> None:
        """Let everything but the worker make progress."""
        self.inbox.put(arrival(event()))
        self.feed.step(lambda _: True)
        self.intake.on_turn(self.connection)


@pytest.fixture
def sut() -> Iterator[Sut]:
    made = Sut()
    yield made
    made.store.close()


def test_what_makes_progress_is_alive_and_ready(sut: Sut) -> None:
    sut.clock.advance(3600)
    sut.turn()
    assert sut.health.stuck() == sut.health.unready() == []


def test_a_thread_that_has_ended_is_fatal(sut: Sut) -> None:
    sut.threads["pipeline"] = False
    assert sut.health.stuck() == ["thread pipeline has ended"]


def test_a_delivery_that_takes_longer_than_its_timeouts_explain_is_fatal(sut: Sut) -> None:
    sut.worker.busy_since = sut.clock.seconds
    sut.clock.advance(PATIENCE.total_seconds())
    sut.turn()
    assert sut.health.stuck() == []
    sut.clock.advance(1)
    assert sut.health.stuck() == ["receiver ops: in one delivery for 121 s"]
    sut.worker._guarded_step()
    assert sut.health.stuck() == []


def test_a_feed_that_does_not_turn_is_fatal(sut: Sut) -> None:
    sut.clock.advance(FEED_PATIENCE.total_seconds() + 1)
    sut.intake.on_turn(sut.connection)
    assert sut.health.stuck() == ["pipeline: no progress for 301 s"]


def test_a_session_that_does_not_turn_while_it_is_connected_is_fatal(sut: Sut) -> None:
    sut.clock.advance((KEEPALIVE + SESSION_PATIENCE).total_seconds() + 1)
    sut.feed.step(lambda _: True)
    assert sut.health.stuck() == ["mqtt: no progress for 301 s"]
    sut.intake.on_disconnected("broken pipe")
    assert sut.health.stuck() == []


def test_being_offline_is_visible_and_not_fatal(sut: Sut) -> None:
    sut.intake.on_disconnected("broken pipe")
    assert sut.health.stuck() == []
    assert sut.health.unready() == ["not connected to the broker"]


def test_a_store_that_fails_the_feed_is_visible_and_not_fatal(sut: Sut) -> None:
    sut.pipeline.store_failures = 1
    sut.inbox.put(arrival(event()))
    sut.feed.step(lambda _: True)
    assert sut.health.stuck() == []
    assert sut.health.unready() == ["the store does not work"]
    sut.turn()
    assert sut.health.unready() == []


def test_decisions_that_fail_in_a_row_are_visible_until_one_works_again(sut: Sut) -> None:
    sut.pipeline.cannot_decide = True
    for _ in range(2):
        with pytest.raises(OverflowError):
            sut.turn()
    assert sut.health.stuck() == []
    assert sut.health.unready() == ["what is due cannot be decided, 2 times in a row"]
    sut.pipeline.cannot_decide = False
    sut.turn()
    assert sut.health.unready() == []


def test_a_store_that_fails_a_worker_is_visible_and_not_fatal(sut: Sut, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patch:
        patch.setattr(sut.store, "due", fail)
        sut.worker._guarded_step()
        assert sut.health.unready() == ["the store does not work"]
    sut.worker._guarded_step()
    assert sut.health.unready() == []


def test_a_worker_is_busy_while_its_receiver_hangs_and_only_then(sut: Sut) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang(_: str) -> None:
        entered.set()
        leave.wait(20)

    sut.receiver.objection = hang
    said = event()
    sut.store.record([Entry(said, payload(said), NOW, ("ops",))], [], positions={}, now=NOW)
    stop = threading.Event()
    thread = threading.Thread(target=sut.worker.run, args=(stop,), daemon=True)
    thread.start()
    assert entered.wait(20)
    assert sut.worker.busy_since is not None
    leave.set()
    until(lambda: sut.worker.busy_since is None)
    stop.set()
    sut.worker.wake()
    thread.join(20)
