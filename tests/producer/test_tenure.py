"""Two producers for one cluster on a real broker, with MQTT 5 and with 3.1.1."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from tests.mosquitto import OPEN, Mosquitto
from tests.producer.conftest import message
from tests.schemas.session_harness import Recorder, broker_at, running, unique
from tests.waiting import until
from tocsin_producer import standby as standby_module
from tocsin_producer import suspects as suspects_module
from tocsin_producer import tenure as tenure_module
from tocsin_producer.database import Database, later_boot
from tocsin_producer.link import Link
from tocsin_producer.outbox import Outbox
from tocsin_producer.status import OwnStatus
from tocsin_producer.tenure import Tenure
from tocsin_schemas.session import Broker, Session

pytestmark = pytest.mark.broker

ACL = "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {folder}/acl\n"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


class OldSession(Session):
    """Speaks MQTT 3.1.1 from the beginning."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._protocol = mqtt.MQTTv311


@pytest.fixture(params=[Session, OldSession], ids=["5", "3.1.1"])
def _either_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenure_module, "Session", request.param)


class Producer:
    """The link of a producer with its outbox, holding its session in a thread."""

    def __init__(self, broker: Broker, topic: str, boot: int) -> None:
        database = Database(None)
        self.stop = threading.Event()
        self.outbox = Outbox(database, max_messages=100, max_bytes=10**6)
        self.backoffs: list[int] = []
        self.tenure = Tenure(
            broker,
            self.stop,
            cluster="edge-042",
            status_topic=topic,
            later_boot=lambda than: later_boot(database, than),
            backoff=self.backoff,
        )
        status = OwnStatus("edge-042", boot, self.outbox)
        self.link = Link(self.outbox, status, status_topic=topic, leave=self.tenure.leave)
        self._thread = threading.Thread(target=self.tenure.run, args=(self.link,), name=f"producer-{boot}")

    def backoff(self, failures: int) -> float:
        self.backoffs.append(failures)
        return 0.05 * failures

    @property
    def boot(self) -> int:
        return self.link.status.boot

    def is_told(self) -> bool:
        return self.link.is_connected and self.link._rivalry.has_told

    @contextmanager
    def running(self) -> Iterator["Producer"]:
        self._thread.start()
        try:
            yield self
        finally:
            self.end()

    def end(self) -> None:
        self.tenure.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def statuses(watcher: Recorder) -> list[tuple[int, str]]:
    found = [json.loads(payload) for payload in watcher.payloads()]
    return [(status["boot"], status["state"]) for status in found]


@pytest.mark.usefixtures("_either_version")
@pytest.mark.parametrize(
    "boots", [(1000, 2000), (2000, 1000), (1000, 1000)], ids=["later", "behind", "same second"]
)
def test_two_producers_for_one_cluster_end_with_one_clear_error_and_one_of_them_speaking(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture, boots: tuple[int, int]
) -> None:
    topic, broker = unique(), broker_at(mosquitto.port, client_id="tocsin-producer-edge-042")
    first, second = (Producer(broker, topic, boot) for boot in boots)
    with first.running():
        until(first.is_told)
        with second.running():
            until(lambda: first.link.superseded_by is not None)
            until(second.is_told)
            until(lambda: "as tocsin-producer-edge-042-standby-" in mosquitto.log())
            connections = second.link.counters.connections
            second.outbox.put(message("a"))
            second.tenure.wake()
            until(lambda: second.outbox.waiting == 0)
            (error,) = errors(caplog)
            assert second.link.superseded_by is None
            assert second.link.counters.connections == connections
    assert "cluster edge-042 as client tocsin-producer-edge-042" in error
    assert f"its boot {second.boot} is later than this one's, {first.boot}" in error
    assert second.boot > first.boot


@pytest.mark.usefixtures("_either_version")
def test_a_superseded_producer_keeps_what_comes_and_takes_over_when_the_other_is_gone(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby_module, "GRACE_SECONDS", 0.5)
    topic, broker = unique(), broker_at(mosquitto.port)
    first, second = Producer(broker, topic, 1000), Producer(broker, topic, 2000)
    watcher = Recorder(filters=(topic,))
    with running(broker_at(mosquitto.port), watcher), first.running():
        until(first.is_told)
        with second.running():
            until(lambda: first.link.superseded_by is not None)
            until(second.is_told)
            first.outbox.put(message("held"))
            first.tenure.wake()
        assert first.outbox.waiting == 1
        until(lambda: first.outbox.waiting == 0)
        assert (first.link.superseded_by, first.boot) == (None, 2001)
    until(lambda: statuses(watcher)[-1] == (2001, "offline"))
    assert statuses(watcher)[-3:] == [(2000, "offline"), (2001, "online"), (2001, "offline")]
    assert len(errors(caplog)) == 1
    assert "is gone; speaking for cluster edge-042 again" in caplog.text


