"""One HTTP request to a webhook, and what its answer means: the only module that touches requests.

The address of a webhook is a password. The exceptions of requests and urllib3 carry it, so none of them is
let out, not even as the cause of another; and urllib3 logs it for each request, so urllib3 is kept quiet.
"""

import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

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


class _Timed:
    """A connection on which the head of an answer comes within the timeout, however slowly it trickles.

    The timeout of a socket is for each read, and a service may send a byte at a time.
    """

    def getresponse(self) -> Any:
        """Return the answer.

        Raises:
            TimeoutError: it is too late. The socket is shut then, which ends whatever waits for it.
        """
        connected = self.sock  # type: ignore[attr-defined] # a connection that is to be closed lets go of it
        with _shut_after(self.timeout, connected) as late:  # type: ignore[attr-defined]
            try:
                answer = super().getresponse()  # type: ignore[misc]
            except (OSError, http.client.HTTPException) as error:
                if late.is_set():
                    raise TimeoutError from error
                raise
        if late.is_set():  # a head that breaks off looks like a whole one
            answer.close()
            raise TimeoutError
        answer.connected = connected
        return answer


class _Connection(_Timed, urllib3.connection.HTTPConnection):
    pass


class _TLSConnection(_Timed, urllib3.connection.HTTPSConnection):
    pass


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
        clock: monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        ca_file: Path | None = None,
        session: requests.Session | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # it logs addresses at DEBUG and at WARNING
        self._url = url
        self._timeout = timeout
        self._session = session or _session()
        self._surroundings = _surroundings(self._session, url, ca_file)
        self._session.trust_env = False  # it would read it anew each time, and send an account of ~/.netrc
        self._clock = clock

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
                **self._surroundings,
            ) as response:
                lower = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, self._read(response), lower)
        except (requests.RequestException, OSError, ValueError) as error:
            return _failure(error)

    def _read(self, response: requests.Response) -> bytes:
        """Return the body up to the limit and the timeout.

        Where it breaks off, the rest is missing: the status is known by then, and sending again is no remedy.
        One call may read for ever, such as for the size of a chunk; so the socket is shut at the timeout.
        """
        seconds = self._timeout.total_seconds()
        deadline = self._clock() + seconds
        body = bytearray()
        connected = getattr(response.raw, "connected", None)
        with suppress(urllib3.exceptions.HTTPError, OSError), _shut_after(seconds, connected):
            while len(body) < _ANSWER_LIMIT and self._clock() < deadline:
                chunk = response.raw.read1(_CHUNK, decode_content=True)
                if not chunk:
                    break
                body += chunk
        return bytes(body[:_ANSWER_LIMIT])


@dataclass(frozen=True, slots=True)
class Way:
    """How requests go to an address: by way of which proxy, and by whose certificates it is verified."""

    proxy: str | None = field(repr=False)
    trust: str


def find_way(url: str, *, ca_file: Path | None = None) -> Way:
    """Return how a request to `url` would go, as the environment has it (HTTPS_PROXY, REQUESTS_CA_BUNDLE)."""
    with requests.Session() as session:
        found = _surroundings(session, url, ca_file)
    proxy = requests.utils.select_proxy(url, found["proxies"])
    return Way(proxy, requests.utils.DEFAULT_CA_BUNDLE_PATH if found["verify"] is True else str(found["verify"]))


def _surroundings(session: requests.Session, url: str, ca_file: Path | None) -> dict[str, Any]:
    """Return what the environment has to say about requests to `url`: proxies, and what they are verified by."""
    found = session.merge_environment_settings(url, {}, None, True if ca_file is None else str(ca_file), None)
    return {name: found[name] for name in ("proxies", "verify")}


def _session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


@contextmanager
def _shut_after(seconds: float, connected: socket.socket | None) -> Iterator[threading.Event]:
    """Shut a socket, if there is one, once what is done within takes longer; the event is set then."""
    late = threading.Event()
    timer = threading.Timer(seconds, _shut, [connected, late])
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _shut(connected: socket.socket | None, late: threading.Event) -> None:
    """Let who reads from a socket read no more, and know why; it may have been closed by now."""
    late.set()
    if connected is not None:
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)


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
