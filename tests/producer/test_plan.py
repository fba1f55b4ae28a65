import os
from pathlib import Path

import pytest

from tocsin_producer.cli import make_plan
from tocsin_producer.plan import ApiServer, Plan, Replay
from tocsin_producer.settings import OutboxSettings, ProducerSettings

SETTINGS = ProducerSettings.model_validate(
    {"cluster": "edge-042", "broker": {"url": "mqtts://b.example", "password": "hunter2"}},
)


@pytest.mark.parametrize(
    "source", [ApiServer("https://10.0.0.1", ca="PEM", token="t0ken"), Replay("x.ndjson", 4.0)]
)
def test_a_plan_arrives_as_it_was_passed_on(source: ApiServer | Replay) -> None:
    plan = make_plan(SETTINGS, source)
    assert Plan.receive(plan.pass_on()) == plan


def test_a_plan_is_passed_on_by_a_descriptor_that_the_next_program_inherits() -> None:
    descriptor = make_plan(SETTINGS, Replay("x")).pass_on()
    try:
        assert os.get_inheritable(descriptor)
        assert os.fstat(descriptor).st_nlink == 0
    finally:
        os.close(descriptor)


def test_a_plan_shows_no_secret() -> None:
    plan = make_plan(SETTINGS, ApiServer("https://10.0.0.1", token="t0ken", client_key="k3y"))
    assert not [secret for secret in ("hunter2", "t0ken", "k3y") if secret in repr(plan)]


def test_a_producer_is_known_to_the_broker_by_the_name_of_its_cluster() -> None:
    broker = make_plan(SETTINGS, Replay("x")).broker
    assert (broker.username, broker.client_id, broker.port) == ("edge-042", "tocsin-producer-edge-042", 8883)


def test_a_replay_keeps_its_state_in_memory() -> None:
    settings = SETTINGS.model_copy(update={"outbox": OutboxSettings(path=Path("/var/lib/tocsin/outbox.db"))})
    assert make_plan(settings, ApiServer("https://10.0.0.1")).outbox_path == "/var/lib/tocsin/outbox.db"
    assert make_plan(settings, Replay("x.ndjson")).outbox_path is None
