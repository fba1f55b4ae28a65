"""The recorded exchanges of `tests/data/wire`, and the plain HTTP client that repeats them."""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.fakes.apiserver import ApiServer
from tests.fakes.apiserver_store import Event

DATA = Path(__file__).parent.parent / "data"
NODE_FAILURES = DATA / "node-failures.watch.ndjson.gz"
LIST = "/api/v1/events"
WATCH = "/api/v1/events?watch=1"
_PATIENCE_SECONDS = 10.0
# Not in the recordings, because they differ each time.
_LEFT_OUT = frozenset({"date"})


@dataclass(frozen=True)
class Reply:
    """A whole response, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def frames(self) -> list[Any]:
        """The lines of a watch as JSON."""
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass(frozen=True)
class Exchange:
    """A recorded request and its response."""

    method: str
    target: str
    reply: Reply


def recorded_exchange(name: str) -> Exchange:
    """Read `wire/<name>.http`: request line, head and body, with a blank line between."""
    request, head, body = (DATA / "wire" / f"{name}.http").read_bytes().split(b"\n\n", 2)
    method, target = request.decode().split(" ")
    status_line, *fields = head.decode().split("\n")
    headers = dict(field.split(": ", 1) for field in fields)
    reply = Reply(int(status_line.split(" ")[1]), _comparable(headers), body)
    return Exchange(method, target, reply)


class Client:
    """One keep-alive connection to the stand-in, without any cleverness."""

    def __init__(
        self, server: ApiServer, *, token: str | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.connection: http.client.HTTPConnection
        if ssl_context is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE_SECONDS)
        else:
            self.connection = http.client.HTTPSConnection(
                "127.0.0.1", server.port, timeout=_PATIENCE_SECONDS, context=ssl_context
            )
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, target: str, *, method: str = "GET") -> Reply:
        """Send a request and read the whole response."""
        response = self.open(target, method=method)
        return Reply(response.status, _comparable(dict(response.getheaders())), response.read())

    def open(self, target: str, *, method: str = "GET") -> http.client.HTTPResponse:
        """Send a request and read the head of the response."""
        self.connection.request(method, target, headers=self._headers)
        return self.connection.getresponse()


def next_frame(response: http.client.HTTPResponse) -> Any:
    """Read the next line of a watch, which must come."""
    return json.loads(response.readline())


def an_event(name: str = "api.1", **fields: Any) -> Event:
    """Make a Warning of a Pod in production, as a kubelet writes it."""
    event: Event = {
        "metadata": {"name": name, "namespace": "production", "uid": f"uid-of-{name}"},
        "involvedObject": {"kind": "Pod", "namespace": "production", "name": "api", "apiVersion": "v1"},
        "reason": "BackOff",
        "message": "Back-off restarting failed container",
        "source": {"component": "kubelet", "host": "pi-1"},
        "count": 1,
        "type": "Warning",
        "reportingComponent": "kubelet",
    }
    return event | fields


def names_of(events: list[Event]) -> list[str]:
    """The names of Events, in their order."""
    return [event["metadata"]["name"] for event in events]


def _comparable(headers: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in lower.items() if name not in _LEFT_OUT}
