import pytest
from paho.mqtt import publish

from tests.fakes.relay import Relay
from tests.mosquitto import Mosquitto
from tests.schemas.session_harness import Recorder, broker_at, running, unique
from tests.waiting import until
from tocsin_schemas.session import Connection, Received, Session

pytestmark = pytest.mark.broker

PUBACK = 0x40


def send(broker: Mosquitto, topic: str, *payloads: bytes, qos: int = 1, retain: bool = False) -> None:
    """Publish by means that are not ours."""
    messages = [{"topic": topic, "payload": payload, "qos": qos, "retain": retain} for payload in payloads]
    publish.multiple(messages, port=broker.port, hostname="127.0.0.1")  # type: ignore[arg-type]


def test_what_is_published_arrives_and_is_acknowledged(mosquitto: Mosquitto) -> None:
    topic = unique()
    sender, receiver = Recorder(), Recorder(filters=(topic,))
    with running(broker_at(mosquitto.port), receiver), running(broker_at(mosquitto.port), sender) as run:
        until(lambda: "SUBACK" in mosquitto.log())
        sender.outbox.append((topic, b'{"v":1}', False))
        run.session.wake()
        until(lambda: receiver.messages and sender.acknowledged)
    ((_, message),) = receiver.messages
    assert (message.topic, message.payload, message.retained) == (topic, b'{"v":1}', False)
    ((mid, refusal),) = sender.acknowledged
    assert mid > 0
    assert refusal is None
    assert sender.lost == ["stopped"]


def test_a_wake_from_another_thread_lets_the_handler_act_at_once(mosquitto: Mosquitto) -> None:
    recorder = Recorder()
    with running(broker_at(mosquitto.port, keepalive_seconds=600), recorder) as run:
        until(lambda: recorder.turns)
        for number in range(50):
            recorder.outbox.append((unique(), b"x", False))
            run.session.wake()
            until(lambda number=number: len(recorder.acknowledged) > number, within_seconds=5)  # type: ignore[misc]


def test_a_wake_before_and_after_the_run_does_no_harm(mosquitto: Mosquitto) -> None:
    recorder = Recorder()
    session = Session(broker_at(mosquitto.port), recorder)
    session.wake()
    with running(broker_at(mosquitto.port), recorder) as run:
        until(lambda: recorder.connections)
    run.session.wake()


def test_a_durable_session_gets_what_was_sent_while_it_was_away(mosquitto: Mosquitto) -> None:
    topic, broker = unique(), broker_at(mosquitto.port)
    first = Recorder(filters=(topic,))
    with running(broker, first):
        until(lambda: "SUBACK" in mosquitto.log())
    send(mosquitto, topic, *(b"%d" % number for number in range(50)))
    second = Recorder(filters=(topic,))
    with running(broker, second):
        until(lambda: len(second.messages) >= 50)
    assert (first.present, second.present) == ([False], [True])
    assert second.payloads() == [b"%d" % number for number in range(50)]


def test_what_was_not_acknowledged_comes_again_on_the_next_connection(mosquitto: Mosquitto) -> None:
    topic = unique()
    recorder = Recorder(filters=(topic,), acknowledges=False)
    with Relay(mosquitto.port) as relay, running(broker_at(relay.port), recorder):
        until(lambda: "SUBACK" in mosquitto.log())
        send(mosquitto, topic, b"1", b"2", b"3")
        until(lambda: len(recorder.messages) == 3)
        recorder.acknowledges = True
        relay.reset()
        until(lambda: len(recorder.messages) == 6)
        until(lambda: mosquitto.log().count("Received PUBACK") == 3)
        relay.reset()
        until(lambda: len(recorder.connections) == 3)
        send(mosquitto, topic, b"4")
        until(lambda: len(recorder.messages) == 7)
    assert recorder.payloads() == [b"1", b"2", b"3", b"1", b"2", b"3", b"4"]


