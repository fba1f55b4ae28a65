"""One HTTP request to a webhook, and what its answer means: the only module that touches requests.

The address of a webhook is a password. The exceptions of requests and urllib3 carry it, so none of them is
let out, not even as the cause of another; and urllib3 logs it for each request, so urllib3 is kept quiet.
"""

import http.client
import io
import logging
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from tocsin_consumer.errors import DeliveryError, PermanentError, TemporaryError
from tocsin_consumer.retry import RETRY_AFTER_LIMIT

#: Nothing that a webhook answers is worth more bytes.
_ANSWER_LIMIT: Final = 64 * 1024
_CONNECT_TIMEOUT: Final = timedelta(seconds=10)
_CHUNK: Final = 16 * 1024

#: Statuses that another try may change; so may every 5xx. All others are final (RFC 9110, RFC 8470, RFC 6585).
_TEMPORARY: Final = {408: "request timeout", 425: "too early", 429: "too many requests"}

#: What went wrong before there was an answer, the special before the general. Another try may help.
_FAILURES: Final = (
    (requests.exceptions.SSLError, "TLS failed"),
    (requests.exceptions.ProxyError, "the proxy failed"),
    (requests.exceptions.ConnectTimeout, "no connection in time"),
    (requests.exceptions.Timeout, "no answer in time"),
    (requests.exceptions.ConnectionError, "connection failed"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered; the names of headers are in lower case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")


class _Reader(io.RawIOBase):
    """Reads from a socket for as long as its timeout in all, where the socket would grant that to each read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._seconds = cast("float", sock.gettimeout())  # no request goes out without one
        self._file = sock.makefile("rb", buffering=0)
        self.begin()

    def begin(self) -> None:
        """Let the time begin anew."""
        self._deadline = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Timed(http.client.HTTPResponse):
    """An answer whose head has to come within the timeout, and the rest within as long again.

    A service may send a byte at a time, and so may a proxy that is asked for a connection.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self._reader = _Reader(sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.begin()


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Timed


class _TLSConnection(urllib3.connection.HTTPSConnection):
    response_class = _Timed


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """Makes connections of ours, whether there is a proxy or not."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


class Webhook:
    """Somewhere to send requests to, over connections that are kept.

    Args:
        url: the address; a secret.
        timeout: how long to wait for the head of an answer, and then as long for the rest of it.
        ca_file: CA certificates to trust instead of the system's.
        session: what sends; its own by default.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        ca_file: Path | None = None,
        session: requests.Session | None = None,
    ) -> None:
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # it logs addresses at DEBUG and at WARNING
        self._url = url
        self._timeout = timeout
        self._ca_file = ca_file
        self._session = session or _session()
        # Otherwise requests would read the environment for each request, and send an account that is in ~/.netrc.
        self._session.trust_env = False
        account = requests.utils.get_auth_from_url(url)
        self._session.auth = account if any(account) else None

    def send(self, body: bytes, *, method: str = "POST", headers: Mapping[str, str]) -> Answer:
        """Send one request and return the answer, whatever its status.

        Redirects are not followed: they would carry secrets to where nobody has sent them.

        Raises:
            TemporaryError: no answer came, or not in time.
            PermanentError: it is no request that could be sent.
        """
        outcome = self._try(body, method, headers)
        if isinstance(outcome, DeliveryError):
            raise outcome  # here, outside of the handler, no exception with the address hangs on it
        return outcome

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @cached_property
    def _environment(self) -> dict[str, Any]:
        """What the environment says of requests to this address."""
        return _from_environment(self._url, self._ca_file)

    def _try(self, body: bytes, method: str, headers: Mapping[str, str]) -> Answer | DeliveryError:
        try:
            with self._session.request(
                method,
                self._url,
                data=body,
                headers={name: value.encode() for name, value in headers.items()},
                timeout=(min(self._timeout, _CONNECT_TIMEOUT).total_seconds(), self._timeout.total_seconds()),
                allow_redirects=False,
                stream=True,
                **self._environment,
            ) as response:
                lower = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, self._read(response), lower)
        except (requests.RequestException, OSError, ValueError) as error:
            return _failure(error)

    def _read(self, response: requests.Response) -> bytes:
        """Return the body up to the limit and the timeout.

        Where it breaks off, the rest is missing: the status is known by then, and sending again is no remedy.
        """
        body = bytearray()
        with suppress(urllib3.exceptions.HTTPError, OSError):
            while len(body) < _ANSWER_LIMIT and (chunk := response.raw.read1(_CHUNK, decode_content=True)):
                body += chunk
        return bytes(body[:_ANSWER_LIMIT])


@dataclass(frozen=True, slots=True)
class Way:
    """How requests go to an address: by way of which proxy, and by whose certificates it is verified."""

    proxy: str | None = field(repr=False)
    trust: str


def find_way(url: str, *, ca_file: Path | None = None) -> Way:
    """Return how a request to `url` would go, as the environment has it (HTTPS_PROXY, REQUESTS_CA_BUNDLE)."""
    found = _from_environment(url, ca_file)
    proxy = requests.utils.select_proxy(url, found["proxies"])
    return Way(proxy, requests.utils.DEFAULT_CA_BUNDLE_PATH if found["verify"] is True else str(found["verify"]))


def _from_environment(url: str, ca_file: Path | None) -> dict[str, Any]:
    """Return by way of which proxies requests go to `url`, and what they are verified by.

    Raises:
        ValueError: the address is malformed.
    """
    with requests.Session() as session:
        verify = True if ca_file is None else str(ca_file)
        found = session.merge_environment_settings(url, {}, None, verify, None)
    return {name: found[name] for name in ("proxies", "verify")}


def _session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


def check_status(answer: Answer, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
    """Return when `answer` is a success.

    Raises:
        TemporaryError: with the time that the service asks to stay away for.
        PermanentError: another try would fail the same way.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    if status in _TEMPORARY or status >= 500:
        words = f" ({_TEMPORARY[status]})" if status in _TEMPORARY else ""
        raise TemporaryError(f"HTTP {status}{words}", retry_after=retry_after(answer, now()))
    if 300 <= status < 400:
        raise PermanentError(f"HTTP {status}: it redirects; configure the address that it redirects to")
    raise PermanentError(f"HTTP {status}")


def retry_after(answer: Answer, now: datetime) -> timedelta | None:
    """Return how long the service asks to stay away, at most an hour; None when it does not say.

    `Retry-After` has seconds or a date (RFC 9110, 10.2.3); Feishu's gateway has `x-ogw-ratelimit-reset`, seconds.
    """
    for name in ("retry-after", "x-ogw-ratelimit-reset"):
        seconds = _seconds(answer.headers.get(name, ""), now)
        if seconds is not None:
            return timedelta(seconds=min(max(0.0, seconds), RETRY_AFTER_LIMIT.total_seconds()))
    return None


def _seconds(value: str, now: datetime) -> float | None:
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, OverflowError):
        return None


def _failure(error: Exception) -> DeliveryError:
    """Return what `error` means, told without what it says: that has the address in it."""
    for kind, words in _FAILURES:
        if isinstance(error, kind):
            reason = _system_reason(error)
            return TemporaryError(f"{words}: {reason}" if reason else words)
    if isinstance(error, requests.RequestException | ValueError):
        return PermanentError("cannot be sent: the url or a header is malformed")
    return TemporaryError("connection failed")


def _system_reason(error: BaseException) -> str | None:
    """Return the words of the operating system or of OpenSSL at the root of `error`: they hold no address."""
    seen: list[BaseException] = [error]
    for one in seen:
        if isinstance(one, OSError) and one.strerror and not isinstance(one, requests.RequestException):
            return one.strerror
        inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        seen += [cause for cause in inner if isinstance(cause, BaseException) and cause not in seen]
    return None
