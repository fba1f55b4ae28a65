"""`/healthz`, `/readyz` and `/metrics` over HTTP."""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tocsin_consumer.errors import ConsumerError

_log = logging.getLogger(__name__)

#: How long a client may take for its request.
_CLIENT_SECONDS: Final = 10.0
_TURN_SECONDS: Final = 0.5
_TEXT: Final = "text/plain; charset=utf-8"

#: Status, type and content of an answer.
Answer = tuple[int, str, bytes]


class ListenError(ConsumerError):
    """Nobody can listen at the address that is configured."""


class ProbeServer:
    """Answers GET requests, each in a thread of its own.

    Args:
        address: host and port to listen at; an empty host is every address.
        pages: path → what answers it.

    Raises:
        ListenError: the address is taken, or is none of this machine.
    """

    def __init__(self, address: tuple[str, int], pages: dict[str, Callable[[], Answer]]) -> None:
        try:
            self._server = _Server(address, pages)
        except OSError as error:
            host, port = address
            raise ListenError(f"http.listen: {host}:{port}: {error.strerror}") from error
        self._server.timeout = _TURN_SECONDS

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    def run(self, stop: threading.Event) -> None:
        """Answer until `stop` is set."""
        with self._server:
            while not stop.is_set():
                self._server.handle_request()

    def close(self) -> None:
        """Let the address go; a second time this does nothing."""
        self._server.server_close()


def verdict(problems: Sequence[str]) -> Answer:
    """Return the answer of a probe: 200, or 503 with a problem a line."""
    text = "".join(f"{problem}\n" for problem in problems) or "ok\n"
    return 503 if problems else 200, _TEXT, text.encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: dict[str, Callable[[], Answer]]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - a client that went away
        _log.debug("a request of %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_SECONDS
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tocsin", ""

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0], _not_found)
        status, content_type, content = page()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it overrides
        _log.debug(format, *args)


def _not_found() -> Answer:
    return 404, _TEXT, b"there are /healthz, /readyz and /metrics\n"
