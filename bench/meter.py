"""A relay that counts what a connection costs on the wire, as the kernel counts it."""

import socket
import threading
from contextlib import suppress
from typing import Final, Self

from tests.fakes.listener import Listener
from tocsin_schemas.dial import traffic

#: What a mobile network carries in a segment; the loopback would carry 64 KiB.
_SEGMENT_SIZE: Final = 1360
#: The kernel counts none of a connection's segments before it is accepted, nor those after we have closed it: SYN
#: and SYN-ACK (60 bytes each), and two of the four that end it.
_ENDS: Final = 2 * 60 + 2 * 52


class Meter:
    """Listens on `port` of 127.0.0.1 and relays to the port `target`.

    What it counts is what the caller's side of the link carries: IP packets both ways, with the headers of TCP
    over IPv4, acknowledgements and all.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = Listener(0, self._relay, segment_size=_SEGMENT_SIZE)
        self.port = self._listener.port
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._closed_bytes = 0
        self.connections = 0

    @property
    def bytes(self) -> int:
        """What all connections have cost so far."""
        with self._lock:
            return self._closed_bytes + sum(map(traffic, self._open))

    def cut(self) -> None:
        """Break every connection off."""
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._listener.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def _relay(self, caller: socket.socket) -> None:
        try:
            target = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            caller.close()
            return
        for sock in (caller, target):
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.append(caller)
            self.connections += 1
        back = threading.Thread(target=_pass_on, args=(target, caller), name="meter-down", daemon=True)
        back.start()
        threading.Thread(target=self._serve, args=(caller, target, back), name="meter-up", daemon=True).start()

    def _serve(self, caller: socket.socket, target: socket.socket, back: threading.Thread) -> None:
        _pass_on(caller, target)
        back.join()
        with self._lock:
            self._open.remove(caller)
            self._closed_bytes += traffic(caller) + _ENDS
        caller.close()
        target.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for sock in (source, target):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
