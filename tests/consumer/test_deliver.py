import threading
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest

from tests.consumer.messages import NOW, FakeClock, FakeReceiver, event, never, payload
from tests.waiting import until
from tocsin_consumer.dead_letter import Search
from tocsin_consumer.deliver import IDLE_SECONDS, SETTLE_SECONDS, Worker
from tocsin_consumer.errors import PermanentError, RenderError, StoreError, TemporaryError
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receiver_settings import StdoutSettings
from tocsin_consumer.receivers.stdout import StdoutReceiver
from tocsin_consumer.records import Entry, Outcome
from tocsin_consumer.store import Store

BUSY = TemporaryError("busy")


class Sut:
    """A worker over a store in memory, with a clock that only moves when the worker asks to wait."""

    def __init__(self, *, limits: tuple[RateLimit, ...] = (), max_age: timedelta = timedelta(hours=1)) -> None:
        self.clock = FakeClock()
        self.store = Store("sqlite://")
        self.receiver = FakeReceiver(limits=limits, clock=self.clock)
        self.max_age = max_age
        self.worker = self.restarted()

    def restarted(self) -> Worker:
        return Worker(
            self.receiver,
            self.store,
            max_age=self.max_age,
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
            backoff=lambda failures: float(min(60, 2**failures)),
        )

    def stepped(self, *, seconds: float) -> None:
        """Set the clock forward by that long, which no other clock sees."""
        self.clock.now += timedelta(seconds=seconds)

    def record(self, *names: str, receiver: str = "ops") -> None:
        """Record events given as uid/count."""
        events = [event(uid=name.split("/")[0], count=int(name.split("/")[1])) for name in names]
        entries = [Entry(said, payload(said), self.clock.now, (receiver,)) for said in events]
        self.store.record(entries, [], positions={}, now=self.clock.now)

    def run(self, *, seconds: float) -> None:
        """Let the worker work for that long."""
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            wait = self.worker.step()
            self.clock.advance(min(wait, end - self.clock.seconds))

    def pending(self) -> int:
        backlog = self.store.backlog().get("ops")
        return backlog.waiting if backlog else 0


@pytest.fixture
def sut() -> Iterator[Sut]:
    made = Sut()
    yield made
    made.store.close()


def test_what_is_pending_is_delivered_in_order(sut: Sut) -> None:
    sut.record("a/1", "b/1", "a/2")
    sut.run(seconds=1)
    assert sut.receiver.delivered == ["a/1", "b/1", "a/2"]
    assert sut.pending() == 0
    assert str(sut.worker.counters) == "delivered=3 degraded=0 failed_tries=0 dead=0"


def test_another_receivers_deliveries_are_left_alone(sut: Sut) -> None:
    sut.record("a/1", receiver="dump")
    sut.run(seconds=1)
    assert sut.receiver.tries == []


def test_a_worker_with_nothing_to_do_sleeps(sut: Sut) -> None:
    assert sut.worker.step() == IDLE_SECONDS


def test_a_receiver_that_is_down_is_left_alone_longer_and_longer_and_loses_nothing(sut: Sut) -> None:
    sut.record("a/1", "b/1")
    sut.receiver.objection = lambda _: BUSY
    sut.run(seconds=600)
    assert len(sut.receiver.tries) < 20
    sut.receiver.objection = lambda _: None
    sut.run(seconds=120)
    assert sorted(sut.receiver.delivered) == ["a/1", "b/1"]
    assert sut.pending() == 0


def test_a_receiver_that_is_down_for_most_of_a_day_gets_everything_once_it_is_back_and_no_flood_of_tries() -> None:
    sut = Sut(max_age=timedelta(hours=24))
    names = [f"u{number}/1" for number in range(50)]
    sut.record(*names)
    sut.receiver.objection = lambda _: BUSY
    sut.run(seconds=20 * 3600)
    assert sut.pending() == len(names)
    assert len(sut.receiver.tries) <= 20 * 60 + 20
    sut.receiver.objection = lambda _: None
    sut.run(seconds=7200)
    assert sorted(sut.receiver.delivered) == sorted(names)
    assert sut.pending() == sut.worker.counters.dead == 0
    sut.store.close()


