"""The bridge: a Mosquitto at the edge, as `mosquitto/bridge.conf` has it, and the broker that it hands on to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.relay import Relay
from tests.mosquitto import Mosquitto
from tests.schemas.session_harness import Recorder, broker_at, running
from tests.stage.broker import CONFIGURATION, Broker
from tests.waiting import until
from tocsin_schemas.broker import BrokerSettings

SITE = "edge-042"
#: In the first half of a minute a bridge tries again a few times.
_BACK_SECONDS = 45.0

pytestmark = pytest.mark.broker


def edge(folder: Path, broker: Broker, port: int) -> Mosquitto:
    """Return a Mosquitto with the example, its places and names moved to here."""
    (folder / "data").mkdir(parents=True)
    text = (CONFIGURATION / "bridge.conf").read_text(encoding="utf-8")
    for theirs, ours in (
        ("listener 1883", "listener {port}"),
        ("broker.example.com:8883", f"localhost:{port}"),
        ("/mosquitto/certs/ca.crt", str(broker.ca_file)),
        (" /mosquitto/", " {folder}/"),
        (" PASSWORD\n", f" {broker.add_site(SITE).password}\n"),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    return Mosquitto(folder, text)


@contextmanager
def consumer(broker: Broker) -> Iterator[Recorder]:
    recorder = Recorder(filters=("k8s/v1/#",))
    settings = BrokerSettings.model_validate(broker.access(broker.account("ops")))
    with running(settings.connection(client_id="ops"), recorder):
        until(lambda: recorder.connections)
        yield recorder


def publish(mosquitto: Mosquitto, *payloads: str) -> None:
    """Publish as a local producer does, and wait until all is acknowledged."""
    recorder = Recorder()
    recorder.outbox.extend(
        (f"k8s/v1/{SITE}/event/production/Pod/BackOff", payload.encode(), False) for payload in payloads
    )
    with running(broker_at(mosquitto.port), recorder):
        until(lambda: len(recorder.acknowledged) == len(payloads))


def test_what_a_producer_publishes_at_the_edge_arrives_at_the_broker_also_after_an_outage(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    broker.add_consumer("ops")
    with (
        broker,
        Relay(broker.port) as link,
        consumer(broker) as ops,
        edge(tmp_path / "edge", broker, link.port) as mosquitto,
    ):
        publish(mosquitto, "1", "2")
        until(lambda: ops.payloads() == [b"1", b"2"], within_seconds=_BACK_SECONDS)
        link.cut()
        publish(mosquitto, *map(str, range(3, 53)))
        mosquitto.stop()
        mosquitto.start()
        link.restore()
        until(lambda: b"52" in ops.payloads(), within_seconds=_BACK_SECONDS)
    assert list(dict.fromkeys(ops.payloads())) == [str(number).encode() for number in range(1, 53)]


def test_through_a_bridge_a_site_cannot_speak_for_another_either(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    broker.add_consumer("ops")
    with broker, consumer(broker) as ops, edge(tmp_path / "edge", broker, broker.port) as mosquitto:
        recorder = Recorder()
        recorder.outbox.append(("k8s/v1/edge-666/status", b"foreign", True))
        with running(broker_at(mosquitto.port), recorder):
            until(lambda: recorder.acknowledged)
        publish(mosquitto, "own")
        until(lambda: b"own" in ops.payloads(), within_seconds=_BACK_SECONDS)
    assert ops.payloads() == [b"own"]


def test_the_example_is_as_durable_and_as_bounded_as_the_broker() -> None:
    names = (
        "autosave_interval",
        "autosave_on_changes",
        "max_queued_messages",
        "max_queued_bytes",
        "max_packet_size",
    )
    ours, edges = (
        dict(re.findall(r"(?m)^([a-z_]+) (.+)$", (CONFIGURATION / file).read_text(encoding="utf-8")))
        for file in ("mosquitto.conf", "bridge.conf")
    )
    assert {name: edges[name] for name in names} == {name: ours[name] for name in names}
