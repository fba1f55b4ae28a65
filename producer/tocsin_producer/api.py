"""The API server over plain HTTP: lists, watches and their failures.

The kubernetes package is not used here: its client takes 40 MiB more, and its watch loses the resource version
when it is asked for raw objects.
"""

import http.client
import json
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from tocsin_producer.credentials import RESOLVE_SECONDS, Credentials
from tocsin_producer.errors import ApiError, ExpiredError, TokenError, TooLargeError
from tocsin_producer.plan import ApiServer

#: Shorter than a stop may take: nothing can break off the wait for a connection.
CONNECT_TIMEOUT_SECONDS: Final = 4.0
HANDSHAKE_TIMEOUT_SECONDS: Final = 10.0
#: All that may come before a request is sent.
OPENING_SECONDS: Final = RESOLVE_SECONDS + CONNECT_TIMEOUT_SECONDS + HANDSHAKE_TIMEOUT_SECONDS
#: A request that is not a watch has to be answered within this time.
READ_TIMEOUT_SECONDS: Final = 60.0
#: However slowly its answer comes, it has to end within this time.
ANSWER_SECONDS: Final = 300.0
#: etcd refuses objects of more than 1.5 MiB, so a longer line is not one.
LINE_LIMIT: Final = 4 * 1024**2
#: An Event of etcd's size in which JSON has to escape every character.
BODY_LIMIT: Final = 16 * 1024**2
_READ_SIZE: Final = 64 * 1024
_ERROR_LIMIT: Final = 64 * 1024

#: All that can happen to a connection short of an answer.
NETWORK_ERRORS: Final = (OSError, http.client.HTTPException)


class ApiClient:
    """One connection to the API server, for one thread; `abort` alone may be called from another.

    A token file is read anew for each request, since kubelet rotates it; `credentials` are resolved anew for the
    request after one that refused them.

    Raises, from each of its requests:
        ApiError: a failure, as the server tells it; ExpiredError for a 410.
        TokenError: the token file holds none.
        ResolveError: the credentials were refused, and there are no others now.
        OSError, http.client.HTTPException: no whole answer.
    """

    def __init__(
        self,
        server: ApiServer,
        credentials: Credentials | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._is_refused = False
        self._connection: http.client.HTTPConnection | None = None
        self._contact_at: float | None = None
        #: When the server has sent its last answer by its own clock, as it says it (RFC 9110, section 6.6.1).
        self.date: str | None = None
        self._use(server)

    def _use(self, server: ApiServer) -> None:
        self._server = server
        self._url = urlsplit(server.url)
        self._tls = tls_context(server) if self._url.scheme == "https" else None

    @property
    def contact_seconds(self) -> float | None:
        """For how long the server has said nothing; None if it never has."""
        return None if self._contact_at is None else self._clock() - self._contact_at

    def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        limit: int = BODY_LIMIT,
    ) -> dict[str, Any]:
        """Return the JSON object that the server answers with.

        Raises:
            TooLargeError: it has more than `limit` bytes.
        """
        response = self._request(path, query or {}, READ_TIMEOUT_SECONDS)
        try:
            body = self._read(response, limit)
        except BaseException:
            self.close()
            raise
        return _json_object(body, response.status)

    def _read(self, response: http.client.HTTPResponse, limit: int) -> bytes:
        deadline = self._clock() + ANSWER_SECONDS
        body = bytearray()
        while some := self._receive(response):
            body += some
            if len(body) > limit:
                raise TooLargeError(response.status, f"answer of more than {limit} bytes")
            if self._clock() > deadline:
                raise TimeoutError(f"the answer did not end within {ANSWER_SECONDS:.0f} s")
        if response.length:
            raise http.client.IncompleteRead(bytes(body), response.length)
        response.close()  # its connection serves the next request
        return bytes(body)

    def _receive(self, response: http.client.HTTPResponse) -> bytes:
        """Return what has come, nothing at the end, and note that the server is there."""
        some = response.read1(_READ_SIZE)
        self._contact_at = self._clock()
        return some

    def stream(self, path: str, query: Mapping[str, str | int], *, timeout: float) -> Iterator[bytes]:
        """Return the lines of a watch until the server ends it; one of more than `LINE_LIMIT` bytes as empty.

        After `timeout` seconds without a byte the connection counts as dead.
        """
        response = self._request(path, query, timeout)
        return _lines(lambda: self._receive(response))

    def _request(self, path: str, query: Mapping[str, str | int], timeout: float) -> http.client.HTTPResponse:
        self._renew()
        headers = self._headers()
        connection = self._connect()
        target = (
            f"{self._url.path.rstrip('/')}{path}?{urlencode(query)}"
            if query
            else self._url.path.rstrip("/") + path
        )
        try:
            connection.request("GET", target, headers=headers)
            connection.sock.settimeout(timeout)
            response = connection.getresponse()
        except BaseException:
            self.close()
            raise
        self._contact_at = self._clock()
        self.date = response.headers.get("Date")
        if response.status != http.client.OK:
            raise self._failure(response)
        return response

    def _renew(self) -> None:
        """Resolve the credentials anew if they were refused; those in a token file are read anew anyway."""
        if self._is_refused and self._credentials is not None:
            self._use(self._credentials.resolve())
        self._is_refused = False

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = self._new_connection()
        if self._connection.sock is None:
            self._connection.connect()
            sock: Any = self._connection.sock
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT_SECONDS)
        return _HTTPSConnection(host, port, tls=self._tls, server_name=self._server.server_name or host)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "tocsin-producer"}
        token = self._server.token
        if self._server.token_file is not None:
            with open(self._server.token_file, "rb") as file:
                token = bearer_token(file.read())
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers

    def _failure(self, response: http.client.HTTPResponse) -> ApiError:
        """Return the failure, from its Status object if the body is one; the connection is given up with it."""
        try:
            status = json.loads(response.read(_ERROR_LIMIT))
            message = str(status["message"])
        except (ValueError, KeyError, TypeError):
            message = response.reason
        finally:
            self.close()
        self._is_refused = response.status == http.client.UNAUTHORIZED or (
            response.status == http.client.FORBIDDEN and self._server.is_anonymous
        )
        return failure(response.status, message, retry_after=_seconds(response.headers.get("Retry-After", "")))

    def abort(self) -> None:
        """Break the connection off under whoever waits on it, and a search for credentials for good."""
        if self._credentials is not None:
            self._credentials.abort()
        connection = self._connection
        sock = connection.sock if connection is not None else None  # the thread may close it at any time
        if sock is not None:
            with suppress(OSError):
                # SSLSocket.shutdown would pull the TLS state from under the reader; the socket's own does not.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let the connection go; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _HTTPSConnection(http.client.HTTPConnection):
    """Verifies the server under `server_name` (`tls-server-name` in a kubeconfig), and can be broken off.

    The handshake of `http.client` runs before its connection has the socket, where `abort` could not reach it.
    """

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int | None, *, tls: ssl.SSLContext, server_name: str) -> None:
        super().__init__(host, port, timeout=CONNECT_TIMEOUT_SECONDS)
        self._tls = tls
        self._server_name = server_name

    def connect(self) -> None:
        super().connect()
        sock = self._tls.wrap_socket(
            self.sock,
            server_hostname=self._server_name,
            do_handshake_on_connect=False,
        )
        self.sock = sock
        sock.settimeout(HANDSHAKE_TIMEOUT_SECONDS)
        try:
            sock.do_handshake()
        except BaseException:
            self.close()
            raise


