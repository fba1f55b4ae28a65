"""A link that can be cut: relays TCP connections to where they were meant to go, until it is told not to."""

import contextlib
import select
import socket
import threading
from typing import Self


class Relay:
    """Listens on 127.0.0.1 and relays to `target`; `cut` breaks every connection and takes no new ones.

    `sent` and `received` count bytes of payload from and to the side that connects.
    """

    def __init__(self, target: int) -> None:
        self._target = ("127.0.0.1", target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = self.received = 0
        self.is_up = True
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._start(self._accept, "relay-accept")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def cut(self) -> None:
        """Break every connection without a word, and take none until `restore`."""
        with self._lock:
            self.is_up = False
            for pair in self._pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Take connections again."""
        with self._lock:
            self.is_up = True

    def _start(self, target: object, name: str, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            if select.select([self._listener], [], [], 0.05)[0]:
                near, _ = self._listener.accept()
                self._start(self._serve, "relay-connection", near)

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            with self._lock:
                if not self.is_up:
                    return
            with socket.create_connection(self._target, timeout=5) as far:
                self._relay(near, far)

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        with self._lock:
            self._pairs.add((near, far))
        try:
            while not self._stop.is_set():
                readable, _, _ = select.select([near, far], [], [], 0.2)
                for source in readable:
                    if not self._pass_on(source, far if source is near else near, outward=source is near):
                        return
        finally:
            with self._lock:
                self._pairs.discard((near, far))

    def _pass_on(self, source: socket.socket, sink: socket.socket, *, outward: bool) -> bool:
        data = source.recv(65536)
        sink.sendall(data)
        if outward:
            self.sent += len(data)
        else:
            self.received += len(data)
        return bool(data)
