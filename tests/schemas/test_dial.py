import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.schemas.fake_broker import FakeBroker
from tests.schemas.session_harness import broker_at
from tests.waiting import until
from tocsin_schemas.connection import MQTT_5, Connection, ConnectionLostError
from tocsin_schemas.dial import USER_TIMEOUT_SECONDS, look_up, open_socket, reach, traffic
from tocsin_schemas.handler import Received


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose backlog is full: the kernel drops what would connect."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            with suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield listener.getsockname()[1]


def found(*ports: int) -> list[Any]:
    """Return what `getaddrinfo` does for a host with an address for each port."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]


def test_an_address_that_never_answers_leaves_time_for_the_next(
    black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeBroker() as fake:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(black_hole, fake.port))
        broker = broker_at(fake.port, host="broker.example", connect_timeout_seconds=0.4)
        with open_socket(broker, look_up(broker), None) as sock:
            assert sock.getpeername()[1] == fake.port
            assert sock.gettimeout() == 0.4  # for the handshake


def test_each_address_gets_an_equal_part_of_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    monkeypatch.setattr(socket.socket, "settimeout", lambda _, seconds: given.append(seconds))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    addresses = [(socket.AF_INET, ("127.0.0.1", 1883))] * 3
    times = iter([100.0, 100.0, 103.0, 105.0])
    with pytest.raises(ConnectionRefusedError):
        reach(addresses, within_seconds=9.0, clock=lambda: next(times))
    assert given == [3.0, 3.0, 4.0]


def test_an_address_for_which_no_time_is_left_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", refuse)
    times = iter([100.0, 109.0])
    with pytest.raises(TimeoutError):
        reach([(socket.AF_INET, ("127.0.0.1", 1883))], within_seconds=9.0, clock=lambda: next(times))


def refuse(_sock: socket.socket, _where: Any) -> None:
    raise ConnectionRefusedError


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has TCP_USER_TIMEOUT")
def test_data_that_goes_nowhere_ends_a_connection_within_half_a_minute() -> None:
    with FakeBroker() as fake:
        broker = broker_at(fake.port)
        with open_socket(broker, look_up(broker), None) as sock:
            milliseconds = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert milliseconds == USER_TIMEOUT_SECONDS * 1000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_dial_that_was_given_up_sends_no_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        resolved.wait(20)
        return found(fake.port)

    with FakeBroker() as fake:
        monkeypatch.setattr(socket, "getaddrinfo", hang)
        connection = make_connection(fake.port, host="broker.example", connect_timeout_seconds=0.05)
        wakeup, waker = socket.socketpair()
        with wakeup, waker, pytest.raises(ConnectionLostError, match="no answer in time from DNS"):
            connection.open(wakeup, threading.Event())
        connection.drop()
        resolved.set()
        until(lambda: fake.accepted == 1)
        until(lambda: "mqtt-dial" not in [thread.name for thread in threading.enumerate()])
    assert fake.levels == []


def test_nothing_is_acknowledged_on_a_connection_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledged: list[int] = []
    connection = make_connection(1883)
    monkeypatch.setattr(connection._client, "ack", lambda mid, _qos: acknowledged.append(mid))
    connection.acknowledge(Received("a/topic", b"{}", 1, retained=False))
    connection.drop()
    connection.acknowledge(Received("a/topic", b"{}", 2, retained=False))
    assert acknowledged == [1]


def make_connection(port: int, **changes: Any) -> Connection:
    return Connection(broker_at(port, **changes), will=None, receive_maximum=10, protocol=MQTT_5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts")
def test_traffic_is_what_went_both_ways_with_the_headers_of_every_segment() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        with theirs:
            before = traffic(ours)
            ours.sendall(b"x" * 1000)
            theirs.sendall(theirs.recv(2000))
            assert len(ours.recv(2000)) == 1000
            assert 2000 + 2 * 52 <= traffic(ours) - before <= 2000 + 4 * 52
    assert traffic(ours) == 0  # closed
