import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tocsin_consumer.probes import Answer, ListenError, ProbeServer, _Handler, verdict


def broken() -> Answer:
    raise ZeroDivisionError


@contextmanager
def serving(problems: list[str]) -> Iterator[ProbeServer]:
    server = ProbeServer(("127.0.0.1", 0), {"/healthz": lambda: verdict(problems), "/broken": broken})
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def get(server: ProbeServer, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_probe_answers_200_when_all_is_well_and_503_with_the_reasons_when_not() -> None:
    problems: list[str] = []
    with serving(problems) as server:
        assert get(server, "/healthz") == (200, "ok\n")
        assert get(server, "/healthz?verbose=1") == (200, "ok\n")
        problems += ["thread mqtt has ended", "pipeline: no progress for 301 s"]
        assert get(server, "/healthz") == (503, "thread mqtt has ended\npipeline: no progress for 301 s\n")


def test_another_path_is_not_found_and_says_what_there_is() -> None:
    with serving([]) as server:
        status, text = get(server, "/")
        assert status == 404
        assert "/readyz" in text


def test_a_page_that_fails_ends_its_own_request_and_nothing_else() -> None:
    with serving([]) as server:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            get(server, "/broken")
        assert get(server, "/healthz") == (200, "ok\n")


def test_a_client_that_says_nothing_holds_up_nobody() -> None:
    with serving([]) as server:
        silent = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        silent.connect()
        assert get(server, "/healthz") == (200, "ok\n")
        silent.close()


def test_a_client_that_says_nothing_is_let_go_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _Handler.timeout == 10
    monkeypatch.setattr(_Handler, "timeout", 0.05)
    with serving([]) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent:
        assert silent.recv(1) == b""


def test_an_address_that_is_taken_is_told() -> None:
    with (
        serving([]) as server,
        pytest.raises(ListenError, match=rf"http.listen: 127.0.0.1:{server.port}: Address already in use"),
    ):
        ProbeServer(("127.0.0.1", server.port), {})


def test_an_address_of_version_6_can_be_listened_at() -> None:
    server = ProbeServer(("::1", 0), {})
    assert server.port > 0
    server._server.server_close()