def test_a_streak_of_failures_is_warned_of_once_and_its_end_is_told(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sut.record("a/1", "b/1")
    sut.receiver.objection = lambda _: BUSY if sut.clock.seconds < 1020 else None
    sut.run(seconds=120)
    failures = sut.worker.counters.failed_tries
    assert failures > 1
    assert caplog.messages == [
        "receiver ops: busy; trying again",
        f"receiver ops works again after {failures} failures",
    ]


def test_a_notification_that_always_fails_holds_up_its_own_later_states_and_nothing_else(sut: Sut) -> None:
    sut.record("bad/1", "a/1", "bad/2", "b/1")
    sut.receiver.objection = lambda content: BUSY if content == "bad/1" else None
    sut.run(seconds=30)
    assert sut.receiver.delivered == ["a/1", "b/1"]
    assert "bad/2" not in sut.receiver.tries
    sut.receiver.objection = lambda _: None
    sut.run(seconds=120)
    assert sut.receiver.delivered == ["a/1", "b/1", "bad/1", "bad/2"]


def test_a_service_that_names_a_time_is_not_tried_before_with_anything(sut: Sut) -> None:
    sut.record("a/1", "b/1")
    sut.receiver.objection = lambda _: TemporaryError("slow down", retry_after=timedelta(seconds=50))
    sut.run(seconds=49)
    assert len(sut.receiver.tries) == 1


def test_a_delivery_older_than_the_receivers_bound_is_a_dead_letter() -> None:
    sut = Sut(max_age=timedelta(minutes=10))
    sut.record("a/1")
    sut.receiver.objection = lambda _: BUSY
    sut.run(seconds=900)
    assert sut.pending() == 0
    assert sut.worker.counters.dead == 1
    sut.store.close()


def test_a_backlog_that_became_too_old_is_not_tried_one_by_one_at_a_receiver_that_does_not_work() -> None:
    sut = Sut(max_age=timedelta(minutes=10))
    sut.record(*(f"u{number}/1" for number in range(500)))
    sut.receiver.objection = lambda _: BUSY
    sut.run(seconds=900)
    assert sut.pending() == 0
    assert sut.worker.counters.dead == 500
    assert len(sut.receiver.tries) < 30
    reasons = {letter.reason for letter in sut.store.dead_letters(Search())}
    assert reasons == {f"not delivered within 10m: last: {BUSY.reason}"}
    sut.store.close()


def test_a_backlog_that_became_too_old_while_we_were_away_is_tried_once() -> None:
    sut = Sut(max_age=timedelta(minutes=10))
    sut.record("a/1", "b/1")
    sut.clock.advance(3600)
    sut.run(seconds=1)
    assert sut.receiver.delivered == ["a/1", "b/1"]
    sut.store.close()


def test_a_clock_that_is_set_forward_makes_no_delivery_too_old(sut: Sut) -> None:
    sut.record("a/1", "b/1")
    sut.receiver.objection = lambda _: BUSY
    sut.run(seconds=5)
    sut.stepped(seconds=56 * 365 * 86400)
    sut.run(seconds=5)
    assert sut.worker.counters.dead == 0
    sut.receiver.objection = lambda _: None
    sut.run(seconds=120)
    assert sorted(sut.receiver.delivered) == ["a/1", "b/1"]


def test_after_the_clock_was_set_forward_deliveries_still_become_too_old() -> None:
    sut = Sut(max_age=timedelta(minutes=10))
    sut.stepped(seconds=1_000_000)
    sut.record("a/1")
    sut.receiver.objection = lambda _: BUSY
    sut.run(seconds=900)
    assert sut.worker.counters.dead == 1
    sut.store.close()


@pytest.mark.parametrize("error", [PermanentError("no such group"), RenderError("no such group")])
def test_what_can_never_be_delivered_is_a_dead_letter_at_once(
    sut: Sut, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    sut.record("bad/1", "a/1")
    sut.receiver.objection = lambda content: error if content == "bad/1" else None
    sut.run(seconds=0.01)
    assert sut.receiver.delivered == ["a/1"]
    assert sut.pending() == 0
    assert caplog.messages == ["dead letter: receiver ops: cluster edge-1, event bad: no such group"]


def test_a_template_that_does_not_fit_is_a_dead_letter_and_costs_no_try(sut: Sut) -> None:
    sut.record("a/1")
    sut.receiver.render_error = RenderError("line 1: no such field")
    sut.run(seconds=0.01)
    assert sut.receiver.tries == []
    assert sut.worker.counters.dead == 1


def test_what_cannot_be_rendered_is_that_events_own_failure_and_the_receiver_never_rests(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    sut.record(*(f"u{number}/1" for number in range(30)))
    sut.receiver.render_error = OverflowError("date value out of range")
    sut.run(seconds=0.01)
    assert sut.worker.counters.dead == 30
    sut.receiver.render_error = None
    sut.record("a/1")
    sut.run(seconds=0.01)
    assert sut.receiver.delivered == ["a/1"]
    assert caplog.text.count("Traceback") + caplog.text.count("in render") == 1
    assert "event u0: cannot be rendered: OverflowError" in caplog.text


def test_the_events_of_a_broken_clock_reach_a_receiver_east_of_utc(sut: Sut) -> None:
    far = event(uid="far", first=253_402_300_799, last=253_402_300_799)
    sut.store.record([Entry(far, payload(far), sut.clock.now, ("ops",))], [], positions={}, now=sut.clock.now)
    zone = ZoneInfo("Pacific/Kiritimati")
    written = StringIO()
    receiver = StdoutReceiver("ops", StdoutSettings(), time_zone=zone, language="zh", stream=written)
    worker = Worker(receiver, sut.store, max_age=timedelta(hours=1), clock=sut.clock.utc)
    worker.step()
    assert str(worker.counters) == "delivered=1 degraded=0 failed_tries=0 dead=0"
    assert "9999-12-31" in written.getvalue()


def test_an_error_that_no_receiver_should_raise_is_told_at_length_once(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    sut.record("a/1", "b/1", "c/1")
    sut.receiver.objection = lambda _: ValueError("x")
    sut.run(seconds=600)
    assert len(sut.receiver.tries) > 10
    assert caplog.text.count("in deliver") == 1
    assert caplog.text.count("internal error: ValueError; trying again") == 1


def test_less_than_was_meant_is_counted_and_warned_of_once_per_streak(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    sut.record("a/1", "b/1")
    sut.receiver.shortfall = "as text: the card was refused: code 11246"
    sut.run(seconds=1)
    sut.receiver.shortfall = None
    sut.record("c/1")
    sut.run(seconds=100)
    sut.receiver.shortfall = "as text: the card was refused: code 9499"
    sut.record("d/1")
    sut.run(seconds=100)
    assert str(sut.worker.counters) == "delivered=4 degraded=3 failed_tries=0 dead=0"
    assert caplog.messages == [
        "receiver ops: delivered as text: the card was refused: code 11246",
        "receiver ops: delivered as text: the card was refused: code 9499",
    ]


def test_an_error_that_no_receiver_should_raise_is_tried_again_and_then_a_dead_letter(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    sut.record("bad/1", "a/1")
    error = ValueError("https://open.feishu.cn/open-apis/bot/v2/hook/token")
    sut.receiver.objection = lambda content: error if content == "bad/1" else None
    sut.run(seconds=600)
    assert sut.receiver.tries.count("bad/1") == 5
    assert sut.receiver.delivered == ["a/1"]
    assert sut.pending() == 0
    assert "in deliver" in caplog.text
    assert "hook/token" not in caplog.text


def test_what_the_store_cannot_give_back_is_a_dead_letter_and_holds_nothing_up(
    sut: Sut, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = Entry(event(uid="bad"), b'{"v":1,', sut.clock.now, ("ops",))
    sut.store.record([damaged], [], positions={}, now=sut.clock.now)
    sut.record("a/1")
    sut.run(seconds=1)
    assert sut.receiver.delivered == ["a/1"]
    assert sut.pending() == 0
    assert sut.worker.counters.dead == 1
    assert caplog.messages == [
        "dead letter: receiver ops: cluster edge-1, event bad: what the store holds of it cannot be read"
    ]


def test_a_storm_of_dead_letters_does_not_flood_the_log(sut: Sut, caplog: pytest.LogCaptureFixture) -> None:
    sut.record(*(f"u{number}/1" for number in range(100)))
    sut.receiver.objection = never
    sut.run(seconds=1)
    assert sut.worker.counters.dead == 100
    assert len(caplog.messages) == 10


def test_a_receivers_rate_limit_is_kept() -> None:
    sut = Sut(limits=(RateLimit(2, timedelta(seconds=1)), RateLimit(5, timedelta(seconds=60))))
    sut.record(*(f"u{number}/1" for number in range(7)))
    sut.run(seconds=59)
    assert [at - 1000 for at in sut.receiver.tried_at] == [0, 0, 1, 1, 2]
    sut.run(seconds=10)
    assert len(sut.receiver.delivered) == 7
    sut.store.close()


def test_every_request_of_a_delivery_counts_for_the_rate_limit() -> None:
    sut = Sut(limits=(RateLimit(4, timedelta(seconds=1)),))
    sut.receiver.requests = 2
    sut.record(*(f"u{number}/1" for number in range(6)))
    sut.run(seconds=5)
    assert [at - 1000 for at in sut.receiver.tried_at] == [0, 0, 1, 1, 2, 2]
    sut.store.close()


def test_a_delivery_that_takes_more_requests_than_a_limit_permits_is_made_all_the_same() -> None:
    sut = Sut(limits=(RateLimit(1, timedelta(seconds=1)),))
    sut.receiver.requests = 2
    sut.record("a/1", "b/1")
    sut.run(seconds=5)
    assert sut.receiver.delivered == ["a/1", "b/1"]
    sut.store.close()


def test_what_a_receiver_elsewhere_took_is_written_down_before_it_gets_anything_more(sut: Sut) -> None:
    sut.receiver.is_local = False
    sut.record("a/1", "b/1", "c/1")
    still_pending = []

    def look(_: str) -> None:
        still_pending.append(sut.pending())

    sut.receiver.objection = look
    sut.run(seconds=1)
    assert still_pending == [3, 2, 1]


def test_after_a_restart_what_was_pending_goes_on_and_what_was_delivered_does_not_come_again(sut: Sut) -> None:
    sut.record("a/1", "b/1")
    sut.receiver.objection = lambda content: BUSY if content == "b/1" else None
    sut.run(seconds=1)
    sut.receiver.objection = lambda _: None
    sut.worker = sut.restarted()
    sut.run(seconds=60)
    assert sut.receiver.delivered == ["a/1", "b/1"]


def test_what_a_slow_receiver_took_is_written_down_before_the_next_try(sut: Sut) -> None:
    sut.record("a/1", "b/1", "c/1")

    def slowly(_: str) -> None:
        sut.clock.advance(SETTLE_SECONDS)

    sut.receiver.objection = slowly
    sut.worker.step()
    assert sut.pending() == 3
    sut.worker.step()
    assert sut.pending() == 2
    assert sut.receiver.delivered == ["a/1", "b/1"]


def test_nothing_more_is_delivered_while_outcomes_cannot_be_written_down(
    sut: Sut, monkeypatch: pytest.MonkeyPatch
) -> None:
    sut.record("a/1", "b/1")

    def fail(_: list[Outcome]) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patch:
        patch.setattr(sut.store, "settle", fail)
        sut.worker.step()
        sut.clock.advance(SETTLE_SECONDS)
        for _ in range(3):
            with pytest.raises(StoreError):
                sut.worker.step()
    sut.run(seconds=1)
    assert sut.receiver.tries == ["a/1", "b/1"]


def test_a_running_worker_is_woken_by_news_and_by_the_stop_and_writes_down_what_it_did() -> None:
    store = Store("sqlite://")
    receiver = FakeReceiver()
    worker = Worker(receiver, store, max_age=timedelta(hours=1), clock=lambda: NOW)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    said = event()
    store.record([Entry(said, payload(said), NOW, ("ops",))], [], positions={}, now=NOW)
    worker.wake()
    until(lambda: receiver.delivered)
    stop.set()
    worker.wake()
    thread.join(5)
    assert not thread.is_alive()
    assert store.backlog() == {}
    store.close()


def test_a_store_that_fails_makes_a_worker_wait_and_never_ends_it(
    sut: Sut, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("locked")

    monkeypatch.setattr(sut.store, "due", fail)
    assert [sut.worker._guarded_step() for _ in range(3)] == [2.0, 4.0, 8.0]
    assert caplog.messages == ["receiver ops waits for the store: locked"]


def test_whatever_goes_wrong_in_a_worker_is_logged_and_it_goes_on(
    sut: Sut, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sut.record("a/1")

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(sut.store, "due", fail)
        assert sut.worker._guarded_step() == 2.0
    assert "ZeroDivisionError" in caplog.text
    assert sut.worker._guarded_step() == 0.0
    assert sut.receiver.delivered == ["a/1"]


def test_outcomes_that_cannot_be_written_down_at_the_end_are_told(
    sut: Sut, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: list[Outcome]) -> None:
        raise StoreError("full")

    sut.record("a/1")
    sut.worker.step()
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(sut.store, "settle", fail)
    sut.worker.run(stop)
    assert caplog.messages == ["receiver ops: 1 deliveries may be repeated at the next start: full"]


def test_what_was_delivered_is_written_down_before_a_limit_makes_the_worker_wait() -> None:
    sut = Sut(limits=(RateLimit(1, timedelta(minutes=1)),))
    sut.record("a/1", "b/1")
    sut.worker.step()
    assert sut.worker.step() > 0
    assert sut.receiver.delivered == ["a/1"]
    assert sut.pending() == 1
    sut.store.close()


def test_a_delivery_waits_for_room_for_as_many_requests_as_the_last_one_took() -> None:
    sut = Sut(limits=(RateLimit(3, timedelta(minutes=1)),))
    sut.receiver.requests = 2
    sut.record("a/1", "b/1")
    sut.run(seconds=59)
    assert sut.receiver.delivered == ["a/1"]
    sut.run(seconds=2)
    assert sut.receiver.delivered == ["a/1", "b/1"]
    sut.store.close()
