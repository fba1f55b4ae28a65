import json
import logging
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.relay import Relay
from tests.mosquitto import Mosquitto, free_port
from tests.schemas.fake_broker import (
    ACCEPTED,
    CONNECT,
    PINGREQ,
    SUBSCRIBE,
    CurtBroker,
    FakeBroker,
    OldBroker,
    RudeBroker,
)
from tests.schemas.session_harness import Recorder, broker_at, running, unique
from tests.waiting import until
from tocsin_schemas import session as session_module
from tocsin_schemas.session import Will

PASSWORDS = "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/accounts\n"

#: Connects with a will, says that it has, and waits to be killed.
DOOMED = """
import json, sys, threading
from tocsin_schemas.session import Broker, Session, Will
from tests.schemas.session_harness import Recorder
class Doomed(Recorder):
    def on_turn(self, connection):
        print("connected", flush=True)
port, topic = json.loads(sys.argv[1])
broker = Broker(host="127.0.0.1", port=port, client_id="doomed", tls=False)
Session(broker, Doomed(), will=lambda: Will(topic, b"offline")).run(threading.Event())
"""


def noting(failures: list[int]) -> Callable[[int], float]:
    """Return a back-off of next to nothing that notes what it was asked."""

    def backoff(count: int) -> float:
        failures.append(count)
        return 0.01

    return backoff


@pytest.mark.broker
def test_the_will_is_published_retained_when_the_process_dies_without_goodbye(mosquitto: Mosquitto) -> None:
    topic = unique()
    watcher = Recorder(filters=(topic,))
    command = [sys.executable, "-c", DOOMED, json.dumps([mosquitto.port, topic])]
    with running(broker_at(mosquitto.port), watcher):
        until(lambda: "SUBACK" in mosquitto.log())
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"connected\n"
            process.kill()
        until(lambda: watcher.messages)
    late = Recorder(filters=(topic,))
    with running(broker_at(mosquitto.port), late):
        until(lambda: late.messages)
    assert (watcher.payloads(), late.payloads()) == ([b"offline"], [b"offline"])
    assert late.messages[0][1].retained


@pytest.mark.broker
def test_the_will_is_not_published_after_a_clean_stop_and_the_last_words_are(mosquitto: Mosquitto) -> None:
    topic = unique()
    watcher = Recorder(filters=(topic,))
    leaver = Recorder(last_words=(topic, b"goodbye"))
    with running(broker_at(mosquitto.port), watcher):
        until(lambda: "SUBACK" in mosquitto.log())
        with running(broker_at(mosquitto.port), leaver, will=lambda: Will(topic, b"will")):
            until(lambda: leaver.connections)
        marker = Recorder(last_words=(topic, b"later"))
        with running(broker_at(mosquitto.port), marker):
            until(lambda: marker.connections)
        until(lambda: len(watcher.messages) == 2)
    assert watcher.payloads() == [b"goodbye", b"later"]
    assert leaver.lost == ["stopped"]


def test_a_broker_that_refuses_mqtt_5_is_spoken_to_in_3_1_1(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    recorder = Recorder(filters=("some/topic",))
    recorder.outbox.append(("a/topic", b"{}", False))
    with OldBroker() as broker, running(broker_at(broker.port), recorder):
        until(lambda: recorder.acknowledged)
    assert broker.levels == [5, 4]
    assert broker.published == 1
    assert recorder.lost == ["stopped"]
    assert "going on with 3.1.1" in caplog.text


def test_a_broker_that_hangs_up_on_mqtt_5_is_tried_with_3_1_1_and_sooner_the_next_time() -> None:
    recorder = Recorder()
    failures: list[int] = []
    with (
        CurtBroker() as broker,
        running(broker_at(broker.port), recorder, backoff=noting(failures)) as run,
    ):
        until(lambda: recorder.connections)
        assert broker.levels == [5, 5, 4]
        assert failures == [1]  # the other version is tried without a pause
        recorder.outbox.append(("a/topic", b"{}", False))
        run.session.wake()
        until(lambda: len(recorder.connections) == 2)
    assert broker.levels == [5, 5, 4, 5, 4]


def test_a_broker_that_never_answers_is_tried_with_both_versions() -> None:
    with FakeBroker() as broker, running(broker_at(broker.port, connect_timeout_seconds=0.05), Recorder()):
        until(lambda: len(broker.levels) >= 6)
    assert broker.levels[:6] == [5, 5, 4, 5, 5, 4]


def test_a_broker_says_how_many_messages_it_takes_at_a_time() -> None:
    recorder = Recorder()
    accepted = b"\x20\x06\x00\x00\x03\x21\x00\x0a"  # Receive Maximum 10
    with RudeBroker(accepted) as broker, running(broker_at(broker.port), recorder, stop_seconds=0.1):
        until(lambda: recorder.connections)
        assert recorder.connections[0].receive_maximum == 10


@pytest.mark.broker
def test_a_broker_that_is_absent_at_start_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[int] = []
    mosquitto, recorder = Mosquitto(tmp_path), Recorder()
    with running(broker_at(mosquitto.port), recorder, backoff=noting(failures)):
        until(lambda: len(failures) >= 3)
        with mosquitto:
            until(lambda: recorder.connections)
    assert failures[:3] == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"broker 127.0.0.1:{mosquitto.port}: Connection refused"
    ]


