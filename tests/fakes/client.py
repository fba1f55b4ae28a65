"""The simplest HTTP client there is, to try the fakes with: no proxy, no pool, no retry."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """What came back; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def send(
    url: str,
    body: object,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 5.0,
) -> Reply:
    """Send bytes as they are, or anything else as JSON, over a connection of its own."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=timeout_seconds)
    try:
        return exchange(connection, address.path, body, method=method, headers=headers)
    finally:
        connection.close()


def exchange(
    connection: http.client.HTTPConnection,
    path: str,
    body: object,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send over a connection that stays open."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, content, dict(JSON if headers is None else headers))
    response = connection.getresponse()
    return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
