"""What the broker has acknowledged survives kill -9, from the moment on that producers count on."""

import time
from pathlib import Path

import pytest

from tests.schemas.session_harness import Recorder, running
from tests.stage.broker import Account, Broker
from tests.waiting import until
from tocsin_producer.settling import SETTLE_SECONDS
from tocsin_schemas import session
from tocsin_schemas.broker import BrokerSettings

pytestmark = pytest.mark.broker


def connection(broker: Broker, account: Account) -> session.Broker:
    return BrokerSettings.model_validate(broker.access(account)).connection(client_id=account.username)


def test_what_was_acknowledged_is_on_the_disk_before_a_producer_stops_to_doubt_it(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    site, ops = broker.add_site("edge-1"), broker.add_consumer("ops")
    with broker:
        away = Recorder(filters=("k8s/v1/#",))
        with running(connection(broker, ops), away):
            until(lambda: away.connections)
        sender = Recorder()
        sender.outbox.extend(("k8s/v1/edge-1/status", str(number).encode(), False) for number in range(200))
        with running(connection(broker, site), sender):
            until(lambda: len(sender.acknowledged) == 200)
        acknowledged_at = time.time()
        database = tmp_path / "data" / "mosquitto.db"
        until(
            lambda: database.exists() and database.stat().st_mtime > acknowledged_at,
            within_seconds=SETTLE_SECONDS,
            otherwise="not written in time",
        )
        broker.kill()
        broker.start()
        back = Recorder(filters=("k8s/v1/#",))
        with running(connection(broker, ops), back):
            until(lambda: len(back.messages) == 200)
        assert back.present == [True]
        assert back.payloads() == [str(number).encode() for number in range(200)]
