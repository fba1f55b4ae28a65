import errno
import http.client
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from tests.waiting import until
from tocsin_producer import probes
from tocsin_producer.errors import ListenError
from tocsin_producer.probes import MAX_CONNECTIONS, REQUEST_SECONDS, Answer, ProbeServer, respond

PAGES = {
    "/healthz": lambda: Answer(200, "ok\n"),
    "/long": lambda: Answer(200, "x" * 2_000_000),
    "/endless": lambda: Answer(200, "x" * 30_000_000),
}


@pytest.fixture
def server() -> Iterator[ProbeServer]:
    with serving() as running:
        yield running


@contextmanager
def serving(**options: object) -> Iterator[ProbeServer]:
    running = ProbeServer("127.0.0.1:0", PAGES, **options)  # type: ignore[arg-type]
    running.start()
    try:
        yield running
    finally:
        running.close()


def connect(server: ProbeServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def ask(server: ProbeServer, path: str = "/healthz", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def read_all(sock: socket.socket) -> bytes:
    data = b""
    with suppress(ConnectionError):
        while some := sock.recv(65536):
            data += some
    return data


def test_a_path_is_answered(server: ProbeServer) -> None:
    assert ask(server) == (200, "ok\n")
    assert ask(server, "/healthz?verbose") == (200, "ok\n")
    assert ask(server, "/else") == (404, "known here: /healthz /long /endless\n")
    assert ask(server, method="POST") == (405, "only GET\n")


def test_an_answer_larger_than_what_the_network_takes_at_once_is_whole(server: ProbeServer) -> None:
    assert ask(server, "/long") == (200, "x" * 2_000_000)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\n\n",
        b"GET / HTTP/9.9 x\r\n\r\n",
        b"\xff\n\n",
    ],
)
def test_what_is_no_request_is_answered_as_such(garbage: bytes) -> None:
    assert respond(garbage, PAGES).status == 400


def test_a_head_that_does_not_end_is_cut_off_before_its_time_is_over() -> None:
    with serving(clock=lambda: 0.0) as server:
        with connect(server) as sock:
            with suppress(ConnectionError):
                sock.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000)
            assert read_all(sock) == b""
        assert ask(server)[0] == 200


def test_slow_clients_keep_nobody_from_being_answered(server: ProbeServer) -> None:
    slow = [connect(server) for _ in range(MAX_CONNECTIONS // 2)]
    for sock in slow:
        sock.sendall(b"GET /heal")
    assert ask(server)[0] == 200
    for sock in slow:
        sock.close()


def test_who_does_not_finish_in_time_is_cut_off() -> None:
    time = [0.0]
    with serving(clock=lambda: time[0]) as server, connect(server) as silent, connect(server) as deaf:
        deaf.sendall(b"GET /endless HTTP/1.0\r\n\r\n")
        until(lambda: len(server._clients) == 2)
        time[0] = REQUEST_SECONDS + 1
        until(lambda: not server._clients, within_seconds=5)
        assert read_all(silent) == b""


def test_more_clients_than_there_is_room_for_cut_off_the_oldest(server: ProbeServer) -> None:
    crowd = [connect(server) for _ in range(5 * MAX_CONNECTIONS)]
    assert ask(server)[0] == 200
    assert len(server._clients) <= MAX_CONNECTIONS
    assert read_all(crowd[0]) == b""
    for sock in crowd:
        sock.close()


def test_a_client_that_speaks_in_the_round_in_which_it_has_to_go_breaks_nothing() -> None:
    server = ProbeServer("127.0.0.1:0", PAGES)
    with ExitStack() as stack:
        crowd = []
        for _ in range(MAX_CONNECTIONS):
            crowd.append(stack.enter_context(connect(server)))
            server.step(5)
        crowd[0].sendall(b"GET")
        stack.enter_context(connect(server))
        until(lambda: len(server._selector.select(0)) == 2)
        server.step(5)
        assert len(server._clients) == MAX_CONNECTIONS
        assert read_all(crowd[0]) == b""
    server.start()
    server.close()


def test_a_client_for_which_no_file_can_be_opened_is_not_asked_for_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ProbeServer("127.0.0.1:0", PAGES)
    pauses: list[float | None] = []
    monkeypatch.setattr(server._closing, "wait", pauses.append)
    with connect(server), monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", refuse)
        server.step(5)
        assert pauses == [probes._NO_ROOM_SECONDS]
    server.start()
    server.close()


def refuse(_listener: socket.socket) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_client_that_goes_away_in_the_middle_of_its_answer_breaks_nothing(server: ProbeServer) -> None:
    for _ in range(20):
        with connect(server) as sock:
            sock.sendall(b"GET /long HTTP/1.0\r\n\r\n")
    assert ask(server)[0] == 200


def test_a_page_that_fails_is_answered_as_a_failure_and_logged(
    server: ProbeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server._pages = {**PAGES, "/bad": failing}
    assert ask(server, "/bad") == (500, "failed; the log says why\n")
    assert "no figures today" in caplog.text
    assert ask(server)[0] == 200


def failing() -> Answer:
    raise RuntimeError("no figures today")


def test_what_no_page_could_answer_for_is_logged_and_the_next_is_answered(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_FAILURE_SECONDS", 0.01)
    with serving() as server, caplog.at_level(logging.ERROR):
        server._pages = {**PAGES, "/bad": lambda: Answer(999, "no such status")}
        with connect(server) as sock:
            sock.sendall(b"GET /bad HTTP/1.0\r\n\r\n")
            until(lambda: "answering probes failed" in caplog.text)
        assert ask(server)[0] == 200


def test_an_address_that_is_taken_or_not_ours_is_an_error_that_names_it(server: ProbeServer) -> None:
    with pytest.raises(ListenError, match=rf"cannot listen on 127.0.0.1:{server.port} \(http.listen\)"):
        ProbeServer(f"127.0.0.1:{server.port}", PAGES)
    with pytest.raises(ListenError, match="http.listen"):
        ProbeServer("192.0.2.1:8080", PAGES)


def test_it_closes_at_once_and_gives_the_port_back() -> None:
    with serving() as server:
        port = server.port
    assert "probes" not in [thread.name for thread in threading.enumerate()]
    ProbeServer(f"127.0.0.1:{port}", PAGES)._listener.close()
