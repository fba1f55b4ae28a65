from __future__ import annotations

import gzip
import socket
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme

from tests.consumer.receivers.trickling import trickling
from tests.fakes import faults
from tests.fakes.apiserver import ApiServer
from tests.fakes.faults import Answer as FakeAnswer
from tests.fakes.tls import serving
from tests.fakes.webhook import WebhookFake
from tests.mosquitto import free_port
from tocsin_consumer.errors import PermanentError, TemporaryError
from tocsin_consumer.receivers import http
from tocsin_consumer.receivers.http import Answer, Webhook, check_status, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def fake() -> Iterator[WebhookFake]:
    with WebhookFake() as fake:
        yield fake


def _send(url: str, *, method: str = "POST", timeout_seconds: float = 5.0, **options: Any) -> Answer:
    with closing(Webhook(url, timeout=timedelta(seconds=timeout_seconds), **options)) as webhook:
        return webhook.send(b"body", method=method, headers={"X-Text": "重启"})


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    check_status(Answer(status))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_another_try_may_change_is_temporary(status: int) -> None:
    with pytest.raises(TemporaryError, match=f"HTTP {status}"):
        check_status(Answer(status))


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 410, 413, 422])
def test_what_no_try_will_change_is_permanent(status: int) -> None:
    with pytest.raises(PermanentError, match=f"HTTP {status}"):
        check_status(Answer(status))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 12:02:00 GMT"}, 120),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0),
        ({"x-ogw-ratelimit-reset": "30"}, 30),
        ({"retry-after": "99999999999999999999"}, 3600),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, 3600),
    ],
)
def test_a_service_says_how_long_to_stay_away(headers: dict[str, str], seconds: int) -> None:
    with pytest.raises(TemporaryError) as raised:
        check_status(Answer(503, headers=headers), now=lambda: _NOW)
    assert raised.value.retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "٣ hours", "Mon, 99 Nov 2026 12:00:00 GMT"])
def test_a_wait_that_makes_no_sense_is_no_wait(value: str) -> None:
    assert retry_after(Answer(503, headers={"retry-after": value}), _NOW) is None


def test_an_answer_has_status_body_and_headers(fake: WebhookFake) -> None:
    fake.reply = FakeAnswer(418, "茶".encode(), {"X-Tea": "green"})
    answer = _send(fake.url)
    assert (answer.status, answer.text, answer.headers["x-tea"]) == (418, "茶", "green")
    assert fake.requests[0].body == b"body"
    assert fake.requests[0].headers["x-text"].encode("latin-1").decode() == "重启"


def test_a_redirect_is_not_followed(fake: WebhookFake) -> None:
    fake.reply = FakeAnswer(307, headers={"Location": f"{fake.base_url}/elsewhere"})
    assert _send(fake.url).status == 307
    assert len(fake.requests) == 1


def test_connections_are_kept(fake: WebhookFake) -> None:
    with closing(Webhook(fake.url, timeout=timedelta(seconds=5))) as webhook:
        for _ in range(3):
            webhook.send(b"", headers={})
        assert len(fake._server._connections) == 1  # type: ignore[union-attr]


def test_no_more_of_an_answer_is_read_than_is_worth_it(fake: WebhookFake) -> None:
    fake.reply = FakeAnswer(200, b"x" * 1_000_000)
    assert len(_send(fake.url).body) == 64 * 1024


def test_a_body_that_trickles_in_is_cut_at_the_timeout() -> None:
    with trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nso far ") as url:
        started = time.monotonic()
        answer = _send(url, timeout_seconds=0.3)
    assert (answer.status, answer.body[:7]) == (200, b"so far ")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("start", "more"), [(b"", b"0"), (b"1;", b"x"), (b"7\r\nso far \r\n", b"0"), (b"0\r\n", b"X-Slow: 1\r\n")]
)
@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_a_chunked_body_that_trickles_in_is_cut_at_the_timeout(start: bytes, more: bytes, header: bytes) -> None:
    started = time.monotonic()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + header + b"\r\n"
    with trickling(head + start, more=more) as url:
        assert _send(url, timeout_seconds=0.3).status == 200
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_the_head_of_an_answer_that_trickles_in_is_no_answer_in_time(start: bytes) -> None:
    started = time.monotonic()
    with trickling(start) as url, pytest.raises(TemporaryError, match="no answer in time"):
        _send(url, timeout_seconds=0.3)
    assert time.monotonic() - started < 3


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return what sets variables in an environment without proxies and certificates."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def test_a_request_goes_by_way_of_the_proxy_that_the_environment_names(
    fake: WebhookFake, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTP_PROXY", fake.base_url)
    assert _send("http://hook.example/x").status == 200
    assert fake.requests[0].path == "http://hook.example/x"


