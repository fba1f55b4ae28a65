"""A request as the stand-in API server took it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.fakes.apiserver_options import asks_for_watch

EVENTS_PATH = "/api/v1/events"


class Token:
    """A bearer token that can be compared, and is never shown."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def is_for(self, token: str) -> bool:
        """Whether the client showed this very token."""
        return self._authorization == f"Bearer {token}"

    def __repr__(self) -> str:
        return "<token>"


@dataclass(frozen=True)
class Request:
    """What a client sent: query and headers by name, the token left out of the headers (names in lower case).

    `token` is what the client showed, and prints as nothing.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    received_at: datetime
    token: Token

    @property
    def is_watch(self) -> bool:
        """Whether it asks for a watch on Events."""
        return self._asks_for_events and asks_for_watch(self.query)

    @property
    def is_list(self) -> bool:
        """Whether it asks for a list of Events, or for a page of one."""
        return self._asks_for_events and not asks_for_watch(self.query)

    @property
    def _asks_for_events(self) -> bool:
        return self.method == "GET" and self.path == EVENTS_PATH