@pytest.mark.broker
def test_a_connection_that_ends_at_once_continues_the_streak_of_failures(mosquitto: Mosquitto) -> None:
    failures: list[int] = []
    one, other = Recorder(), Recorder()
    broker = broker_at(mosquitto.port)  # the same client id: they take the session from each other
    with (
        running(broker, one, backoff=noting(failures)),
        running(broker, other),
    ):
        until(lambda: len(failures) >= 3)
    assert failures[:3] == [1, 2, 3]
    assert one.lost[0].startswith("connection lost: ")


@pytest.mark.broker
def test_two_clients_that_fight_for_one_session_are_asked_about_the_client_id(mosquitto: Mosquitto) -> None:
    broker, one = broker_at(mosquitto.port), Recorder()
    with running(broker, one) as run:
        until(lambda: one.connections)
        with running(broker, Recorder()):
            question = f"does another client use the client id {broker.client_id}?"
            until(lambda: question in (run.session.trouble or ""))


class _Hanging(FakeBroker):
    """Accepts everyone, and ends the connection at the first SUBSCRIBE, for `reason` or without a word."""

    def __init__(self, reason: bytes = b"") -> None:
        super().__init__()
        self._reason = reason

    def answer(self, kind: int, body: bytes) -> bytes | None:  # noqa: ARG002
        return ACCEPTED if kind == CONNECT else (self._reason or None)


def test_connections_that_never_last_are_warned_of_once_more_and_only_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder(filters=("a/topic",))
    with _Hanging() as broker, running(broker_at(broker.port), recorder):
        until(lambda: len(recorder.lost) > session_module.FIGHT_LIMIT + 2)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["does another client use" in warning for warning in warnings] == [False, True]


