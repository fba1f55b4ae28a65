"""A publisher that costs next to nothing, so that what is measured is who receives.

It speaks just as much MQTT 3.1.1 as it takes: packets are written many at a time, and the broker's
acknowledgements are counted, not looked at.
"""

import socket
import ssl
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

#: Packets that are written at once.
_CHUNK: Final = 200
_PUBACK_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Message:
    """What to publish with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class Flood:
    """A connection to the broker at a port of localhost, over TLS, from enter to exit."""

    def __init__(self, port: int, *, ca_file: Path, username: str, password: str) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._connect = _connect(username, password)
        self._acknowledged = 0
        self._sent = 0
        self._more = threading.Condition()

    def __enter__(self) -> Self:
        plain = socket.create_connection(("localhost", self._port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = self._context.wrap_socket(plain, server_hostname="localhost")
        self._socket.sendall(self._connect)
        if self._socket.recv(4)[3:] != b"\0":
            raise ConnectionRefusedError("the broker refuses the account")
        threading.Thread(target=self._count, name="flood", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish all, and wait until the broker has acknowledged them."""
        packets = list(pack(messages, first=self._sent))
        self._sent += len(packets)
        for start in range(0, len(packets), _CHUNK):
            self._socket.sendall(b"".join(packets[start : start + _CHUNK]))
        with self._more:
            if not self._more.wait_for(lambda: self._acknowledged == self._sent, timeout=120):
                raise TimeoutError("the broker does not acknowledge")

    def _count(self) -> None:
        """Count acknowledgements, each of which is as long as any other."""
        rest = 0
        while told := self._read():
            rest += len(told)
            with self._more:
                self._acknowledged += rest // _PUBACK_BYTES
                self._more.notify()
            rest %= _PUBACK_BYTES

    def _read(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""


def pack(messages: Iterable[Message], *, first: int) -> Iterable[bytes]:
    """Yield a PUBLISH packet for each message, whose ids go on from `first` (section 3.3 of the standard)."""
    for number, message in enumerate(messages, first):
        body = _text(message.topic) + (number % 65535 + 1).to_bytes(2) + message.payload
        yield bytes([0x32 | message.retain]) + _length(len(body)) + body


def _connect(username: str, password: str) -> bytes:
    body = _text("MQTT") + b"\x04\xc2\0\0" + _text(f"flood-{username}") + _text(username) + _text(password)
    return b"\x10" + _length(len(body)) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2) + encoded


def _length(length: int) -> bytes:
    encoded = bytearray()
    while length > 127:
        encoded.append(length & 127 | 128)
        length >>= 7
    return bytes([*encoded, length])
