"""One connection of a client: HTTP/1.1 with keep-alive, and chunks as the real server sends them."""

import contextlib
import http.client
import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.apiserver_answer import PLAIN_TEXT, Answer
from tests.fakes.apiserver_watch import Watch

# net/http of Go sends a Content-Length for what fits in its buffer, and chunks for anything larger.
_BUFFER_BYTES = 2048
_MAX_LINE_BYTES = 65_536


@dataclass(frozen=True)
class Head:
    """The head of a request, header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to go on, and sent no body that would have to be skipped first."""
        has_body = bool({"content-length", "transfer-encoding"} & self.headers.keys())
        return self.headers.get("connection", "").lower() != "close" and not has_body


class Server(Protocol):
    """What a connection asks of its server."""

    def answer(self, head: Head, connection: "Connection") -> Answer | Watch:
        """Answer a request, when it is time to; raise `ConnectionAbortedError` if it never will be."""

    def opened(self, watch: Watch) -> contextlib.AbstractContextManager[None]:
        """Know the watch as open as long as the context lasts."""

    def wait_while_hanging(self, connection: "Connection") -> None:
        """Return once the server may say something, or has dropped the connection."""


class Connection:
    """Serves one accepted socket until either side has enough; `drop` ends it from another thread."""

    def __init__(self, accepted: socket.socket, server: Server, ssl_context: ssl.SSLContext | None) -> None:
        self._socket = accepted
        self._server = server
        self._ssl_context = ssl_context
        self.is_dropped = False

    def serve(self) -> None:
        """Answer requests until the client closes; a connection that breaks is an ordinary end."""
        with contextlib.suppress(OSError), contextlib.closing(self):
            self._server.wait_while_hanging(self)
            self._begin_tls()
            with self._socket.makefile("rb") as reader:
                while self._serve_one(reader):
                    pass

    def drop(self) -> None:
        """Cut the connection whatever its thread does, under the TLS layer if there is one."""
        self.is_dropped = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _begin_tls(self) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._ssl_context is None:
            return
        encrypted = self._ssl_context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket = encrypted
        if self.is_dropped:  # perhaps between the last two lines, when there was nothing to shut down
            raise ConnectionAbortedError
        encrypted.do_handshake()

    def _serve_one(self, reader: BinaryIO) -> bool:
        """Answer one request, and tell whether another one may follow."""
        line = reader.readline(_MAX_LINE_BYTES)
        if not line:
            return False
        try:
            head = _parse_head(line, reader)
        except (ValueError, http.client.HTTPException):
            self._send(Answer(400, b"400 Bad Request", PLAIN_TEXT, {"Connection": "close"}))
            return False
        answer = self._server.answer(head, self)
        if isinstance(answer, Watch):
            return self._stream(answer) and head.keeps_alive
        self._send(answer)
        return head.keeps_alive

    def _send(self, answer: Answer) -> None:
        if len(answer.body) <= _BUFFER_BYTES:
            headers = {**answer.headers, "Content-Length": str(len(answer.body))}
            self._socket.sendall(_head(answer.status, answer.content_type, headers) + answer.body)
            return
        headers = {**answer.headers, "Transfer-Encoding": "chunked"}
        self._socket.sendall(_head(answer.status, answer.content_type, headers))
        for start in range(0, len(answer.body), _BUFFER_BYTES):
            self._socket.sendall(_chunk(answer.body[start : start + _BUFFER_BYTES]))
        self._socket.sendall(_chunk(b""))

    def _stream(self, watch: Watch) -> bool:
        """Send a watch, each frame in a chunk of its own, and tell whether it ended in good order."""
        with self._server.opened(watch):
            self._socket.sendall(_head(200, "application/json", {"Transfer-Encoding": "chunked"}))
            for frame in watch.frames(is_client_gone=self._is_client_gone):
                self._server.wait_while_hanging(self)
                if watch.cut_within is not None:
                    self._send_cut(frame, watch)
                    return False
                self._socket.sendall(_chunk(frame))
            self._server.wait_while_hanging(self)
            self._socket.sendall(_chunk(b""))
        return True

    def _send_cut(self, frame: bytes, watch: Watch) -> None:
        half = frame[: len(frame) // 2]
        if watch.cut_within == "frame":
            self._socket.sendall(_chunk(half))
        else:
            self._socket.sendall(_chunk(frame)[: -len(half)])

    def _is_client_gone(self) -> bool:
        """During a watch a client has nothing to say: there is something to read only when it has closed."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable)


def _parse_head(line: bytes, reader: BinaryIO) -> Head:
    """Read a request's head; raise `ValueError` or `HTTPException` if it is none."""
    method, target, version = line.decode("latin-1").split()
    if version != "HTTP/1.1":
        raise ValueError(version)
    headers = {name.lower(): value for name, value in http.client.parse_headers(reader).items()}
    url = urlsplit(target)
    # As in Go, the first of several values counts.
    query = dict(reversed(parse_qsl(url.query, keep_blank_values=True)))
    return Head(method, unquote(url.path), query, headers)


def _head(status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
    """Write a response's head, its fields in the recorded order."""
    fields = {"Cache-Control": "no-cache, private", "Content-Type": content_type}
    fields |= {**headers, "Date": formatdate(usegmt=True)}
    lines = [f"HTTP/1.1 {status} {http.client.responses[status]}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _chunk(data: bytes) -> bytes:
    """Frame data as one chunk; the empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
