import re
import threading
from collections.abc import Callable
from typing import Any, Self, cast

import pytest

from tests.producer.conftest import MakePipeline, event
from tocsin_producer.health import LATE_SECONDS, Health, Source
from tocsin_producer.link import Link
from tocsin_producer.probes import Answer
from tocsin_producer.replay import ReplaySource
from tocsin_producer.status import OwnStatus
from tocsin_producer.tenure import Tenure
from tocsin_schemas import __version__
from tocsin_schemas.pulse import Pulse
from tocsin_schemas.session import Broker, Session


class FakeWatch:
    """A watch whose progress is what the test says."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.pulse = Pulse(clock)
        self.has_listed = True
        self.contact_seconds: float | None = 1.5

    def run(self, stop: threading.Event) -> None:
        stop.wait()

    def abort(self) -> None:
        """Nothing to end."""


class Bench:
    def __init__(self, make_pipeline: MakePipeline) -> None:
        self.time = 0.0
        self.pipeline = make_pipeline()
        self.stop = threading.Event()
        tenure = Tenure(
            Broker("b.example", 8883, "c", tls=True),
            self.stop,
            cluster="edge-042",
            status_topic="s",
            later_boot=lambda than: than + 1,
        )
        self.session = Session(Broker("b.example", 8883, "c", tls=True), cast("Any", None))
        self.session.pulse = Pulse(self.clock)
        tenure._session = self.session
        status = OwnStatus("edge-042", 17, self.pipeline.outbox)
        self.link = Link(self.pipeline.outbox, status, status_topic="s", leave=tenure.leave)
        self.watch = FakeWatch(self.clock)
        self.thread = threading.Thread(target=self.watch.run, args=(self.stop,), name="watch-0")
        self.health = Health(
            "edge-042",
            self.pipeline.database,
            self.pipeline.intake,
            self.pipeline.fold,
            self.pipeline.outbox,
            self.link,
            tenure,
            [(cast("Source", self.watch), self.thread)],
        )
        self.link.is_connected = True

    def clock(self) -> float:
        return self.time

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def figures(self) -> dict[str, float]:
        text = self.health.metrics().text
        return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE)}


@pytest.fixture
def bench(make_pipeline: MakePipeline) -> Bench:
    return Bench(make_pipeline)


def test_a_producer_whose_threads_make_progress_is_alive_and_ready(bench: Bench) -> None:
    with bench:
        assert bench.health.healthz() == bench.health.readyz() == Answer(200, "ok\n")


def test_a_watch_that_should_have_been_heard_of_is_stuck(bench: Bench) -> None:
    with bench:
        bench.watch.pulse.expect(270)
        bench.time = 270 + LATE_SECONDS
        assert bench.health.healthz().status == 200
        bench.time += 1
        assert bench.health.healthz() == Answer(503, "watch-0 is stuck: it should have been heard of 61 s ago\n")
        assert bench.health.readyz().status == 503


def test_a_session_that_should_have_been_heard_of_is_stuck(bench: Bench) -> None:
    with bench:
        bench.session.pulse.expect(20)
        bench.time = 21 + LATE_SECONDS
        assert "the MQTT session is stuck" in bench.health.healthz().text
        bench.session.pulse.rest()
        assert bench.health.healthz().status == 200


def test_a_watch_that_has_ended_is_no_progress(bench: Bench) -> None:
    with bench:
        pass
    assert bench.health.healthz() == Answer(503, "watch-0 has ended\n")


def test_a_link_that_is_down_does_not_restart_the_pod_but_is_not_ready_and_says_why(bench: Bench) -> None:
    with bench:
        bench.link.is_connected = False
        bench.session.trouble = "DNS: Name or service not known"
        assert bench.health.healthz() == Answer(200, "ok\n")
        assert bench.health.readyz() == Answer(
            503, "no connection to the broker: DNS: Name or service not known\n"
        )


def test_an_api_server_that_was_never_there_does_not_restart_the_pod_but_is_not_ready(bench: Bench) -> None:
    with bench:
        bench.watch.has_listed, bench.watch.contact_seconds = False, None
        assert bench.health.healthz().status == 200
        assert bench.health.readyz() == Answer(503, "watch-0 has not listed the Events yet\n")
        assert "tocsin_producer_api_contact_age_seconds" not in bench.figures()


def test_a_superseded_producer_is_alive_and_says_what_it_is(bench: Bench) -> None:
    with bench:
        bench.link.superseded_by, bench.link.is_connected = 18, False
        text = "superseded: another producer (boot 18) speaks for edge-042\n"
        assert bench.health.healthz() == Answer(200, "ok\n" + text)
        assert bench.health.readyz() == Answer(503, text)
        assert bench.figures()["tocsin_producer_superseded"] == 1


def test_a_producer_whose_events_are_refused_is_not_ready_and_says_why(bench: Bench) -> None:
    with bench:
        bench.link._suspects.note_refused("a", "Not authorized")
        assert bench.health.healthz().status == 200
        assert bench.health.readyz() == Answer(
            503, "the broker refuses 1 of the events that wait: Not authorized\n"
        )


def test_a_state_that_cannot_be_written_is_shown(bench: Bench) -> None:
    with bench:
        bench.pipeline.database.trouble = "database or disk is full"
        assert bench.health.healthz().status == 200
        assert bench.health.readyz() == Answer(503, "the state cannot be written: database or disk is full\n")
        assert bench.figures()["tocsin_producer_state_failing"] == 1


def test_the_figures_are_those_of_the_parts(bench: Bench) -> None:
    with bench:
        bench.pipeline.intake.offer([event("a"), event("a"), event("b"), "odd"], "w")
        bench.pipeline.outbox.give_up(bench.pipeline.outbox.take(1)[0])
        counters = bench.link.counters
        counters.published, counters.refused, counters.unheard, counters.connections = 5, 4, 3, 3
        counters.bytes, counters.traffic = 99, 500
        figures = bench.figures()
    del figures[f'tocsin_producer_info{{version="{__version__}",cluster="edge-042"}}']
    assert figures.pop("tocsin_producer_oldest_waiting_seconds") < 60
    assert figures.pop("tocsin_producer_outbox_bytes") > 100
    assert figures == {
        "tocsin_producer_boot": 17,
        "tocsin_producer_api_contact_age_seconds": 1.5,
        "tocsin_producer_events_seen_total": 4,
        'tocsin_producer_events_total{outcome="accepted"}': 2,
        'tocsin_producer_events_total{outcome="folded"}': 0,
        'tocsin_producer_events_total{outcome="repeated"}': 1,
        'tocsin_producer_events_total{outcome="filtered"}': 0,
        'tocsin_producer_events_total{outcome="malformed"}': 1,
        "tocsin_producer_waiting": 1,
        "tocsin_producer_folded": 0,
        "tocsin_producer_held": 0,
        'tocsin_producer_lost_total{reason="room"}': 0,
        'tocsin_producer_lost_total{reason="size"}': 1,
        "tocsin_producer_state_failing": 0,
        "tocsin_producer_link_connected": 1,
        "tocsin_producer_superseded": 0,
        "tocsin_producer_published_total": 5,
        "tocsin_producer_refused_total": 4,
        "tocsin_producer_unheard_total": 3,
        "tocsin_producer_reconnects_total": 2,
        "tocsin_producer_sent_bytes_total": 99,
        "tocsin_producer_traffic_bytes_total": 500,
        "tocsin_producer_budget_spent_bytes": 0,
    }


def test_the_figures_come_in_the_format_that_prometheus_reads(bench: Bench) -> None:
    with bench:
        answer = bench.health.metrics()
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    sample = r'\w+(\{(\w+="[^"\n]*",?)+\})? [0-9.]+'
    assert [
        line for line in answer.text.splitlines() if not re.fullmatch(rf"# (HELP|TYPE) .+|{sample}", line)
    ] == []


def test_a_recording_is_a_source_that_is_never_late() -> None:
    source = ReplaySource(cast("Any", None), cast("Any", None), speed=0, on_end=lambda: None)
    assert (source.pulse.late_seconds, source.has_listed, source.contact_seconds) == (0, True, None)
