import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.mosquitto import Mosquitto, free_port
from tests.schemas.fake_broker import FakeBroker
from tests.schemas.session_harness import Recorder, Run, broker_at, running, unique
from tests.waiting import until
from tocsin_schemas import connection
from tocsin_schemas.session import Connection, Session

#: Far below every time limit that the session has in these tests.
PROMPT = 1.5
LONG = 60.0


def test_a_stop_while_waiting_for_the_next_try_is_prompt() -> None:
    waits: list[int] = []

    def backoff(count: int) -> float:
        waits.append(count)
        return LONG

    with running(broker_at(free_port()), Recorder(), backoff=backoff) as run:
        until(lambda: waits)
        run.stop(within_seconds=PROMPT)


def test_a_wake_does_not_cut_the_wait_for_the_next_try_short() -> None:
    waits: list[int] = []

    def backoff(count: int) -> float:
        waits.append(count)
        return 0.3

    began = time.monotonic()
    with running(broker_at(free_port()), Recorder(), backoff=backoff) as run:
        while len(waits) < 2:
            run.session.wake()
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("changes", [{}, {"tls": True}, {"websocket_path": "/mqtt"}], ids=["mqtt", "mqtts", "ws"])
def test_a_stop_while_a_broker_accepts_tcp_but_never_answers_is_prompt(
    changes: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        FakeBroker() as broker,
        running(broker_at(broker.port, connect_timeout_seconds=LONG, **changes), Recorder()) as run,
    ):
        until(lambda: broker.accepted)
        run.stop(within_seconds=PROMPT)
    assert caplog.records == []


def test_a_broker_that_accepts_tcp_but_never_answers_is_given_up_in_time(caplog: pytest.LogCaptureFixture) -> None:
    with FakeBroker() as broker, running(broker_at(broker.port, connect_timeout_seconds=0.2), Recorder()):
        until(lambda: broker.accepted >= 2, within_seconds=5)
    assert "no answer in time" in caplog.text


@pytest.fixture
def black_hole() -> Iterator[int]:
    """Yield a port whose backlog is full, so that the next connection is neither accepted nor refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_stop_while_tcp_connects_is_prompt(black_hole: int) -> None:
    with running(broker_at(black_hole, connect_timeout_seconds=5), Recorder()) as run:
        until(lambda: any(thread.name == "mqtt-dial" for thread in threading.enumerate()))
        run.stop(within_seconds=PROMPT)


def test_a_stop_while_dns_hangs_is_prompt_and_the_socket_of_a_late_answer_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = threading.Event(), threading.Event()
    ours, theirs = socket.socketpair()

    def slow(*_: object) -> socket.socket:
        asked.set()
        answer.wait(LONG)
        return ours

    monkeypatch.setattr(connection, "open_socket", slow)
    with running(broker_at(free_port(), connect_timeout_seconds=LONG), Recorder()) as run:
        assert asked.wait(10)
        run.stop(within_seconds=PROMPT)
    answer.set()
    until(lambda: ours.fileno() == -1)
    theirs.close()


@pytest.mark.broker
def test_a_stop_sends_what_waits_and_takes_its_acknowledgement(mosquitto: Mosquitto) -> None:
    recorder = Recorder()
    with running(broker_at(mosquitto.port), recorder) as run:
        until(lambda: recorder.connections)
        recorder.outbox.extend((unique(), b"x", False) for _ in range(50))
        run.stop()
    assert [refusal for _, refusal in recorder.acknowledged] == [None] * 50


@pytest.mark.broker
def test_the_last_words_come_behind_what_waits(mosquitto: Mosquitto) -> None:
    topic = unique()
    watcher, leaver = Recorder(filters=(topic,)), Recorder()
    with running(broker_at(mosquitto.port), watcher):
        until(lambda: "SUBACK" in mosquitto.log())
        with running(broker_at(mosquitto.port), leaver) as run:
            until(lambda: leaver.connections)
            leaver.last_words = (topic, b"goodbye")
            leaver.outbox.extend((topic, b"%d" % number, False) for number in range(50))
            run.stop()
        until(lambda: len(watcher.messages) == 51)
    assert watcher.payloads() == [*(b"%d" % number for number in range(50)), b"goodbye"]


def test_a_stop_gives_up_what_is_never_acknowledged_in_time() -> None:
    class Deaf(FakeBroker):
        def answer(self, kind: int, body: bytes) -> bytes | None:  # noqa: ARG002
            return b"\x20\x03\x00\x00\x00" if kind == 1 else b""

    recorder = Recorder()
    recorder.outbox.append((unique(), b"x", False))
    with Deaf() as broker, running(broker_at(broker.port), recorder, stop_seconds=0.2) as run:
        until(lambda: recorder.in_flight)
        run.stop(within_seconds=PROMPT)
    assert recorder.lost == ["stopped"]


@pytest.mark.broker
def test_a_stop_waits_for_no_answer_once_nothing_is_left_to_do(mosquitto: Mosquitto) -> None:
    class Settles(Recorder):
        is_settled = False

        def on_turn(self, connection: Connection) -> float | None:  # noqa: ARG002
            self.is_settled = bool(self.connections) and run.is_stopping
            return None

        def is_idle(self) -> bool:
            return self.is_settled

    recorder = Settles()
    with running(broker_at(mosquitto.port), recorder, stop_seconds=LONG) as run:
        until(lambda: recorder.connections)
        run.stop(within_seconds=PROMPT)


def test_a_session_that_is_stopped_before_it_runs_connects_to_nobody() -> None:
    stop = threading.Event()
    stop.set()
    recorder = Recorder()
    Session(broker_at(free_port()), recorder).run(stop)
    assert recorder.lost == []


@pytest.mark.broker
def test_a_session_can_run_again(mosquitto: Mosquitto) -> None:
    recorder = Recorder()
    session = Session(broker_at(mosquitto.port), recorder)
    for count in (1, 2):
        run = Run(session)
        run.start()
        until(lambda count=count: len(recorder.connections) == count)  # type: ignore[misc]
        run.stop()
