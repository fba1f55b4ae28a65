"""The HTTP base of the fakes, their faults and journals, tried on the generic receiver."""

from __future__ import annotations

import http.client
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.fakes import faults
from tests.fakes.client import exchange, send
from tests.fakes.faults import Answer, Request, json_answer
from tests.fakes.journal import Journal
from tests.fakes.webhook import WebhookFake

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fake() -> Iterator[WebhookFake]:
    with WebhookFake() as running:
        yield running


def test_a_request_is_recorded_with_method_path_headers_and_body(fake: WebhookFake) -> None:
    send(fake.base_url + "/any/path", b"hello", method="PUT", headers={"X-Site": "edge-042"})
    (request,) = fake.wait_for(1)
    assert (request.method, request.path, request.body) == ("PUT", "/any/path", b"hello")
    assert request.headers["x-site"] == "edge-042"
    assert request.client == "127.0.0.1"


def test_a_request_whose_client_leaves_in_the_middle_of_it_is_none(fake: WebhookFake) -> None:
    address = urlsplit(fake.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as client:
        client.sendall(b"POST /hook HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert len(fake.requests) == 0


def test_the_answer_is_what_the_test_asks_for(fake: WebhookFake) -> None:
    fake.reply = Answer(202, b"later", {"X-Queue": "7"})
    reply = send(fake.url, {})
    assert (reply.status, reply.body, reply.headers["x-queue"]) == (202, b"later", "7")


def test_the_answer_can_depend_on_the_request() -> None:
    def echo(request: Request) -> Answer:
        return json_answer({"got": request.json()})

    with WebhookFake(echo) as fake:
        assert send(fake.url, [1, 2]).json() == {"got": [1, 2]}


def test_a_connection_is_kept_alive_for_further_requests(fake: WebhookFake) -> None:
    connection = http.client.HTTPConnection(urlsplit(fake.url).netloc, timeout=5)
    exchange(connection, "/one", b"1")
    before = connection.sock
    exchange(connection, "/two", b"2")
    assert connection.sock is before
    assert [request.path for request in fake.requests] == ["/one", "/two"]
    connection.close()


def test_stopping_ends_idle_connections_and_every_thread() -> None:
    fake = WebhookFake().start()
    idle = socket.create_connection((urlsplit(fake.url).hostname, fake.port), timeout=5)
    send(fake.url, b"")
    fake.stop()
    assert idle.recv(1) == b""
    idle.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("webhook")]


def test_threads_are_named_after_the_fake() -> None:
    names: list[str] = []

    def remember(_request: Request) -> Answer:
        names.append(threading.current_thread().name)
        return Answer()

    with WebhookFake(remember) as fake:
        send(fake.url, b"")
    assert names[0].startswith("webhook-connection-")


def test_a_fake_comes_back_on_the_same_port() -> None:
    fake = WebhookFake().start()
    port = fake.port
    fake.stop()
    with fake:
        assert fake.port == port
        assert send(fake.url, b"").status == 200


def test_connections_are_refused_for_a_while_and_the_port_stays_its_own(fake: WebhookFake) -> None:
    with fake.refusing_connections():
        with pytest.raises(ConnectionRefusedError):
            send(fake.url, b"")
        with pytest.raises(OSError, match="in use"), socket.socket() as other:
            other.bind(("127.0.0.1", fake.port))
    assert send(fake.url, b"").status == 200


def test_a_bug_in_the_fake_fails_the_test() -> None:
    def broken(_request: Request) -> Answer:
        raise ZeroDivisionError

    fake = WebhookFake(broken).start()
    with pytest.raises(http.client.RemoteDisconnected):
        send(fake.url, b"")
    with pytest.raises(RuntimeError, match="webhook failed"):
        fake.stop()
    fake.stop()


def test_a_body_of_unknown_length_is_refused(fake: WebhookFake) -> None:
    reply = send(fake.url, b"", headers={"Transfer-Encoding": "chunked"})
    assert reply.status == 411


def test_http_errors_happen_as_often_as_armed(fake: WebhookFake) -> None:
    fake.arm(faults.http_error(502), times=2)
    assert [send(fake.url, b"").status for _ in range(3)] == [502, 502, 200]
    assert (len(fake.requests), len(fake.missed_requests)) == (1, 2)


def test_faults_happen_in_the_order_in_which_they_were_armed(fake: WebhookFake) -> None:
    fake.arm(faults.http_error(500))
    fake.arm(faults.http_error(429, headers={"Retry-After": "7"}))
    first, second = send(fake.url, b""), send(fake.url, b"")
    assert (first.status, second.status, second.headers["retry-after"]) == (500, 429, "7")


def test_one_fault_object_can_be_armed_twice(fake: WebhookFake) -> None:
    fault = faults.http_error(500)
    fake.arm(fault)
    fake.arm(fault)
    assert [send(fake.url, b"").status for _ in range(3)] == [500, 500, 200]


def test_a_fault_without_end_lasts_until_cleared(fake: WebhookFake) -> None:
    fake.arm(faults.http_error(500), times=None)
    assert [send(fake.url, b"").status for _ in range(5)] == [500] * 5
    fake.clear_faults()
    assert send(fake.url, b"").status == 200


def test_a_fault_can_concern_some_requests_only(fake: WebhookFake) -> None:
    fault = faults.Fault("no bees", Answer(403), concerns=lambda request: b"bee" in request.body)
    fake.arm(fault)
    assert [send(fake.url, body).status for body in (b"ant", b"bee", b"bee")] == [200, 403, 200]


def test_a_slow_answer_is_held_back_after_the_request_took_effect() -> None:
    held: list[tuple[float, int]] = []

    def hold(seconds: float) -> None:
        held.append((seconds, len(slow_fake.requests)))

    slow_fake = WebhookFake(sleep=hold)
    with slow_fake:
        slow_fake.arm(faults.slow(30))
        assert send(slow_fake.url, b"").status == 200
    assert held == [(30, 1)]


def test_delays_add_up_and_go_with_other_faults() -> None:
    held: list[float] = []
    with WebhookFake(sleep=held.append) as fake:
        fake.arm(faults.slow(1), times=None)
        fake.arm(faults.slow(2))
        fake.arm(faults.http_error(500))
        assert [send(fake.url, b"").status for _ in range(2)] == [500, 200]
    assert held == [3, 1]


def test_stopping_does_not_wait_for_slow_answers(fake: WebhookFake) -> None:
    fake.arm(faults.slow(3600))
    with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        fake.wait_for(1)
        fake.stop()


@pytest.mark.parametrize("handled", [False, True])
def test_a_hang_never_answers(handled: bool, fake: WebhookFake) -> None:
    fake.arm(faults.hang(handled=handled))
    with pytest.raises(TimeoutError):
        send(fake.url, b"", timeout_seconds=0.05)
    (fake.requests if handled else fake.missed_requests).wait_for(1)
    assert len(fake.requests) == handled
    assert send(fake.url, b"").status == 200


def test_stopping_ends_a_hang(fake: WebhookFake) -> None:
    fake.arm(faults.hang(handled=True))
    with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        fake.wait_for(1)
        fake.stop()
        assert client.recv(1) == b""


@pytest.mark.parametrize("handled", [False, True])
def test_a_connection_is_closed_without_an_answer(handled: bool, fake: WebhookFake) -> None:
    fake.arm(faults.close(handled=handled))
    with pytest.raises(http.client.RemoteDisconnected):
        send(fake.url, b"")
    assert len(fake.requests) == handled


@pytest.mark.parametrize("content", [b"", b"<html>upgrading", b'{"code":0'])
def test_any_body_can_be_answered(content: bytes, fake: WebhookFake) -> None:
    fake.arm(faults.body(content))
    reply = send(fake.url, b"")
    assert (reply.status, reply.body) == (200, content)


def test_a_journal_can_be_waited_on_from_another_thread() -> None:
    journal: Journal[int] = Journal()
    writer = threading.Thread(target=journal.append, args=(7,))
    writer.start()
    assert journal.wait_for(1) == (7,)
    assert journal.wait_for(lambda n: n > 6) == (7,)
    writer.join()


def test_a_journal_says_what_came_instead() -> None:
    journal: Journal[str] = Journal()
    journal.append("something else")
    with pytest.raises(TimeoutError, match="something else"):
        journal.wait_for(2, timeout_seconds=0)


def test_a_journal_can_start_over() -> None:
    journal: Journal[str] = Journal()
    journal.append("old")
    journal.clear()
    journal.append("new")
    assert (list(journal), journal[0], journal[:1], len(journal)) == (["new"], "new", ("new",), 1)