def test_a_request_goes_past_the_proxy_where_the_environment_says_so(
    fake: WebhookFake, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    environment.setenv("NO_PROXY", "127.0.0.1")
    assert _send(fake.url).status == 200
    assert fake.requests[0].path == "/hook"


def test_a_service_is_verified_by_the_certificates_that_the_environment_names(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "bundle.crt")
    with ApiServer(ssl_context=serving(authority, "localhost")) as service:
        url = f"https://localhost:{service.port}/version"
        with pytest.raises(TemporaryError, match="TLS failed"):
            _send(url)
        environment.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.crt"))
        assert _send(url, method="GET").status == 200


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_a_proxy_that_trickles_gives_no_connection_in_time(start: bytes, environment: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    with trickling(start) as url:
        environment.setenv("HTTPS_PROXY", url.removesuffix("/hook"))
        with pytest.raises(TemporaryError, match=r"the proxy failed|in time"):
            _send("https://hook.example/", timeout_seconds=0.3)
    assert time.monotonic() - started < 3


def test_the_rest_of_an_answer_may_take_as_long_as_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("tocsin_consumer.receivers.http.time.monotonic", lambda: now[0])
    here, there = socket.socketpair()
    here.settimeout(5.0)
    with here, there, closing(http._Timed(here)) as answer:
        there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000)
        now[0] += 4.0
        answer.begin()
        now[0] += 4.0
        assert answer.read() == b"x" * 20_000


def test_a_compressed_answer_is_read_up_to_the_limit(fake: WebhookFake) -> None:
    fake.reply = FakeAnswer(200, gzip.compress(b"x" * 50_000_000), {"Content-Encoding": "gzip"})
    assert _send(fake.url).body == b"x" * 64 * 1024


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(faults.hang(), "no answer in time"), (faults.close(), "connection failed")],
)
def test_no_answer_is_temporary(fake: WebhookFake, fault: faults.Fault, reason: str) -> None:
    fake.arm(fault)
    with pytest.raises(TemporaryError, match=reason):
        _send(fake.url, timeout_seconds=0.1)


def test_nobody_there_is_temporary(fake: WebhookFake) -> None:
    with fake.refusing_connections(), pytest.raises(TemporaryError, match="connection failed: Connection refused"):
        _send(fake.url)


def test_a_service_that_does_not_speak_tls_is_temporary(fake: WebhookFake) -> None:
    with pytest.raises(TemporaryError, match="TLS failed"):
        _send(fake.url.replace("http:", "https:"))


def test_a_ca_file_that_has_gone_is_temporary(fake: WebhookFake, tmp_path: Path) -> None:
    with pytest.raises(TemporaryError, match="connection failed"):
        _send(fake.url.replace("http:", "https:"), ca_file=tmp_path / "gone")


def test_a_header_that_http_does_not_allow_is_permanent(fake: WebhookFake) -> None:
    with (
        closing(Webhook(fake.url, timeout=timedelta(seconds=5))) as webhook,
        pytest.raises(PermanentError, match="cannot be sent"),
    ):
        webhook.send(b"", headers={"X": "a\nb"})


def test_no_account_is_taken_from_the_netrc_of_the_user(
    fake: WebhookFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login me password mine\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    _send(fake.url)
    assert "authorization" not in fake.requests[0].headers


def test_a_name_in_the_url_without_a_password_is_no_account(fake: WebhookFake) -> None:
    with closing(Webhook(fake.url.replace("http://", "http://me@"), timeout=timedelta(seconds=5))) as webhook:
        webhook.send(b"", headers={"Authorization": "Bearer ours"})
    assert fake.requests[0].headers["authorization"] == "Bearer ours"


def test_an_account_in_the_url_is_sent(fake: WebhookFake) -> None:
    _send(fake.url.replace("http://", "http://me:p%40ss@"))
    assert fake.requests[0].headers["authorization"] == requests.auth._basic_auth_str("me", "p@ss")


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.InvalidURL("no host in https://x/t0ken"),
        requests.exceptions.ProxyError("proxy for https://x/t0ken"),
        requests.exceptions.ContentDecodingError("https://x/t0ken"),
        UnicodeError("label of https://x/t0ken too long"),
        OSError("https://x/t0ken"),
    ],
)
def test_no_exception_of_the_library_is_let_out(error: Exception) -> None:
    class Broken(requests.Session):
        def request(self, *_: Any, **__: Any) -> requests.Response:
            raise error

    with pytest.raises((TemporaryError, PermanentError)) as raised:
        _send("https://x/t0ken", session=Broken())
    assert raised.value.__context__ is None
    assert "t0ken" not in str(raised.value)
