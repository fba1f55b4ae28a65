"""WebSockets, for networks that let nothing but port 443 out."""

from pathlib import Path

import pytest

from tests.schemas.session_harness import Recorder, running
from tests.stage.broker import Broker
from tests.waiting import until
from tocsin_schemas.broker import BrokerSettings

WEBSOCKETS_PORT = 443

pytestmark = pytest.mark.broker


def starts(broker: Broker) -> bool:
    try:
        broker.start()
    except AssertionError:
        return False
    return True


def test_over_websockets_accounts_and_rights_are_the_same_and_a_mosquitto_without_them_ends_at_once(
    tmp_path: Path,
) -> None:
    """Debian 12's Mosquitto has none, as the documents say; the image eclipse-mosquitto has."""
    broker = Broker(tmp_path, "--websockets")
    site = broker.add_site("edge-1")
    if not starts(broker):
        assert "Opening websockets listen socket" in broker.log()
        assert "Unable to start any listening sockets" in broker.log()
        return
    try:
        access = broker.access(site) | {"url": f"wss://localhost:{broker.ports[WEBSOCKETS_PORT]}"}
        recorder = Recorder(filters=("#",))
        recorder.outbox.extend(
            [("k8s/v1/edge-2/status", b"foreign", False), ("k8s/v1/edge-1/status", b"own", False)]
        )
        with running(BrokerSettings.model_validate(access).connection(client_id="edge-1"), recorder):
            until(lambda: recorder.payloads() == [b"own"])
        assert sorted(refusal or "taken" for _, refusal in recorder.acknowledged) == ["Not authorized", "taken"]
    finally:
        broker.kill()
