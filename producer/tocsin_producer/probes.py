"""A very small HTTP server for probes and metrics: one thread, GET, one answer per connection.

`http.server` with its threads takes over a megabyte more than this, in a process that has to stay small.
"""

import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tocsin_producer.errors import ListenError

_log = logging.getLogger(__name__)

#: From accept to the last byte of the answer; whoever takes longer is cut off.
REQUEST_SECONDS: Final = 5.0
#: Beyond this many at once, the one that has been there longest is cut off.
MAX_CONNECTIONS: Final = 16
_HEAD_LIMIT: Final = 4096
_STOP_SECONDS: Final = 2.0
#: After an error of our own.
_FAILURE_SECONDS: Final = 1.0
#: There are too many open files: how long to let be before looking again, while whoever waits is not served.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_SECONDS: Final = 0.2
_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
TEXT: Final = "text/plain; charset=utf-8"

_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers."""

    status: int
    text: str
    content_type: str = TEXT

    def encode(self) -> bytes:
        """Return the whole response."""
        body = self.text.encode()
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


Pages = Mapping[str, Callable[[], Answer]]


def respond(head: bytes, pages: Pages) -> Answer:
    """Answer a request by its first line; headers mean nothing here."""
    match head.partition(b"\r\n")[0].split(b" "):
        case [b"GET", target, version] if version.startswith(b"HTTP/1."):
            page = pages.get(target.partition(b"?")[0].decode("ascii", "replace"))
            return _call(page) if page is not None else Answer(404, f"known here: {' '.join(pages)}\n")
        case [_, _, version] if version.startswith(b"HTTP/1."):
            return Answer(405, "only GET\n")
    return Answer(400, "not HTTP\n")


def _call(page: Callable[[], Answer]) -> Answer:
    try:
        return page()
    except Exception:  # noqa: BLE001 - a callback's: whoever asks has to hear of it
        _log.exception("a probe failed")
        return Answer(500, "failed; the log says why\n")


@dataclass(slots=True)
class _Client:
    """A connection: first its request comes, then its answer goes."""

    sock: socket.socket
    until: float
    head: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class ProbeServer:
    """Answers probes in a thread of its own until `close`.

    Args:
        listen: host and port; an IPv6 host stands in brackets.
        pages: what each path answers.

    Raises:
        ListenError: there is no such address here, or it is taken.
    """

    def __init__(
        self,
        listen: str,
        pages: Pages,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pages = pages
        self._clock = clock
        self._listener = _listen(listen)
        self._listener.setblocking(False)  # noqa: FBT003 - the function has no keywords
        self._clients: dict[int, _Client] = {}
        self._selector: selectors.BaseSelector = _Selector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closing = threading.Event()
        self._wakeup, self._waker = socket.socketpair()
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._closing.set()
        self._waker.close()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.step(self._due_seconds())
            except Exception:  # noqa: BLE001 - the top of the thread
                _log.exception("answering probes failed")
                self._closing.wait(_FAILURE_SECONDS)
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
        self._listener.close()
        self._wakeup.close()

    def _due_seconds(self) -> float | None:
        """Return in how many seconds a client has to be cut off; None without any: nothing wakes us in vain."""
        until = min((client.until for client in self._clients.values()), default=None)
        return None if until is None else max(0.0, until - self._clock())

    def step(self, timeout: float | None) -> None:
        """Wait up to `timeout` seconds for something to do, and do it."""
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
            elif (client := self._clients.get(key.fd)) is not None and client.sock is key.fileobj:
                self._serve(client)  # if not, it had to go for one that was accepted in the same round
        now = self._clock()
        for client in [client for client in self._clients.values() if client.until <= now]:
            self._drop(client)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM:  # it stays in the backlog, and would wake us again at once
                self._closing.wait(_NO_ROOM_SECONDS)
            return
        sock.setblocking(False)  # noqa: FBT003 - the function has no keywords
        if len(self._clients) >= MAX_CONNECTIONS:
            self._drop(next(iter(self._clients.values())))
        self._clients[sock.fileno()] = _Client(sock, self._clock() + REQUEST_SECONDS)
        self._selector.register(sock, selectors.EVENT_READ)

    def _serve(self, client: _Client) -> None:
        try:
            if client.answer is None:
                self._read(client)
            if client.answer is not None:
                self._write(client, client.answer)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)

    def _read(self, client: _Client) -> None:
        some = client.sock.recv(_HEAD_LIMIT)
        client.head += some
        if not some or len(client.head) > _HEAD_LIMIT:
            self._drop(client)
        elif b"\r\n\r\n" in client.head or b"\n\n" in client.head:
            client.answer = memoryview(respond(bytes(client.head), self._pages).encode())
            self._selector.modify(client.sock, selectors.EVENT_WRITE)

    def _write(self, client: _Client, answer: memoryview) -> None:
        client.answer = answer[client.sock.send(answer) :]
        if not client.answer:
            with suppress(OSError):
                client.sock.shutdown(socket.SHUT_WR)
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        self._clients.pop(client.sock.fileno(), None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(client.sock)
        client.sock.close()


def _listen(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=MAX_CONNECTIONS)
    except OSError as error:
        raise ListenError(f"cannot listen on {listen} (http.listen): {error.strerror or error}") from error
