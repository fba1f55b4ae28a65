"""What has arrived at the receivers of a site."""

import json
import time
from collections.abc import Mapping
from typing import Any

from tests.chaos.ledger import Delivery, State
from tests.stage.site import Site, is_of_kubernetes

#: A card's title, from which to tell what it is about.
TITLE = '{"kind": "{{ kind }}", "uid": "{{ uid }}", "count": {{ count }}}'


class Arrivals:
    """Deliveries with their times; lines of a file get the time at which they were noticed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._noticed: list[tuple[float, int]] = []

    def observe(self) -> None:
        """Notice what is in the file by now."""
        path = self._site.folder / "events.ndjson"
        self._noticed.append((time.time(), path.read_bytes().count(b"\n") if path.exists() else 0))

    def deliveries(self) -> dict[str, list[Delivery]]:
        """Return all, by receiver and in order."""
        self.observe()
        return {"record": self._recorded(), "hook": self._hooked(), "group": self._shown()}

    def _recorded(self) -> list[Delivery]:
        events = self._site.recorded()[: self._noticed[-1][1]]
        return [
            _delivery(event, self._noticed_at(line))
            for line, event in enumerate(events)
            if is_of_kubernetes(event)
        ]

    def _noticed_at(self, line: int) -> float:
        return next(at for at, lines in self._noticed if lines > line)

    def _hooked(self) -> list[Delivery]:
        bodies = [(json.loads(request.body), request.arrived_at) for request in self._site.webhook.requests]
        return [_delivery(body, at.timestamp()) for body, at in bodies if is_of_kubernetes(body)]

    def _shown(self) -> list[Delivery]:
        titles = [(json.loads(message.title), message.arrived_at) for message in self._site.feishu.messages]
        return [_delivery(title, at.timestamp()) for title, at in titles if is_of_kubernetes(title)]


def _delivery(event: Mapping[str, Any], at: float) -> Delivery:
    return Delivery(State(event["uid"], event["count"]), at)
