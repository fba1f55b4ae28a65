"""A relay between a client and a broker that can cut, remembers what the client sent, and speaks WebSocket."""

import base64
import hashlib
import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Passage:
    """One connection through the relay, and what the client sent on it."""

    client: socket.socket
    broker: socket.socket
    sent: bytearray = field(default_factory=bytearray)

    def close(self) -> None:
        for sock in (self.client, self.broker):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class Relay:
    """Forwards connections on `port` to `target`, byte for byte."""

    def __init__(self, target: int, *, context: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passages: list[Passage] = []
        self._threads: list[threading.Thread] = []

    def cut(self) -> None:
        """Break off every connection."""
        for passage in self.passages:
            passage.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._start(self._admit, client)

    def _admit(self, client: socket.socket) -> None:
        try:
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            self.greet(client)
        except (OSError, ValueError):
            client.close()
            return
        passage = Passage(client, socket.create_connection(("127.0.0.1", self._target)))
        self.passages.append(passage)
        self._start(self._upstream, passage)
        self._downstream(passage)

    def _upstream(self, passage: Passage) -> None:
        with suppress(OSError, ValueError):
            while data := self.read(passage.client):
                passage.sent += data
                passage.broker.sendall(data)
        passage.close()

    def _downstream(self, passage: Passage) -> None:
        with suppress(OSError):
            while data := passage.broker.recv(65_536):
                self.write(passage.client, data)
        passage.close()

    def greet(self, client: socket.socket) -> None:
        """Do what comes before the first byte of MQTT."""

    def read(self, client: socket.socket) -> bytes:
        """Return what the client says, or nothing at its end."""
        return client.recv(65_536)

    def write(self, client: socket.socket, data: bytes) -> None:
        """Say `data` to the client."""
        client.sendall(data)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)


class WebSocketRelay(Relay):
    """As `Relay`, with WebSocket frames (RFC 6455) towards the client, each with whatever the broker had ready."""

    _MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    def __init__(self, target: int, *, context: ssl.SSLContext | None = None, path: str = "/mqtt") -> None:
        super().__init__(target, context=context)
        self._path = path

    def greet(self, client: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                raise ConnectionError
            request += byte
        line, *lines = request.decode("ascii").split("\r\n")
        headers = dict(header.lower().split(": ", 1) for header in lines if header)
        key = next(header.split(": ", 1)[1] for header in lines if header.lower().startswith("sec-websocket-key"))
        if line.split(" ")[1] != self._path or headers["sec-websocket-protocol"] != "mqtt":
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            raise ValueError(line)
        accept = base64.b64encode(hashlib.sha1(key.encode() + self._MAGIC).digest()).decode()  # noqa: S324 - RFC 6455
        client.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
        )

    def read(self, client: socket.socket) -> bytes:
        """Return the payload of one frame; a client masks all of them."""
        opcode, length = _exactly(client, 2)
        if opcode & 0x0F == 8:
            return b""
        length &= 0x7F
        if length >= 126:
            length = int.from_bytes(_exactly(client, 2 if length == 126 else 8))
        mask = _exactly(client, 4)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(_exactly(client, length)))

    def write(self, client: socket.socket, data: bytes) -> None:
        length = len(data)
        size = (
            bytes([length]) if length < 126 else struct.pack("!BH" if length < 65_536 else "!BQ", *_long(length))
        )
        client.sendall(b"\x82" + size + data)


def _long(length: int) -> tuple[int, int]:
    return (126 if length < 65_536 else 127, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