def test_a_producer_alone_is_never_superseded_by_what_earlier_ones_left(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own will, the late will of an earlier boot, and a status from the time when the clock was ahead."""
    topic = unique()
    ghost = Recorder()
    only = Producer(broker_at(mosquitto.port), topic, 1000)

    def leave_behind(boot: int, state: str) -> None:
        ghost.outbox.append((topic, json.dumps({"boot": boot, "state": state}).encode(), True))
        run.session.wake()
        until(ghost.is_idle)

    with running(broker_at(mosquitto.port), ghost) as run:
        leave_behind(4_000_000_000, "online")
        with only.running():
            until(lambda: only.boot == 4_000_000_001 and only.is_told())
            for boot, state in ((4_000_000_001, "offline"), (900, "offline"), (5_000_000_000, "offline")):
                leave_behind(boot, state)
                connections = only.link.counters.connections
                with running(Broker(**vars_of(only)), Recorder()):  # takes the session, says nothing, and goes
                    until(lambda: not only.link.is_connected)
                until(lambda connections=connections: only.link.counters.connections > connections)  # type: ignore[misc]
                until(only.is_told)
            assert (only.link.superseded_by, only.boot) == (None, 4_000_000_001)
    assert errors(caplog) == []


def vars_of(producer: Producer) -> dict[str, Any]:
    broker = producer.tenure._broker
    return {"host": broker.host, "port": broker.port, "client_id": broker.client_id, "tls": False}


@pytest.mark.usefixtures("_either_version")
def test_a_producer_that_may_not_read_its_status_works_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin_producer.rivalry.LOOK_SECONDS", 0.2)
    (tmp_path / "acl").write_text("topic write #\n")
    with Mosquitto(tmp_path, ACL) as mosquitto:
        producer = Producer(broker_at(mosquitto.port), "k8s/v1/edge-042/status", 1000)
        with producer.running():
            for connections in (1, 2, 3):
                until(lambda connections=connections: producer.link.counters.connections == connections)  # type: ignore[misc]
                producer.outbox.put(message(f"event-{connections}"))
                producer.tenure.wake()
                until(lambda: producer.outbox.waiting == 0)
                mosquitto.kill()
                until(lambda: not producer.link.is_connected)
                mosquitto.start()
            until(producer.is_told)
    assert [record.getMessage()[:11] for record in caplog.records].count("cannot read") == 1


@pytest.mark.usefixtures("_either_version")
def test_a_message_that_is_too_large_for_the_broker_is_given_up_and_keeps_nothing_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects_module, "PAUSES_SECONDS", (0.0, 0.05, 0.05))
    monkeypatch.setattr(suspects_module, "SPACING_SECONDS", 0.05)
    with Mosquitto(tmp_path, f"{OPEN}max_packet_size 500\n") as mosquitto:
        producer = Producer(broker_at(mosquitto.port), unique(), 1000)
        producer.outbox.put(message("small"))
        producer.outbox.put(message("too large", payload=f'{{"x":"{"x" * 500}"}}'))
        for number in range(40):
            producer.outbox.put(message(f"small-{number}"))
        with producer.running():
            until(lambda: producer.outbox.waiting == 0)
            until(producer.is_told)
    assert producer.outbox.losses["size"] == 1
    assert producer.link.counters.published >= 41
    assert caplog.text.count("gave up t: ") == 1


def test_a_standby_that_the_broker_does_not_let_in_gives_its_place_back_to_the_link(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby_module, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(tenure_module, "STANDBY_SUFFIX", "\0")  # no broker takes such a name
    topic, broker = unique(), broker_at(mosquitto.port)
    first, second = Producer(broker, topic, 1000), Producer(broker, topic, 2000)
    with first.running():
        until(first.is_told)
        with second.running():
            until(lambda: first.link.superseded_by is not None)
        until(lambda: first.boot == 2001 and first.is_told())
    assert len(errors(caplog)) == 1


class ShortSessions:
    """Makes sessions that end at once, and notes for whom."""

    def __init__(self) -> None:
        self.brokers: list[Broker] = []

    def __call__(self, broker: Broker, *_: Any, **__: Any) -> "ShortSessions":
        self.brokers.append(broker)
        return self

    def run(self, stop: threading.Event) -> None:
        """End at once."""


def test_a_standby_has_a_name_and_a_session_of_its_own_of_which_nothing_stays_at_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = ShortSessions()
    monkeypatch.setattr(tenure_module, "Session", sessions)
    for _ in range(2):
        producer = Producer(broker_at(1, client_id="c"), "t", 1000)
        producer.tenure._stand_by(producer.link, rival=2000)
    assert len({broker.client_id for broker in sessions.brokers}) == 2
    for broker in sessions.brokers:
        assert broker.client_id.startswith("c-standby-")
        assert (broker.clean_start, broker.session_expiry_seconds) == (True, 0)


def test_a_stop_ends_the_standby_as_well(mosquitto: Mosquitto) -> None:
    topic, broker = unique(), broker_at(mosquitto.port)
    first, second = Producer(broker, topic, 1000), Producer(broker, topic, 2000)
    with first.running():
        until(first.is_told)
        with second.running():
            until(lambda: first.link.superseded_by is not None)
            until(lambda: "-standby" in mosquitto.log())
            first.end()
