"""A real HTTP/1.1 server on the loopback interface, to build fakes of HTTP services on."""

from __future__ import annotations

import contextlib
import http.server
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from tests.fakes.faults import Answer, Ending, Fault, Faults, Outcome, Request
from tests.fakes.listener import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

HOST = "127.0.0.1"


class HttpFake(ABC):
    """Serves `answer` on a free port, with faults on demand.

    The port is reserved from the first start to the stop, so that a fake which refuses connections for a
    while comes back where its clients look for it. `clock` gives epoch seconds; `sleep` holds slow answers
    back and is interrupted by the stop unless it is replaced.
    """

    name = "fake"

    def __init__(
        self,
        *,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.port = port
        self.clock = clock
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._faults = Faults()
        self._lock = threading.RLock()
        self._reservation: socket.socket | None = None
        self._server: _Server | None = None

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Take the request into account and return the ordinary answer; one request at a time."""

    @abstractmethod
    def missed(self, request: Request, fault: Fault) -> None:
        """Learn of a request that a fault kept from being handled."""

    @property
    def base_url(self) -> str:
        """Where the fake listens."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> Self:
        """Listen; on the same port as before when started again."""
        self._reservation = bound(self.port)  # connections are refused, and nobody else gets the port
        self.port = self._reservation.getsockname()[1]
        self._listen()
        return self

    def stop(self) -> None:
        """Close every connection, end every thread and free the port."""
        try:
            self._hang_up()
        finally:
            if self._reservation is not None:
                self._reservation.close()
                self._reservation = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def arm(self, fault: Fault, *, times: int | None = 1) -> None:
        """Let a fault happen to the next `times` requests that it concerns, or until cleared (None)."""
        self._faults.add(fault, times)

    def clear_faults(self) -> None:
        """Be well again."""
        self._faults.clear()

    @contextlib.contextmanager
    def refusing_connections(self) -> Iterator[None]:
        """Cut every connection and refuse new ones while the block runs; then listen on the same port."""
        self._hang_up()
        try:
            yield
        finally:
            self._listen()

    def react(self, request: Request) -> Outcome:
        """Return what the client gets, when it is due."""
        fault = self._faults.take(request)
        with self._lock:
            outcome = self._outcome(request, fault)
        if fault is not None and fault.delay_seconds:
            self._sleep(fault.delay_seconds)
        return outcome

    def _outcome(self, request: Request, fault: Fault | None) -> Outcome:
        if fault is None or fault.outcome is None:
            return self.answer(request)
        if fault.handled:
            self.answer(request)
        else:
            self.missed(request, fault)
        return fault.outcome

    def _listen(self) -> None:
        self._stopping.clear()
        self._server = _Server(self)
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name=f"{self.name}-accept", daemon=True
        ).start()

    def _hang_up(self) -> None:
        self._stopping.set()
        server, self._server = self._server, None
        if server is not None:
            server.hang_up()


class _Server(http.server.ThreadingHTTPServer):
    """Knows its open connections, so that it can end those that clients keep alive."""

    daemon_threads = False  # so that closing the server joins them

    def __init__(self, fake: HttpFake) -> None:
        self.fake = fake
        self._connections: set[socket.socket] = set()
        self._errors: list[BaseException] = []
        super().__init__((HOST, fake.port), _Handler)

    def hang_up(self) -> None:
        """Stop accepting, end every connection and join every thread.

        Raises:
            RuntimeError: a bug of the fake ended a connection, which a test must not overlook.
        """
        self.shutdown()
        for connection in tuple(self._connections):
            _shut(connection)
        self.server_close()
        if self._errors:
            raise RuntimeError(f"{self.fake.name} failed") from self._errors[0]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's signature
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):  # a client may leave at any time
            self._errors.append(error)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection: requests in, outcomes out."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        threading.current_thread().name = f"{self.server.fake.name}-connection-{self.client_address[1]}"
        super().setup()

    def _serve(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.close_connection = True
            self._send(Answer(411))
            return
        request = self._request()
        if request is None:
            self.close_connection = True
            return
        outcome = self.server.fake.react(request)
        if isinstance(outcome, Answer):
            self._send(outcome)
        else:
            self._end(outcome)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that the base class looks up

    def _request(self) -> Request | None:
        """Return the request, or None when the client left in the middle of it."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            return None
        return Request(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            client=self.client_address[0],
            arrived_at=datetime.fromtimestamp(self.server.fake.clock(), UTC),
        )

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _end(self, ending: Ending) -> None:
        self.close_connection = True
        if ending is Ending.HANG:
            while self.rfile.read(1):  # until the client leaves, or the server shuts the connection
                pass

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's signature
        """Stay quiet: journals keep what happened."""


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # its own thread may have closed it meanwhile
        connection.shutdown(socket.SHUT_RDWR)
