"""What a session says of itself, and what a handler may ask of it."""

import itertools
import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.relay import Relay
from tests.mosquitto import OPEN, Mosquitto
from tests.schemas.fake_broker import ACCEPTED, PUBLISH, SUBSCRIBE, FakeBroker, OldBroker
from tests.schemas.session_harness import Recorder, broker_at, running, unique
from tests.waiting import until
from tocsin_schemas.dial import Attempt
from tocsin_schemas.session import Connection, Session, Will


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


class Eager(Recorder):
    """Wants a turn every few milliseconds."""

    def on_turn(self, connection: Connection) -> float | None:
        super().on_turn(connection)
        return 0.005


@pytest.mark.broker
def test_a_handler_gets_the_turn_that_it_asks_for(mosquitto: Mosquitto) -> None:
    handler = Eager()
    with running(broker_at(mosquitto.port, keepalive_seconds=3600), handler):
        until(lambda: handler.turns >= 10, within_seconds=5)


@pytest.mark.broker
def test_a_session_that_waits_is_not_late_and_says_why_it_is_not_connected(mosquitto: Mosquitto) -> None:
    handler = Recorder()
    session = Session(broker_at(mosquitto.port), handler)
    assert (session.pulse.late_seconds, session.trouble) == (0, "not connected yet")
    with running(broker_at(mosquitto.port), handler, backoff=lambda _: 0.3) as run:
        until(lambda: handler.connections)
        assert run.session.trouble is None
        mosquitto.kill()
        until(lambda: run.session.trouble)
        until(lambda: run.session.trouble == "Connection refused")
        assert run.session.pulse.late_seconds == 0
    assert run.session.pulse.late_seconds == 0


