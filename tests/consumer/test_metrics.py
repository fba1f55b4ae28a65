import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.consumer.messages import (
    NO_STORMS,
    NOW,
    ROOT,
    RULES,
    FakeClock,
    FakeConnection,
    FakeReceiver,
    arrival,
    event,
    never,
    status,
)
from tocsin_consumer.deliver import Worker
from tocsin_consumer.errors import StoreError, TemporaryError
from tocsin_consumer.inbox import Inbox
from tocsin_consumer.intake import Intake
from tocsin_consumer.metrics import Metrics, Sources
from tocsin_consumer.mute import Mutes
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.route import Route
from tocsin_consumer.settings import RouteSettings
from tocsin_consumer.store import Store


class Sut:
    """A consumer's parts, as far as they are measured."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store("sqlite://")
        self.receiver = FakeReceiver(clock=self.clock)
        self.metrics = Metrics()
        self.worker = Worker(
            self.receiver,
            self.store,
            max_age=timedelta(hours=1),
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
            observe=self.metrics.latency.labels("ops").observe,
        )
        route = RouteSettings.model_validate({"receivers": ["ops"], "drop": [{"reason": "Noise"}]})
        self.pipeline = Pipeline(
            ROOT,
            Route(route, single=["ops"]),
            rules=RULES,
            mutes=Mutes(),
            storm_rules=NO_STORMS,
            store=self.store,
            notify=lambda _: None,
            clock=self.clock.utc,
        )
        self.inbox = Inbox()
        self.intake = Intake(ROOT, self.inbox)
        self.metrics.measure(
            Sources(self.pipeline, {"ops": self.worker}, self.inbox, self.intake, self.store), clock=self.clock.utc
        )

    def read(self) -> dict[str, float]:
        """Return every sample by its name and the values of its labels, in the order of their names."""
        _, _, page = self.metrics.page()
        samples = [one for family in text_string_to_metric_families(page.decode()) for one in family.samples]
        return {
            "/".join((one.name, *(one.labels[name] for name in sorted(one.labels)))): one.value for one in samples
        }

    def run(self) -> None:
        while self.worker.step() == 0:
            pass


@pytest.fixture
def sut() -> Iterator[Sut]:
    made = Sut()
    yield made
    made.store.close()


def test_messages_are_counted_by_what_became_of_them(sut: Sut) -> None:
    noise = event(uid="n", reason="Noise", seq=3)
    said = [arrival(event(count=2)), arrival(event(count=2)), arrival(event(count=1)), arrival(noise)]
    sut.pipeline.process([*said, arrival(b"{"), status(boot=9)])
    found = sut.read()
    outcomes = {name.rpartition("/")[2]: value for name, value in found.items() if "messages_total" in name}
    assert outcomes == {"event": 2, "repeat": 1, "stale": 1, "status": 1, "rejected": 1}
    assert found["tocsin_consumer_events_dropped_total"] == 1
    assert found["tocsin_consumer_events_missing_total"] == 1
    assert found["tocsin_consumer_dead_letters_total/payload"] == 1


def test_clusters_are_counted_by_state_and_none_is_named(sut: Sut) -> None:
    sut.pipeline.process([status(cluster="edge-7"), status("offline", cluster="edge-8")])
    sut.pipeline.expect(["edge-9"])
    found = sut.read()
    states = {name.rpartition("/")[2]: value for name, value in found.items() if "_clusters/" in name}
    assert states == {"online": 1, "offline": 1, "unseen": 1, "silent": 0, "unstable": 0}
    assert not [name for name in found if "edge-" in name]


def test_a_receivers_deliveries_failures_backlog_and_latency_are_told(sut: Sut) -> None:
    sut.pipeline.process([arrival(event(uid=uid, last=int(NOW.timestamp()))) for uid in "abc"])
    sut.receiver.objection = lambda content: TemporaryError("busy") if content == "b/1" else None
    sut.clock.advance(7)
    sut.run()
    found = sut.read()
    assert found["tocsin_consumer_deliveries_waiting/ops"] == 2
    assert found["tocsin_consumer_delivery_oldest_waiting_seconds/ops"] == 7
    assert found["tocsin_consumer_deliveries_total/ops"] == 1
    assert found["tocsin_consumer_deliveries_degraded_total/ops"] == 0
    assert found["tocsin_consumer_delivery_failures_total/temporary/ops"] == 1
    assert found["tocsin_consumer_delivery_latency_seconds_bucket/5.0/ops"] == 0
    assert found["tocsin_consumer_delivery_latency_seconds_bucket/10.0/ops"] == 1
    sut.receiver.objection = never
    sut.clock.advance(600)
    sut.run()
    found = sut.read()
    assert found["tocsin_consumer_dead_letters_total/delivery"] == 2
    assert found["tocsin_consumer_delivery_failures_total/permanent/ops"] == 2
    assert found["tocsin_consumer_deliveries_waiting/ops"] == 0
    assert found["tocsin_consumer_delivery_oldest_waiting_seconds/ops"] == 0


def test_the_connection_and_the_inbox_are_told(sut: Sut) -> None:
    sut.inbox.put(arrival(event()))
    for _ in range(2):
        sut.intake.on_connected(FakeConnection().real, session_present=True)
    found = sut.read()
    assert found["tocsin_consumer_inbox_messages"] == 1
    assert found["tocsin_consumer_connected"] == 1
    assert found["tocsin_consumer_connections_total"] == 2
    sut.intake.on_disconnected("broken pipe")
    assert sut.read()["tocsin_consumer_connected"] == 0


def test_a_store_that_fails_is_counted_and_hides_nothing_else(sut: Sut, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("full")

    commits = sut.read()["tocsin_consumer_store_commits_total"]
    sut.pipeline.process([arrival(event())])
    assert sut.read()["tocsin_consumer_store_commits_total"] > commits
    with sut.store._database.transaction() as connection:
        connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError):
        sut.pipeline.process([arrival(event(uid="b"))])
    monkeypatch.setattr(sut.store, "backlog", fail)
    found = sut.read()
    assert found["tocsin_consumer_store_failures_total"] == 1
    assert "tocsin_consumer_deliveries_waiting/ops" not in found
    assert found["tocsin_consumer_messages_total/event"] == 1


def test_a_store_at_which_others_wait_holds_up_no_figures(sut: Sut) -> None:
    sut.store._database.lock.acquire()  # as one does whom SQLite's own lock keeps waiting
    page: list[object] = []
    thread = threading.Thread(target=lambda: page.append(sut.read()), daemon=True)
    thread.start()
    thread.join(5)
    sut.store._database.lock.release()
    assert page
    assert "tocsin_consumer_deliveries_waiting/ops" not in str(page)


def test_every_name_has_our_prefix_and_keeps_the_conventions(sut: Sut) -> None:
    _, content_type, page = sut.metrics.page()
    assert content_type.startswith("text/plain")
    for family in text_string_to_metric_families(page.decode()):
        assert family.name.startswith("tocsin_consumer_")
        assert family.documentation.endswith(".")
