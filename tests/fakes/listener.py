"""A listening socket that can refuse connections and take them again."""

import contextlib
import socket
import threading
from collections.abc import Callable


class Listener:
    """A port of 127.0.0.1 that stays ours: while it refuses, it is bound but nobody listens.

    Each accepted socket is handed to `on_connection`, on the listener's own thread. A TCP segment carries up to
    `segment_size` bytes if it is given, else what the loopback can.
    """

    def __init__(
        self, port: int, on_connection: Callable[[socket.socket], None], *, segment_size: int | None = None
    ) -> None:
        self._on_connection = on_connection
        self._segment_size = segment_size
        self._socket = bound(port)
        self._refusing = threading.Event()
        self._thread: threading.Thread | None = None
        self.port: int = self._socket.getsockname()[1]

    def accept(self) -> None:
        """Begin to take connections; nothing happens if it does already."""
        if self._thread is not None:
            return
        self._refusing.clear()
        if self._segment_size is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, self._segment_size)
        self._socket.listen(128)
        self._thread = threading.Thread(target=self._run, name=f"listener-{self.port}")
        self._thread.start()

    def refuse(self) -> None:
        """Refuse connections from now on, and those that have not been taken yet."""
        self.close()
        self._socket = bound(self.port)

    def close(self) -> None:
        """Give the port back."""
        self._refusing.set()
        if self._thread is not None:
            self._wake()
            self._thread.join()
            self._thread = None
        self._socket.close()

    def _run(self) -> None:
        while not self._refusing.is_set():
            connection, _ = self._socket.accept()
            if self._refusing.is_set():
                connection.close()
            else:
                self._on_connection(connection)

    def _wake(self) -> None:
        """Make `accept` return, which the closing of its socket does not do everywhere."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass


def bound(port: int) -> socket.socket:
    """Return a socket that is bound to a port, or if that is 0 to one that nobody has.

    An address that may be used again can be bound to by several, of whom only one can listen. So a free one is
    looked for without that, which what comes back to the port needs.
    """
    listening = socket.socket()
    if port == 0:
        listening.bind(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if port != 0:
        listening.bind(("127.0.0.1", port))
    return listening
