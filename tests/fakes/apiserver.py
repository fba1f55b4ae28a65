"""A stand-in for the Kubernetes API server's core/v1 Events: lists, watches, and all that goes wrong.

It is held to recordings of a real Kubernetes 1.36.2 (`tests/data/wire`). To run it by hand:

    python -m tests.fakes.apiserver --recording tests/data/node-failures.watch.ndjson.gz --speed 10
"""

import argparse
import contextlib
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Self

from tests.fakes.apiserver_answer import Answer
from tests.fakes.apiserver_api import EventsApi
from tests.fakes.apiserver_clock import Clock
from tests.fakes.apiserver_connection import Connection, Head
from tests.fakes.apiserver_faults import Fault
from tests.fakes.apiserver_request import Request, Token
from tests.fakes.apiserver_store import EventStore
from tests.fakes.apiserver_watch import Watch
from tests.fakes.listener import Listener
from tests.fakes.recording import play, read_recording

_STOP_SECONDS = 10.0


class ApiServer:
    """An API server on 127.0.0.1 whose Events are `events` and whose time is `clock`.

    With an `ssl_context` it speaks HTTPS, with a `token` it wants exactly this bearer token.
    """

    def __init__(
        self, *, port: int = 0, ssl_context: ssl.SSLContext | None = None, token: str | None = None
    ) -> None:
        self.clock = Clock()
        self.events = EventStore(self.clock.changed, self.clock.utc_now)
        self._api = EventsApi(self.events, self.clock, token=token)
        self._ssl_context = ssl_context
        self._listener = Listener(port, self._on_connection)
        self._connections: dict[Connection, threading.Thread] = {}
        self._numbers = count(1)
        self._requests: list[Request] = []
        self._watches: list[Watch] = []
        self._faults: list[Fault] = []
        self._is_hanging = False

    # What it is, and what has happened so far

    @property
    def url(self) -> str:
        """Where clients find it, without a slash at the end."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port, which stays the same for life."""
        return self._listener.port

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests so far, in the order they came."""
        with self.clock.changed:
            return tuple(self._requests)

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The watches that are open."""
        with self.clock.changed:
            return tuple(self._watches)

    @property
    def connection_count(self) -> int:
        """How many connections are open, one that hangs before its first request included."""
        with self.clock.changed:
            return len(self._connections)

    def wait_until(self, holds: Callable[[], bool], *, within_seconds: float = 10.0) -> None:
        """Wait in real time until `holds()`; raise `TimeoutError` if it does not in time."""
        with self.clock.changed:
            if not self.clock.changed.wait_for(holds, timeout=within_seconds):
                raise TimeoutError(f"not within {within_seconds} s")

    # Life

    def start(self) -> None:
        """Begin to take connections."""
        self._listener.accept()

    def stop(self) -> None:
        """Close everything; raise `RuntimeError` if the thread of a connection does not end."""
        self._listener.close()
        self.drop_connections()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What goes wrong

    def inject(self, fault: Fault) -> None:
        """Put a fault in place, after those that are there."""
        with self.clock.changed:
            self._faults.append(fault)

    def lift(self, fault: Fault) -> None:
        """Take a fault away."""
        with self.clock.changed:
            self._faults.remove(fault)

    @contextlib.contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Have a fault as long as the context lasts."""
        self.inject(fault)
        try:
            yield
        finally:
            self.lift(fault)

    def hang(self) -> None:
        """Take connections and keep them open, but say nothing more, not even in an open watch."""
        self._set_hanging(hanging=True)

    def resume(self) -> None:
        """Go on after `hang`, with all that was held back."""
        self._set_hanging(hanging=False)

    def refuse_connections(self) -> None:
        """Go down: close every connection and refuse new ones, with the port kept."""
        self._listener.refuse()
        self.drop_connections()

    def accept_connections(self) -> None:
        """Come up again on the same port, with the same Events."""
        self._listener.accept()

    def restart(self) -> None:
        """Go down and come up again."""
        self.refuse_connections()
        self.accept_connections()

    def drop_connections(self) -> None:
        """Cut every open connection, and wait until the threads that served them have ended."""
        with self.clock.changed:
            threads = tuple(self._connections.values())
            for connection in self._connections:
                connection.drop()
            self.clock.notify()
        _join(threads)

    def rotate_token(self, token: str) -> None:
        """Accept only this token from now on; watches that are open stay open, as the real ones do."""
        with self.clock.changed:
            self._api.token = token

    def forbid(self) -> None:
        """Take the role away: lists and watches are answered 403."""
        with self.clock.changed:
            self._api.is_forbidden = True

    def allow(self) -> None:
        """Give the role back."""
        with self.clock.changed:
            self._api.is_forbidden = False

    # What its connections ask of it

    def answer(self, head: Head, connection: Connection) -> Answer | Watch:
        """Record the request, let the faults have their say, and answer."""
        with self.clock.changed:
            request = self._record(head)
            due_at = self.clock.now() + sum(fault.delay_seconds(request) for fault in self._faults)
        self.clock.wait_for(lambda: connection.is_dropped, until=due_at)
        self.wait_while_hanging(connection)
        with self.clock.changed:
            if connection.is_dropped:
                raise ConnectionAbortedError
            answer = self._api.answer(request)
            for fault in self._faults:
                answer = fault.answer(request, answer)
            return answer

    @contextlib.contextmanager
    def opened(self, watch: Watch) -> Iterator[None]:
        """Show the watch among the open ones."""
        with self.clock.changed:
            self._watches.append(watch)
            self.clock.notify()
        try:
            yield
        finally:
            with self.clock.changed:
                self._watches.remove(watch)
                self.clock.notify()

    def wait_while_hanging(self, connection: Connection) -> None:
        """Say nothing while the server hangs."""
        self.clock.wait_for(lambda: not self._is_hanging or connection.is_dropped)

    def _set_hanging(self, *, hanging: bool) -> None:
        with self.clock.changed:
            self._is_hanging = hanging
            self.clock.notify()

    def _record(self, head: Head) -> Request:
        headers = dict(head.headers)
        token = Token(headers.pop("authorization", ""))
        request = Request(head.method, head.path, head.query, headers, self.clock.utc_now(), token)
        self._requests.append(request)
        self.clock.notify()
        return request

    def _on_connection(self, accepted: socket.socket) -> None:
        connection = Connection(accepted, self, self._ssl_context)
        name = f"apiserver-connection-{next(self._numbers)}"
        thread = threading.Thread(target=self._serve, args=[connection], name=name)
        with self.clock.changed:
            self._connections[connection] = thread
            thread.start()  # before the lock goes: who drops connections joins their threads
            self.clock.notify()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self.clock.changed:
                del self._connections[connection]
                self.clock.notify()


def _join(threads: Sequence[threading.Thread]) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    for thread in threads:
        thread.join(timeout=max(0, deadline - time.monotonic()))
        if thread.is_alive():
            raise RuntimeError(f"{thread.name} did not end within {_STOP_SECONDS} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, play the recording if one is given, and go on serving until Ctrl-C or SIGTERM."""
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ApiServer(port=options.port, token=options.token) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        if options.recording is not None:
            shift_to = None if options.keep_dates else datetime.now(UTC)
            recording = read_recording(options.recording)
            play(server.events, recording, speed=options.speed, stop=stop, shift_to=shift_to)
        stop.wait()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A stand-in for the Events of a Kubernetes API server.")
    parser.add_argument("--recording", type=Path, help="notifications to play, as ndjson or ndjson.gz")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than recorded")
    parser.add_argument("--keep-dates", action="store_true", help="leave the recorded dates as they are")
    parser.add_argument("--port", type=int, default=0, help="the port, a free one if it is not given")
    parser.add_argument("--token", help="the bearer token that clients must show")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
