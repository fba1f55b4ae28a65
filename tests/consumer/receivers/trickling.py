"""A service that answers a byte at a time."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def trickling(start: bytes, *, more: bytes = b"x", pause_seconds: float = 0.02) -> Iterator[str]:
    """Yield the address of a service that sends `start`, and then `more` after each pause, for ever."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, start, more, pause_seconds, over), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        over.set()
        thread.join(5)


def _serve(server: socket.socket, start: bytes, more: bytes, pause_seconds: float, over: threading.Event) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(start)
        while not over.wait(pause_seconds):
            try:
                connection.sendall(more)
            except OSError:
                return
