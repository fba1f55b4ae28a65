import json
from collections import deque
from dataclasses import replace

import pytest

from tests.mosquitto import Mosquitto
from tests.schemas.fake_broker import OldBroker
from tests.schemas.session_harness import Recorder, broker_at, running, unique
from tests.waiting import until
from tocsin_schemas.session import ConnectionLostError
from tocsin_schemas.visit import Visit


@pytest.mark.broker
def test_a_visit_takes_no_session_and_no_message_from_who_is_there(mosquitto: Mosquitto) -> None:
    topic, broker = unique(), broker_at(mosquitto.port)
    there = Recorder(filters=(f"{topic}/#",))
    with running(broker, there):
        until(lambda: there.connections)
        visit = Visit(broker)
        visit.open()
        assert visit.publish(f"{topic}/a", b"hello") is None
        visit.look(f"{topic}/#")
        visit.close()
        until(lambda: there.messages)
    assert there.payloads() == [b"hello"]
    assert len(there.connections) == 1


@pytest.mark.broker
def test_a_visit_leaves_no_session_and_no_will_behind(mosquitto: Mosquitto) -> None:
    visit = Visit(replace(broker_at(mosquitto.port, client_id="guest"), session_expiry_seconds=1000))
    visit.open()
    visit.look("#")
    visit.close()
    until(lambda: "guest-doctor-" in mosquitto.log() and "disconnected" in mosquitto.log())
    connected = next(
        line for line in mosquitto.log().splitlines() if " connected from " in line and "guest" in line
    )
    assert " as guest-doctor-" in connected
    assert "(p5, c1," in connected  # clean
    assert "Will message specified" not in mosquitto.log()
    assert "No will message specified" in mosquitto.log()


@pytest.mark.broker
def test_a_look_returns_what_is_retained_and_leaves_what_comes_just_now(mosquitto: Mosquitto) -> None:
    topic, broker = unique(), broker_at(mosquitto.port)
    told = Recorder(outbox=deque((f"{topic}/{n}", json.dumps(n).encode(), n % 2 == 0) for n in range(10)))
    with running(broker, told):
        until(lambda: len(told.acknowledged) == 10)
    visit = Visit(broker)
    visit.open()
    refusal, found = visit.look(f"{topic}/#")
    assert visit.look(unique()) == (None, [])
    visit.close()
    assert refusal is None
    assert sorted(message.payload for message in found) == [b"0", b"2", b"4", b"6", b"8"]


def test_a_broker_that_speaks_3_1_1_only_is_visited_with_that() -> None:
    with OldBroker() as old:
        visit = Visit(broker_at(old.port))
        visit.open()
        visit.close()
        assert not visit.speaks_5


def test_without_a_connection_nothing_is_asked() -> None:
    visit = Visit(broker_at(1))
    with pytest.raises(ConnectionLostError, match="not connected"):
        visit.publish("a", b"")
    visit.close()


@pytest.mark.broker
def test_a_broker_that_goes_in_the_middle_of_a_visit_is_told(mosquitto: Mosquitto) -> None:
    visit = Visit(broker_at(mosquitto.port))
    visit.open()
    mosquitto.kill()
    with pytest.raises(ConnectionLostError):
        visit.look("a")
    visit.close()


def test_a_password_file_that_is_gone_is_told() -> None:
    visit = Visit(broker_at(1, password_file="/nowhere/password"))
    with pytest.raises(ConnectionLostError, match="/nowhere/password"):
        visit.open()
    visit.close()
