import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.fakes.relay import REFUSED, Conditions, Relay, Way
from tests.waiting import until


class Echo:
    """Says everything again, and knows what it heard and how each connection ended."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = bytearray()
        self.ends: list[str] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._echo, args=(sock,), daemon=True))
                self._threads[-1].start()

    def _echo(self, sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(65_536):
                    self.heard += data
                    sock.sendall(data)
                self.ends.append("closed")
            except OSError as error:
                self.ends.append(type(error).__name__)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def relay(echo: Echo) -> Iterator[Relay]:
    with Relay(echo.port) as relay:
        yield relay


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def client(relay: Relay, sockets: ExitStack) -> socket.socket:
    """A connection that has been used."""
    sock = connect(relay, sockets)
    assert say(sock, b"hello") == b"hello"
    return sock


def connect(relay: Relay, sockets: ExitStack) -> socket.socket:
    return sockets.enter_context(socket.create_connection(("127.0.0.1", relay.port), timeout=5))


def say(sock: socket.socket, data: bytes) -> bytes:
    """Say it, and return what comes back of it."""
    sock.sendall(data)
    answer = b""
    while len(answer) < len(data):
        more = sock.recv(65_536)
        if not more:
            break
        answer += more
    return answer


def read_to_the_end(sock: socket.socket) -> None:
    while sock.recv(65_536):
        continue


def is_silent(sock: socket.socket) -> bool:
    sock.settimeout(0.1)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    return False


def test_a_clear_link_passes_everything_on_and_counts_it(relay: Relay, client: socket.socket, echo: Echo) -> None:
    data = bytes(range(256)) * 4000
    assert say(client, data) == data
    assert bytes(echo.heard) == b"hello" + data
    assert (relay.sent, relay.received) == (len(data) + 5, len(data) + 5)
    assert bytes(relay.passages[0].sent) == b"hello" + data


@pytest.mark.usefixtures("relay")
def test_an_end_is_passed_on(client: socket.socket, echo: Echo) -> None:
    client.close()
    until(lambda: echo.ends == ["closed"])


def test_a_reset_is_a_reset_on_both_ends_and_new_connections_are_taken(
    relay: Relay, client: socket.socket, echo: Echo, sockets: ExitStack
) -> None:
    relay.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: echo.ends == ["ConnectionResetError"])
    assert say(connect(relay, sockets), b"again") == b"again"


def test_a_cut_link_refuses_connections_until_it_is_restored(
    relay: Relay, client: socket.socket, sockets: ExitStack
) -> None:
    relay.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert not relay.is_up
    with pytest.raises(ConnectionRefusedError):
        connect(relay, sockets)
    relay.restore()
    assert say(connect(relay, sockets), b"again") == b"again"


def test_a_link_that_refuses_leaves_the_connections_that_there_are(relay: Relay, client: socket.socket) -> None:
    relay.change(REFUSED)
    assert say(client, b"still here") == b"still here"


def test_nobody_behind_the_link_ends_the_connection(sockets: ExitStack) -> None:
    with Relay(1) as relay:
        assert connect(relay, sockets).recv(1) == b""


def test_a_mute_link_takes_connections_and_never_says_a_word(
    relay: Relay, client: socket.socket, echo: Echo, sockets: ExitStack
) -> None:
    relay.change(Conditions(is_mute=True))
    caller = connect(relay, sockets)
    caller.sendall(b"is anyone there?")
    assert is_silent(caller)
    assert bytes(echo.heard) == b"hello"
    assert say(client, b"you there") == b"you there"


@pytest.mark.parametrize(
    ("loses", "heard"),
    [({Way.UP}, b"hello"), ({Way.DOWN}, b"hellolost"), ({Way.UP, Way.DOWN}, b"hello")],
)
def test_what_vanishes_on_one_way_or_both_leaves_a_connection_half_open(
    loses: set[Way], heard: bytes, relay: Relay, client: socket.socket, echo: Echo
) -> None:
    relay.change(Conditions(loses=frozenset(loses)))
    client.sendall(b"lost")
    assert is_silent(client)
    assert bytes(echo.heard) == heard
    assert echo.ends == []


def test_a_connection_that_lost_something_stays_lost_and_a_new_one_works(
    relay: Relay, client: socket.socket, echo: Echo, sockets: ExitStack
) -> None:
    relay.change(Conditions(loses=frozenset(Way)))
    relay.restore()
    client.sendall(b"lost")
    assert say(connect(relay, sockets), b"new") == b"new"
    assert is_silent(client)
    client.close()
    assert say(connect(relay, sockets), b"newer") == b"newer"
    assert echo.ends == []  # nobody told it


def test_a_connection_that_both_ends_left_without_the_others_knowledge_does_no_harm(
    relay: Relay, client: socket.socket, echo: Echo, sockets: ExitStack
) -> None:
    relay.change(Conditions(loses=frozenset(Way)))
    client.close()
    relay.restore()
    gc.collect()
    assert say(connect(relay, sockets), b"new") == b"new"
    assert echo.ends == []


def test_while_packets_vanish_a_new_connection_gets_no_word(relay: Relay, sockets: ExitStack) -> None:
    relay.change(Conditions(loses=frozenset(Way)))
    assert is_silent(connect(relay, sockets))


def test_a_connection_is_cut_in_the_middle_of_a_packet(relay: Relay, echo: Echo, sockets: ExitStack) -> None:
    relay.change(Conditions(cuts_after=7))
    caller = connect(relay, sockets)
    caller.sendall(b"0123456789")
    with pytest.raises(ConnectionResetError):
        read_to_the_end(caller)
    until(lambda: echo.ends)
    assert bytes(echo.heard) == b"0123456"


def test_a_stalled_connection_carries_so_many_bytes_down_and_then_nothing(
    relay: Relay, echo: Echo, sockets: ExitStack
) -> None:
    relay.change(Conditions(stalls_after=4))
    caller = connect(relay, sockets)
    caller.sendall(b"0123456789")
    until(lambda: bytes(echo.heard) == b"0123456789")
    assert caller.recv(100) == b"0123"
    assert is_silent(caller)


def test_a_long_link_takes_its_time_each_way_however_much_is_on_it(relay: Relay, client: socket.socket) -> None:
    relay.change(Conditions(delay_seconds=0.1))
    began = time.monotonic()
    for _ in range(5):
        client.sendall(b"12345")
    assert say(client, b"") == b""
    received = b""
    while len(received) < 25:
        received += client.recv(100)
    assert 0.2 <= time.monotonic() - began < 0.5


def test_a_narrow_link_takes_its_time_for_each_byte(relay: Relay, client: socket.socket) -> None:
    relay.change(Conditions(bytes_per_second=2000))
    began = time.monotonic()
    say(client, b"x" * 500)
    assert 0.25 <= time.monotonic() - began < 2


def test_who_widens_a_link_need_not_wait_for_what_is_on_it(relay: Relay, client: socket.socket) -> None:
    relay.change(Conditions(bytes_per_second=100))
    client.sendall(b"x" * 60_000)
    relay.restore()
    began = time.monotonic()
    received = 0
    while received < 60_000:
        received += len(client.recv(65_536))
    assert time.monotonic() - began < 5