def test_a_name_server_that_hangs_for_ever_is_told_and_stops_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answered = threading.Event()

    def hang(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        answered.wait()
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    broker = broker_at(1883, host="broker.example", connect_timeout_seconds=0.05)
    with running(broker, Recorder()) as run:
        until(lambda: len(asked) >= 3)
        until(lambda: run.session.trouble == "no answer in time from DNS")
        assert run.session.pulse.late_seconds < 1
    answered.set()


@pytest.mark.broker
def test_a_handler_that_does_not_come_back_makes_the_session_late(mosquitto: Mosquitto) -> None:
    class Stuck(Recorder):
        def on_turn(self, connection: Connection) -> float | None:
            super().on_turn(connection)
            stuck.wait()
            return None

    stuck = threading.Event()
    handler = Stuck()
    with running(broker_at(mosquitto.port, keepalive_seconds=3600), handler) as run:
        until(lambda: run.session.pulse.late_seconds > 0.2, within_seconds=5)
        stuck.set()


@pytest.mark.broker
def test_the_will_is_asked_for_at_each_connect(mosquitto: Mosquitto) -> None:
    topic = unique()
    wills = itertools.chain([b"first", b"second"], itertools.repeat(b"later"))
    watcher, handler = Recorder(filters=(topic,)), Recorder()

    def will() -> Will:
        return Will(topic, next(wills))

    with running(broker_at(mosquitto.port), watcher):
        until(lambda: "SUBACK" in mosquitto.log())
        with Relay(mosquitto.port) as relay, running(broker_at(relay.port), handler, will=will):
            for number, word in enumerate((b"first", b"second"), start=1):
                until(lambda number=number: len(handler.connections) == number)  # type: ignore[misc]
                relay.reset()
                until(lambda word=word: word in watcher.payloads())  # type: ignore[misc]


class Looker(Recorder):
    """Looks at a topic when it is connected."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self.topic = topic

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:
        super().on_connected(connection, session_present=session_present)
        connection.look(self.topic)


@pytest.mark.broker
def test_a_look_brings_what_is_retained_marked_as_such_and_what_comes(mosquitto: Mosquitto) -> None:
    looker = Looker(unique())
    writer = Recorder()
    with running(broker_at(mosquitto.port), writer) as run:
        writer.outbox.append((looker.topic, b"before", True))
        run.session.wake()
        until(lambda: writer.acknowledged)
        with running(broker_at(mosquitto.port), looker):
            until(lambda: looker.messages)
            writer.outbox.append((looker.topic, b"after", True))
            run.session.wake()
            until(lambda: len(looker.messages) == 2)
    assert [(message.payload, message.retained) for _, message in looker.messages] == [
        (b"before", True),
        (b"after", False),
    ]


def test_a_look_that_is_refused_changes_nothing() -> None:
    refusals: list[bytes] = []

    class Refusing(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:
            if kind == SUBSCRIBE:
                refusals.append(body)
                return b"\x90\x04" + body[:2] + b"\x00\x87"
            if kind == PUBLISH:
                return b"\x40\x02" + body[9:11]
            return ACCEPTED

    looker = Looker("some/topic")
    with Refusing() as broker, running(broker_at(broker.port), looker) as run:
        until(lambda: refusals)
        looker.outbox.append(("a/topic", b"{}", False))
        run.session.wake()
        until(lambda: looker.acknowledged)
    assert looker.lost == ["stopped"]


class Noting(Recorder):
    """Remembers which of its messages nobody gets, and which the broker cannot take."""

    def __init__(self) -> None:
        super().__init__()
        self.unheard: list[bool] = []
        self.refused: list[str] = []

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        super().on_acknowledged(connection, mid, refusal)
        self.unheard.append(connection.was_unheard(mid))

    def on_turn(self, connection: Connection) -> float | None:
        try:
            super().on_turn(connection)
        except ValueError as error:
            self.refused.append(str(error))
        return None


@pytest.mark.broker
def test_a_message_that_nobody_gets_is_known(mosquitto: Mosquitto) -> None:
    topic = unique()
    noting, reader = Noting(), Recorder(filters=(topic,))
    with running(broker_at(mosquitto.port), reader), running(broker_at(mosquitto.port), noting) as run:
        until(lambda: "SUBACK" in mosquitto.log())
        noting.outbox.extend([(unique(), b"{}", False), (topic, b"{}", False)])
        run.session.wake()
        until(lambda: len(noting.acknowledged) == 2)
    assert noting.unheard == [True, False]


@pytest.mark.parametrize(
    ("said", "refusal", "unheard"),
    [
        (b"", None, False),
        (b"\x00", None, False),
        (b"\x00\x00", None, False),
        (b"\x10", None, True),
        (b"\x10\x00", None, True),
        (b"\x87", "Not authorized", False),
        (b"\x97\x00", "Quota exceeded", False),
    ],
)
def test_a_puback_is_understood_whatever_it_says_after_its_id(
    said: bytes, refusal: str | None, unheard: bool
) -> None:
    class Saying(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:
            return bytes([0x40, 2 + len(said)]) + body[9:11] + said if kind == PUBLISH else ACCEPTED

    noting = Noting()
    noting.outbox.append(("a/topic", b"{}", False))
    with Saying() as broker, running(broker_at(broker.port), noting):
        until(lambda: noting.acknowledged)
    assert [text for _, text in noting.acknowledged] == [refusal]
    assert noting.unheard == [unheard]


@pytest.mark.parametrize("words", [b"\x40\x00", b"\x40\x01\x00", b"\x40\x03\x00\x01\x05"])
def test_an_acknowledgement_that_is_none_ends_the_connection(words: bytes) -> None:
    class Babbling(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:  # noqa: ARG002
            return words if kind == PUBLISH else ACCEPTED

    recorder = Recorder()
    recorder.outbox.append(("a/topic", b"{}", False))
    with Babbling() as broker, running(broker_at(broker.port), recorder):
        until(lambda: recorder.lost)
    assert recorder.acknowledged == []


def test_in_mqtt_3_1_1_an_acknowledgement_says_nothing_more() -> None:
    class Talkative(OldBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:
            return b"\x40\x03" + body[9:11] + b"\x10" if kind == PUBLISH else super().answer(kind, body)

    recorder = Recorder()
    recorder.outbox.append(("a/topic", b"{}", False))
    with Talkative() as broker, running(broker_at(broker.port), recorder):
        until(lambda: recorder.lost)
    assert recorder.acknowledged == []


def test_an_acknowledgement_of_something_else_acknowledges_nothing() -> None:
    class Confused(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:
            return b"\x40\x02\x00\x09\x40\x02" + body[9:11] if kind == PUBLISH else ACCEPTED

    recorder = Recorder()
    recorder.outbox.append(("a/topic", b"{}", False))
    with Confused() as broker, running(broker_at(broker.port), recorder):
        until(lambda: recorder.acknowledged)
    assert recorder.acknowledged == [(1, None)]
    assert recorder.lost == ["stopped"]


def test_mqtt_3_1_1_does_not_say_that_nobody_gets_a_message() -> None:
    noting = Noting()
    noting.outbox.append(("a/topic", b"{}", False))
    with OldBroker() as broker, running(broker_at(broker.port), noting):
        until(lambda: noting.acknowledged)
    assert noting.unheard == [False]


@pytest.mark.broker
@pytest.mark.parametrize("size", range(360, 372))
def test_what_the_broker_says_that_it_does_not_take_is_refused_to_the_byte(tmp_path: Path, size: int) -> None:
    """Mosquitto counts as the standard does: it takes 400 bytes and hangs up at 401."""
    noting = Noting()
    noting.outbox.append(("t" * 20, b"x" * size, False))
    with Mosquitto(tmp_path, f"{OPEN}max_packet_size 400\n") as mosquitto:
        with running(broker_at(mosquitto.port), noting):
            until(lambda: noting.refused or noting.acknowledged or noting.lost)
        assert noting.lost == ["stopped"]
        assert bool(noting.refused) == (size > 367)
    assert noting.refused in ([], [f"{size + 33} bytes, and the broker takes packets of 400 at most"])


@pytest.mark.broker
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_a_half_open_connection_is_noticed(mosquitto: Mosquitto, busy: bool) -> None:
    handler = Recorder()
    with running(broker_at(mosquitto.port, keepalive_seconds=1), handler) as run:
        until(lambda: handler.connections)
        mosquitto.send_signal(signal.SIGSTOP)
        if busy:
            handler.outbox.append((unique(), json.dumps("x" * 100).encode(), False))
            run.session.wake()
        until(lambda: handler.lost, within_seconds=6)
        mosquitto.send_signal(signal.SIGCONT)
        until(lambda: len(handler.connections) == 2)


def test_an_attempt_that_nobody_waits_for_ends_by_itself() -> None:
    done = threading.Event()
    attempt = Attempt(done.wait)
    attempt.start()
    attempt.close()
    done.set()
    attempt._thread.join(10)
    assert not attempt._thread.is_alive()
