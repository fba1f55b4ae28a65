import http.client
import itertools
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from tests.fakes import apiserver_faults as faults
from tests.fakes.apiserver import ApiServer
from tests.producer.conftest import event
from tests.waiting import until
from tocsin_producer.api import ANSWER_SECONDS, ApiClient
from tocsin_producer.credentials import Credentials
from tocsin_producer.errors import ApiError, ExpiredError, ResolveError, TokenError, TooLargeError
from tocsin_producer.plan import ApiServer as Server
from tocsin_producer.watch import EVENTS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[ApiServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("kubernetes.default").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    with ApiServer(ssl_context=context, token="right") as server:
        yield server


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def version(source: Server) -> object:
    client = ApiClient(source)
    try:
        return client.get("/version")["gitVersion"]
    finally:
        client.close()


def test_the_server_is_verified_under_its_name_by_the_given_ca(
    tls_server: ApiServer, authority: trustme.CA
) -> None:
    source = Server(tls_server.url, ca=pem(authority), token="right", server_name="kubernetes.default")
    assert version(source) == "v1.36.2"


def test_a_server_of_another_name_is_refused(tls_server: ApiServer, authority: trustme.CA) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch|not valid for"):
        version(Server(tls_server.url, ca=pem(authority), token="right"))


def test_a_server_of_another_ca_is_refused(tls_server: ApiServer) -> None:
    source = Server(tls_server.url, ca=pem(trustme.CA()), server_name="kubernetes.default")
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        version(source)


def test_a_kubeconfig_may_ask_not_to_verify(tls_server: ApiServer) -> None:
    assert version(Server(tls_server.url, token="right", verify=False)) == "v1.36.2"


def test_a_client_certificate_is_shown(tls_server: ApiServer, authority: trustme.CA) -> None:
    ours = authority.issue_cert("tocsin")
    source = Server(
        tls_server.url,
        ca=pem(authority),
        token="right",
        server_name="kubernetes.default",
        client_certificate=b"".join(blob.bytes() for blob in ours.cert_chain_pems).decode(),
        client_key=ours.private_key_pem.bytes().decode(),
    )
    assert version(source) == "v1.36.2"


def test_a_failure_tells_the_status_and_the_servers_words(server: ApiServer) -> None:
    client = ApiClient(Server(server.url))
    with pytest.raises(ApiError, match="400 field label not supported: nonsense") as caught:
        client.get(EVENTS, {"fieldSelector": "nonsense=1"})
    assert caught.value.status == 400
    client.close()


def test_a_wrong_token_is_a_401_and_does_not_show(tls_server: ApiServer) -> None:
    with pytest.raises(ApiError, match="^401 Unauthorized$"):
        version(Server(tls_server.url, token="wr0ng", verify=False))
    assert "wr0ng" not in repr(Server(tls_server.url, token="wr0ng"))


def test_a_410_is_an_error_of_its_own(server: ApiServer) -> None:
    server.inject(faults.AnswerNext(410))
    client = ApiClient(Server(server.url))
    with pytest.raises(ExpiredError):
        client.get(EVENTS)
    client.close()


def test_one_connection_serves_list_and_watch(server: ApiServer) -> None:
    server.events.put(event())
    client = ApiClient(Server(server.url))
    for _ in range(3):
        client.get(EVENTS, {"limit": 1})
    lines = client.stream(EVENTS, {"watch": 1, "resourceVersion": "0"}, timeout=10)
    assert next(lines).startswith(b'{"type":"ADDED"')
    assert server.connection_count == 1
    client.close()


def test_a_path_before_the_servers_own_is_kept(server: ApiServer) -> None:
    client = ApiClient(Server(f"{server.url}/k8s/clusters/c-1/"))
    with pytest.raises(ApiError):
        client.get("/version")
    client.close()
    assert server.requests[0].path == "/k8s/clusters/c-1/version"


def test_an_answer_that_is_no_json_object_is_a_failure(server: ApiServer) -> None:
    client = ApiClient(Server(server.url))
    with pytest.raises(ApiError, match="answer is not JSON"):
        client.get("/readyz")
    client.close()


def test_abort_ends_a_wait_from_another_thread(server: ApiServer) -> None:
    client = ApiClient(Server(server.url))
    lines = client.stream(EVENTS, {"watch": 1}, timeout=60)
    client.abort()
    with pytest.raises(http.client.IncompleteRead):
        next(lines)
    client.close()


def test_a_token_file_that_vanished_is_an_ordinary_failure_of_the_system(
    server: ApiServer, tmp_path: Path
) -> None:
    client = ApiClient(Server(server.url, token_file=str(tmp_path / "gone")))
    with pytest.raises(FileNotFoundError):
        client.get("/version")
    client.close()


@pytest.mark.parametrize("token", [b"s3cret\ns3cret\n", b"s3cret x", b"s3cret\xff", "s3crét".encode()])
def test_a_token_file_that_holds_no_token_does_not_show(
    server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, token: bytes
) -> None:
    (tmp_path / "token").write_bytes(token)
    client = ApiClient(Server(server.url, token_file=str(tmp_path / "token")))
    try:
        client.get("/version")
    except TokenError:
        logging.getLogger().exception("as it would be logged")
    client.close()
    assert "the token has a blank, a line break" in caplog.text
    assert "s3cr" not in caplog.text
    assert server.requests == ()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("99999999999", 99999999999.0),
        ("²", None),
        ("-1", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_nothing(
    server: ApiServer, header: str, seconds: float | None
) -> None:
    server.inject(faults.AnswerNext(503, retry_after=header))
    client = ApiClient(Server(server.url))
    with pytest.raises(ApiError) as caught:
        client.get(EVENTS)
    client.close()
    assert caught.value.retry_after == seconds


def test_an_answer_that_is_too_large_is_not_read_to_its_end(server: ApiServer) -> None:
    server.events.put(event(message="x" * 5000))
    client = ApiClient(Server(server.url))
    with pytest.raises(TooLargeError, match="answer of more than 4096 bytes"):
        client.get(EVENTS, limit=4096)
    assert client.get(EVENTS, limit=65536)["items"]
    client.close()


class Renewed(Credentials):
    """Credentials that another process would resolve, and how often it was asked."""

    def __init__(self, *found: Server | ResolveError) -> None:
        super().__init__([])
        self.found = list(found)

    def resolve(self) -> Server:
        outcome = self.found.pop(0)
        if isinstance(outcome, ResolveError):
            raise outcome
        return outcome


def test_credentials_that_were_refused_are_resolved_anew_until_they_are_good() -> None:
    with ApiServer(token="new") as server:
        old, new = Server(server.url, token="old"), Server(server.url, token="new")
        credentials = Renewed(ResolveError("not yet"), old, new)
        client = ApiClient(old, credentials)
        for expected in (ApiError, ResolveError, ApiError):
            with pytest.raises(expected):
                client.get("/version")
        assert client.get("/version")["gitVersion"]
        assert client.get("/version")["gitVersion"]
        assert credentials.found == []
        client.close()


def test_whoever_comes_without_credentials_and_is_forbidden_looks_for_some(server: ApiServer) -> None:
    server.forbid()
    credentials = Renewed(Server(server.url, token="new"))
    client = ApiClient(Server(server.url), credentials)
    for _ in range(3):  # with a token, being forbidden is nothing that another token would change
        with pytest.raises(ApiError, match="403"):
            client.get(EVENTS)
    client.close()
    assert credentials.found == []


def test_abort_ends_a_tls_handshake_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = ApiClient(Server(f"https://127.0.0.1:{silent.getsockname()[1]}"))
        errors: list[OSError] = []

        def get() -> None:
            try:
                client.get("/version")
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=get)
        thread.start()

        def has_ended() -> bool:
            client.abort()
            return not thread.is_alive()

        accepted, _ = silent.accept()
        with accepted:
            until(has_ended, within_seconds=3)
        thread.join()
        assert len(errors) == 1


def test_a_connection_that_is_closed_meanwhile_does_not_disturb_an_abort(server: ApiServer) -> None:
    class Closing:
        """A connection whose socket is gone when it is looked at again."""

        def __init__(self, sock: socket.socket) -> None:
            self.socks = [sock]

        @property
        def sock(self) -> socket.socket | None:
            return self.socks.pop() if self.socks else None

        def close(self) -> None:
            """Nothing is left to close."""

    client = ApiClient(Server(server.url))
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        client._connection = Closing(sock)  # type: ignore[assignment]
        sock.settimeout(10)
        client.abort()
        assert sock.recv(1) == b""


@contextmanager
def trickling(head: bytes) -> Iterator[str]:
    """Serve one client with a byte at a time, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            client, _ = listener.accept()
            with client, suppress(OSError):
                client.recv(65536)
                client.sendall(head)
                while True:
                    client.sendall(b" ")

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def test_an_answer_that_never_ends_is_given_up_in_the_end() -> None:
    time = itertools.count(0.0, ANSWER_SECONDS / 100)
    with trickling(b"HTTP/1.1 200 OK\r\n\r\n") as url:
        client = ApiClient(Server(url), clock=lambda: next(time))
        with pytest.raises(TimeoutError, match="did not end within 300 s"):
            client.get(EVENTS)
        assert client._connection is None


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def break_off() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")

        thread = threading.Thread(target=break_off, daemon=True)
        thread.start()
        client = ApiClient(Server(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        with pytest.raises(http.client.IncompleteRead):
            client.get(EVENTS)
        thread.join(10)
    assert client.contact_seconds is not None
