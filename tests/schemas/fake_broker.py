"""The least of a broker: enough to refuse, to go silent, or to speak MQTT 3.1.1 only."""

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12
#: A CONNACK of MQTT 5 without properties.
ACCEPTED = b"\x20\x03\x00\x00\x00"


class FakeBroker:
    """Listens on `port`; `levels` are the protocol levels of the CONNECTs that came.

    As it stands it accepts TCP and never answers.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.levels: list[int] = []
        self.published = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def accepted(self) -> int:
        return len(self._sockets)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while (packet := _read_packet(client)) is not None:
                kind, body = packet
                if kind == CONNECT and body[2:6] == b"MQTT":
                    self.levels.append(body[6])
                answer = self.answer(kind, body)
                client.sendall(answer or b"")
                if answer is None:
                    self.hang_up(client)
                    return

    def answer(self, kind: int, body: bytes) -> bytes | None:  # noqa: ARG002
        """Return what to say to a packet; None hangs up."""
        return b""

    def hang_up(self, client: socket.socket) -> None:
        """Do what comes before the socket is closed."""

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
        for client in self._sockets:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


class OldBroker(FakeBroker):
    """Speaks MQTT 3.1.1 and refuses any other level with code 1, as section 3.2.2.3 of that standard says."""

    def answer(self, kind: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            return b"\x20\x02\x00\x00" if body[6] == 4 else b"\x20\x02\x00\x01"
        if kind == PUBLISH:
            self.published += 1
            (length,) = struct.unpack("!H", body[:2])
            return b"\x40\x02" + body[2 + length : 4 + length]
        return b"\x90\x03" + body[:2] + b"\x01" if kind == SUBSCRIBE else b""


class CurtBroker(OldBroker):
    """Speaks MQTT 3.1.1, and hangs up on any other level and on a PUBLISH."""

    def answer(self, kind: int, body: bytes) -> bytes | None:
        if kind == PUBLISH or (kind == CONNECT and body[6] != 4):
            return None
        return super().answer(kind, body)


class RudeBroker(FakeBroker):
    """Answers a CONNECT with `words`, or hangs up."""

    def __init__(self, words: bytes | None) -> None:
        super().__init__()
        self._words = words

    def answer(self, kind: int, body: bytes) -> bytes | None:  # noqa: ARG002
        return self._words


def _read_packet(sock: socket.socket) -> tuple[int, bytes] | None:
    head = sock.recv(1)
    if not head:
        return None
    length, shift = 0, 0
    while True:
        byte = _exactly(sock, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return head[0] >> 4, _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        # What is no MQTT, as the first words of TLS, may name a length that no buffer can have.
        more = sock.recv(min(count - len(data), 65536))
        if not more:
            raise ConnectionError
        data += more
    return data