def test_connections_that_end_for_a_reason_look_like_no_fight(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    recorder = Recorder(filters=("a/topic",))
    with _Hanging(b"\xe0\x02\x8b\x00") as broker, running(broker_at(broker.port), recorder):
        until(lambda: len(recorder.lost) > session_module.FIGHT_LIMIT + 1)
    assert "does another client use" not in caplog.text


@pytest.mark.broker
def test_a_connection_that_lasted_ends_the_streak(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "STEADY_SECONDS", 0.0)
    failures: list[int] = []
    recorder = Recorder()
    with (
        Relay(mosquitto.port) as relay,
        running(broker_at(relay.port), recorder, backoff=noting(failures)),
    ):
        for number in (1, 2, 3):
            until(lambda number=number: len(recorder.connections) == number)  # type: ignore[misc]
            relay.reset()
        until(lambda: len(recorder.connections) == 4)
    assert failures == [1, 1, 1]


@pytest.mark.broker
def test_a_wrong_password_is_retried_with_the_file_read_anew_and_says_what_to_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    account = ["mosquitto_passwd", "-b", "-c", str(tmp_path / "accounts"), "edge-042", "right"]
    subprocess.run(account, check=True)
    password_file = tmp_path / "password"
    password_file.write_text("wr0ng\n")
    recorder = Recorder()
    with Mosquitto(tmp_path, PASSWORDS) as mosquitto:
        broker = broker_at(mosquitto.port, username="edge-042", password_file=str(password_file))
        with running(broker, recorder):
            until(lambda: mosquitto.log().count("not authorised") >= 3)
            password_file.write_text("right\n")
            until(lambda: recorder.connections)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "refused by the broker: Not authorized (check username and password_file" in warning
    assert "wr0ng" not in caplog.text


def test_a_password_file_that_cannot_be_read_is_a_retry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[int] = []
    broker = broker_at(free_port(), password_file=str(tmp_path / "missing"))
    with running(broker, Recorder(), backoff=noting(failures)):
        until(lambda: len(failures) >= 2)
    assert f"No such file or directory: {tmp_path / 'missing'}" in caplog.text


def test_a_password_file_that_is_not_utf_8_shows_nothing_of_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[int] = []
    (tmp_path / "password").write_bytes(b"p\xe4ss")
    broker = broker_at(free_port(), password_file=str(tmp_path / "password"))
    with running(broker, Recorder(), backoff=noting(failures)):
        until(lambda: failures)
    assert f"{tmp_path / 'password'} is not UTF-8" in caplog.text
    assert "0xe4" not in caplog.text


@pytest.mark.broker
def test_a_broker_that_freezes_is_noticed_by_keepalive(mosquitto: Mosquitto) -> None:
    recorder = Recorder()
    with running(broker_at(mosquitto.port, keepalive_seconds=1), recorder):
        until(lambda: recorder.connections)
        mosquitto.send_signal(signal.SIGSTOP)
        until(lambda: recorder.lost, within_seconds=5)
        mosquitto.send_signal(signal.SIGCONT)
        until(lambda: len(recorder.connections) >= 2)
    assert recorder.lost[0] == "connection lost: Keep alive timeout"


def test_a_keepalive_that_the_broker_shortens_is_kept() -> None:
    pings: list[bytes] = []

    class Hasty(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:
            if kind == PINGREQ:
                pings.append(body)
                return b"\xd0\x00"
            return b"\x20\x06\x00\x00\x03\x13\x00\x01"  # server keep alive: 1 s

    recorder = Recorder()
    with Hasty() as broker, running(broker_at(broker.port, keepalive_seconds=600), recorder):
        until(lambda: len(pings) >= 2, within_seconds=5)
        assert recorder.lost == []


@pytest.mark.broker
def test_what_the_network_cannot_take_at_once_is_sent_as_soon_as_it_can(mosquitto: Mosquitto) -> None:
    recorder = Recorder()
    with running(broker_at(mosquitto.port), recorder) as run:
        until(lambda: recorder.connections)
        mosquitto.send_signal(signal.SIGSTOP)
        recorder.outbox.extend((unique(), b"x" * 1_000_000, False) for _ in range(20))
        run.session.wake()
        until(lambda: len(recorder.in_flight) == 20)
        mosquitto.send_signal(signal.SIGCONT)
        until(lambda: len(recorder.acknowledged) == 20)
    assert recorder.lost == ["stopped"]


@pytest.mark.broker
def test_a_broker_that_is_killed_and_comes_back_is_found_again(mosquitto: Mosquitto) -> None:
    recorder = Recorder()
    with running(broker_at(mosquitto.port), recorder):
        until(lambda: recorder.connections)
        mosquitto.kill()
        until(lambda: recorder.lost)
        mosquitto.start()
        until(lambda: len(recorder.connections) == 2)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (None, "before the broker answered: closed without a word (does it want TLS on this port?)"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "before the broker answered: "),  # a TLS alert
        (ACCEPTED + b"\xe0\x02\x8e\x00", "connection lost: Session taken over (another client connects with the"),
        (b"\x20\x03\x00\x87\x00", "refused by the broker: Not authorized (check username"),
        (b"\x20\x03\x00\x85\x00", "refused by the broker: Client identifier not valid (the broker refuses"),
        (b"\x20\x00", "before the broker answered: "),
    ],
)
def test_a_broker_that_answers_oddly_is_retried_and_the_reason_told(
    words: bytes | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RudeBroker(words) as broker, running(broker_at(broker.port), Recorder()):
        until(lambda: len(broker.levels) >= 3)
    assert reason in caplog.text
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_an_error_of_the_socket_is_told_in_its_own_words() -> None:
    class Resetting(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:  # noqa: ARG002
            return ACCEPTED if kind == CONNECT else None

        def hang_up(self, client: socket.socket) -> None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by RST

    recorder = Recorder(filters=("a/topic",))
    with Resetting() as broker, running(broker_at(broker.port), recorder):
        until(lambda: recorder.lost)
    assert "Connection reset by peer" in recorder.lost[0]


def test_a_refused_subscription_ends_the_connection_with_its_reason() -> None:
    class Refusing(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:
            return b"\x90\x04" + body[:2] + b"\x00\x87" if kind == SUBSCRIBE else ACCEPTED

    recorder = Recorder(filters=("#",))
    with Refusing() as broker, running(broker_at(broker.port), recorder):
        until(lambda: recorder.lost)
    assert recorder.lost[0] == "connection lost: subscription refused: Not authorized"


def test_a_host_that_has_no_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with running(broker_at(free_port(), host="nobody.invalid"), Recorder()):
        until(lambda: caplog.records)
    assert "broker nobody.invalid:" in caplog.text
    assert "DNS: " in caplog.text


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Hold so many files open that the next descriptor is above 1023."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[1], 4096), before[1]))
    with ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(Path(os.devnull).open())
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_descriptors")
def test_descriptors_above_those_that_select_knows_serve_as_well() -> None:
    recorder = Recorder()
    recorder.outbox.append(("a/topic", b"{}", False))
    with OldBroker() as broker, running(broker_at(broker.port), recorder):
        until(lambda: recorder.acknowledged)