def test_an_acknowledgement_for_an_old_connection_is_never_sent_on_a_new_one(mosquitto: Mosquitto) -> None:
    topic = unique()
    recorder = Recorder(filters=(topic,), acknowledges=False)
    with Relay(mosquitto.port) as relay, running(broker_at(relay.port), recorder) as run:
        until(lambda: "SUBACK" in mosquitto.log())
        send(mosquitto, topic, b"1")
        until(lambda: len(recorder.messages) == 1)
        relay.reset()
        until(lambda: len(recorder.messages) == 2)
        old, message = recorder.messages[0]
        old.acknowledge(message)
        recorder.outbox.append((unique(), b"after it", False))
        run.session.wake()
        until(lambda: recorder.acknowledged)
    assert all(PUBACK not in packet_types(bytes(passage.sent)) for passage in relay.passages)


def packet_types(data: bytes) -> list[int]:
    """Return the type of each MQTT packet in `data`."""
    types = []
    while data:
        types.append(data[0] & 0xF0)
        length, shift, place = 0, 0, 1
        while True:
            length |= (data[place] & 0x7F) << shift
            shift, place = shift + 7, place + 1
            if data[place - 1] < 0x80:
                break
        data = data[place + length :]
    return types


def test_a_message_of_qos_0_is_not_acknowledged_since_the_broker_would_hang_up(mosquitto: Mosquitto) -> None:
    topic = unique()
    recorder = Recorder(filters=(topic,))
    send(mosquitto, topic, b"retained", qos=0, retain=True)
    with running(broker_at(mosquitto.port), recorder):
        until(lambda: recorder.messages)
        send(mosquitto, topic, b"next", qos=1)
        until(lambda: len(recorder.messages) == 2)
    assert recorder.payloads() == [b"retained", b"next"]
    assert recorder.lost == ["stopped"]


def test_a_burst_arrives_whole_and_in_order(mosquitto: Mosquitto) -> None:
    topic = unique()
    recorder = Recorder(filters=(topic,))
    with running(broker_at(mosquitto.port), recorder, receive_maximum=20):
        until(lambda: "SUBACK" in mosquitto.log())
        send(mosquitto, topic, *(b"%d" % number for number in range(500)))
        until(lambda: len(recorder.messages) == 500)
    assert recorder.payloads() == [b"%d" % number for number in range(500)]


def test_a_topic_or_payload_that_mqtt_cannot_carry_is_refused_and_the_session_goes_on(
    mosquitto: Mosquitto,
) -> None:
    refused: list[str] = []

    class Careless(Recorder):
        def on_turn(self, connection: Connection) -> None:
            for topic in ("a/+", "a/#", "\ud800", "x" * 65_536):
                with pytest.raises(ValueError) as error:  # noqa: PT011 - each has a text of its own
                    connection.publish(topic, b"")
                refused.append(str(error.value))
            super().on_turn(connection)

    recorder = Careless()
    recorder.outbox.append((unique(), b"x", False))
    with running(broker_at(mosquitto.port), recorder):
        until(lambda: recorder.acknowledged)
    assert len(refused) >= 4
    assert recorder.lost == ["stopped"]


def test_an_exception_in_the_handler_ends_the_connection_and_not_the_session(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    topic = unique()

    class Faulty(Recorder):
        def on_message(self, connection: Connection, message: Received) -> None:
            super().on_message(connection, message)
            if len(self.messages) == 1:
                raise LookupError("a mistake of ours")

    recorder = Faulty(filters=(topic,), acknowledges=False)
    with running(broker_at(mosquitto.port), recorder):
        until(lambda: "SUBACK" in mosquitto.log())
        send(mosquitto, topic, b"1")
        until(lambda: len(recorder.messages) == 2)
    assert recorder.payloads() == [b"1", b"1"]
    assert recorder.lost == ["internal error", "stopped"]
    assert "a mistake of ours" in caplog.text


def test_mqtt_5_tells_the_expiry_of_events_and_the_content_type_of_what_is_retained_for_ever(
    mosquitto: Mosquitto,
) -> None:
    recorder = Recorder()
    with Relay(mosquitto.port) as relay, running(broker_at(relay.port), recorder) as run:
        recorder.outbox.extend([("event", b"{}", False), ("status", b"{}", True)])
        run.session.wake()
        until(lambda: len(recorder.acknowledged) == 2)
    event, status = bytes(relay.passages[0].sent).split(b"status")[:2]
    assert b"application/json" not in event
    assert b"\x02" + (14 * 86_400).to_bytes(4) in event
    assert b"\x03\x00\x10application/json" in status
    assert b"\x02" + (14 * 86_400).to_bytes(4) not in status