def bearer_token(contents: str | bytes) -> str:
    """Return the token in a file or a setting: blanks and line breaks around it are none of it.

    Raises:
        TokenError: what is left is no token. It could not be sent, and an attempt to would show it in the log.
    """
    text = contents.decode("latin-1") if isinstance(contents, bytes) else contents
    token = text.strip()
    if not all("!" <= character <= "~" for character in token):
        raise TokenError("the token has a blank, a line break or a letter outside of ASCII within it")
    return token


def _seconds(retry_after: str) -> float | None:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None


def failure(status: int, message: str, *, retry_after: float | None = None) -> ApiError:
    """Return the error that `status` calls for."""
    kind = ExpiredError if status == http.client.GONE else ApiError
    return kind(status, message, retry_after=retry_after)


def _json_object(body: bytes, status: int) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(status, f"answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ApiError(status, "answer is not a JSON object")
    return value


def _lines(receive: Callable[[], bytes]) -> Iterator[bytes]:
    """Split what comes into lines (`HTTPResponse.readline` takes minutes for a long one)."""
    begun = bytearray()
    while some := receive():
        *ends, rest = some.split(b"\n")
        for end in ends:
            begun += end
            yield bytes(begun) if len(begun) <= LINE_LIMIT else b""
            begun.clear()
        if len(begun) <= LINE_LIMIT:
            begun += rest
    if begun:
        raise http.client.IncompleteRead(bytes(begun))


@lru_cache(maxsize=1)
def tls_context(server: ApiServer) -> ssl.SSLContext:
    """Return how the server is verified, and what we show to it; all watches share one.

    Raises:
        OSError, ValueError: a certificate or the key cannot be used (`ssl.SSLError` is an OSError).
    """
    context = ssl.create_default_context(cadata=server.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Old clusters' CA certificates lack the extensions that Python 3.13 began to insist on.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not server.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if server.client_certificate is not None:
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:  # OpenSSL reads keys from files only
            file.write(f"{server.client_certificate}\n{server.client_key or ''}")
            file.flush()
            context.load_cert_chain(file.name, password=_refuse_encrypted_key)
    return context


def _refuse_encrypted_key() -> str:
    """Say what is wrong where OpenSSL would ask at the terminal."""
    raise ValueError("the client key is encrypted; give one without a passphrase")
