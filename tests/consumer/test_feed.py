import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast
from unittest.mock import patch

import pytest

from tests.consumer.messages import arrival
from tocsin_consumer.errors import StoreError
from tocsin_consumer.feed import BATCH_LIMIT, Feed
from tocsin_consumer.inbox import Arrival, Inbox
from tocsin_consumer.intake import Uplink

if TYPE_CHECKING:
    from tocsin_consumer.pipeline import Pipeline


class FakePipeline:
    """Keeps what it is given, unless it is told to fail."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.rejected: list[tuple[bytes, str]] = []
        self.batches: list[int] = []
        self.current: list[bool] = []
        self.decided: list[Uplink | None] = []
        self.store_failures = 0
        self.cannot_decide = False
        self.is_behind = False
        self.poison = b""

    def process(self, arrivals: Sequence[Arrival]) -> None:
        self.batches.append(len(arrivals))
        self._fail_if_told()
        payloads = [one.message.payload for one in arrivals]
        if self.poison in payloads:
            raise OverflowError("too large")
        self.stored += payloads

    def decide(self, uplink: Uplink | None, *, is_current: bool) -> None:
        self.current.append(is_current)
        self._fail_if_told()
        if self.cannot_decide:
            raise OverflowError("too large")
        self.decided.append(uplink)

    def reject(self, one: Arrival, reason: str) -> None:
        self._fail_if_told()
        self.rejected.append((one.message.payload, reason))

    def _fail_if_told(self) -> None:
        if self.store_failures:
            self.store_failures -= 1
            raise StoreError("disk full")


class Sut:
    def __init__(self) -> None:
        self.inbox = Inbox()
        self.pipeline = FakePipeline()
        self.acknowledged: list[bytes] = []
        self.waits: list[float] = []
        self.stopping = False
        self.uplink: Uplink | None = None
        self.seconds = 0.0
        self.feed = Feed(
            self.inbox,
            cast("Pipeline", self.pipeline),
            uplink=lambda: self.uplink,
            acknowledge=lambda batch: self.acknowledged.extend(one.message.payload for one in batch),
            backoff=float,
            monotonic=lambda: self.seconds,
        )

    def idles(self) -> bool:
        """Tell whether a turn waits for what may come."""
        with patch.object(self.inbox, "take", return_value=[]) as take:
            self.step()
        return bool(take.call_args.kwargs["timeout"])

    def put(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.inbox.put(arrival(payload))

    def step(self) -> None:
        self.feed.step(self.wait)

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.stopping


def test_what_is_stored_is_acknowledged() -> None:
    sut = Sut()
    sut.put(b"a", b"b")
    sut.step()
    assert sut.acknowledged == sut.pipeline.stored == [b"a", b"b"]
    assert sut.pipeline.batches == [2]


def test_a_batch_is_bounded() -> None:
    sut = Sut()
    sut.put(*[b"x"] * (BATCH_LIMIT + 1))
    sut.step()
    sut.step()
    assert sut.pipeline.batches == [BATCH_LIMIT, 1]


def test_while_the_store_fails_a_batch_waits_and_is_not_acknowledged() -> None:
    sut = Sut()
    sut.pipeline.store_failures = 3
    sut.put(b"a")
    sut.step()
    assert sut.waits == [1.0, 2.0, 3.0]
    assert sut.acknowledged == [b"a"]


def test_a_streak_of_failures_is_warned_of_once_and_its_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sut = Sut()
    sut.pipeline.store_failures = 3
    sut.put(b"a")
    sut.step()
    assert caplog.messages == [
        "disk full; nothing is acknowledged until it works",
        "the store works again after 3 failures",
    ]


def test_a_stop_does_not_wait_for_a_store_that_fails_and_acknowledges_nothing() -> None:
    sut = Sut()
    sut.pipeline.store_failures = 100
    sut.stopping = True
    sut.put(b"a")
    sut.step()
    assert sut.waits == [1.0]
    assert sut.acknowledged == []


def test_a_message_that_fails_by_itself_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    sut = Sut()
    sut.pipeline.poison = b"bad"
    sut.put(b"a", b"bad", b"b")
    sut.step()
    assert sut.pipeline.stored == [b"a", b"b"]
    assert sut.pipeline.rejected == [(b"bad", "internal error: OverflowError")]
    assert sut.acknowledged == [b"a", b"bad", b"b"]


def test_a_dead_letter_too_waits_for_the_store() -> None:
    sut = Sut()
    sut.pipeline.poison = b"bad"
    sut.put(b"bad")
    original = sut.pipeline.process

    def fail_afterwards(arrivals: Sequence[Arrival]) -> None:
        sut.pipeline.store_failures = 0
        try:
            original(arrivals)
        finally:
            sut.pipeline.store_failures = 2

    sut.pipeline.process = fail_afterwards  # type: ignore[method-assign] # the store fails between the two
    sut.step()
    assert sut.waits == [1.0, 2.0]
    assert sut.acknowledged == [b"bad"]


def test_what_time_makes_worth_telling_is_decided_at_every_turn_once_all_that_came_is_stored() -> None:
    sut = Sut()
    sut.uplink = Uplink(1.0, resumed=True)
    sut.put(*[b"x"] * (BATCH_LIMIT + 1))
    sut.step()
    assert sut.pipeline.decided == []
    sut.step()
    sut.step()
    assert sut.pipeline.decided == [sut.uplink, sut.uplink]


def test_however_much_comes_it_is_decided_every_second_with_the_word_that_more_has_come() -> None:
    sut = Sut()
    for _ in range(3):
        sut.put(*[b"x"] * (BATCH_LIMIT + 1))
        sut.seconds += 0.6
        sut.step()
    assert sut.pipeline.current == [False]


def test_a_decision_waits_for_the_store_as_well() -> None:
    sut = Sut()
    sut.pipeline.store_failures = 2
    sut.step()
    assert sut.waits == [1.0, 2.0]
    assert sut.pipeline.decided == [None]


def test_while_more_is_due_than_one_decision_is_about_the_next_follows_at_once_unless_it_failed() -> None:
    sut = Sut()
    assert sut.idles()
    sut.pipeline.is_behind = True
    assert (sut.idles(), sut.idles()) == (True, False)
    sut.pipeline.cannot_decide = True
    with pytest.raises(OverflowError):
        sut.step()
    sut.pipeline.cannot_decide = False
    assert (sut.idles(), sut.idles()) == (True, False)


def test_a_stopping_feed_stores_what_is_in_the_inbox_first() -> None:
    sut = Sut()
    sut.put(*[b"x"] * (2 * BATCH_LIMIT))
    stop = threading.Event()
    stop.set()
    sut.feed.run(stop)
    assert len(sut.acknowledged) == 2 * BATCH_LIMIT
    assert len(sut.inbox) == 0
