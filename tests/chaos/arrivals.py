"""What has arrived at the receivers of a site."""

import json
import time
from collections.abc import Mapping
from typing import Any

from tests.chaos.incident_ledger import Telling
from tests.chaos.ledger import Delivery, State
from tests.fakes.faults import Request
from tests.stage.site import Site, is_of_kubernetes

#: Where at the webhook incidents are told.
PAGER = "/pager"
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
        """Return all of single events, by receiver and in order."""
        self.observe()
        return {"record": self._recorded(), "hook": self._hooked(), "group": self._shown()}

    def tellings(self) -> list[Telling]:
        """Return what was told of incidents, in order."""
        requests = [request for request in self._site.webhook.requests if request.path == PAGER]
        return [_telling(request) for request in requests if is_of_kubernetes(request.json())]

    def known(self) -> dict[str, dict[str, int]]:
        """Return what the consumer knows: group → object → its occurrences."""
        found: dict[str, dict[str, int]] = {}
        for event in filter(is_of_kubernetes, self._site.recorded()):
            found.setdefault(event["reason"], {})[event["name"]] = event["count"]
        return found

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
        requests = [request for request in self._site.webhook.requests if request.path != PAGER]
        bodies = [(json.loads(request.body), request.arrived_at) for request in requests]
        return [_delivery(body, at.timestamp()) for body, at in bodies if is_of_kubernetes(body)]

    def _shown(self) -> list[Delivery]:
        titles = [(json.loads(message.title), message.arrived_at) for message in self._site.feishu.messages]
        return [_delivery(title, at.timestamp()) for title, at in titles if is_of_kubernetes(title)]


def _delivery(event: Mapping[str, Any], at: float) -> Delivery:
    return Delivery(State(event["uid"], event["count"]), at)


def _telling(request: Request) -> Telling:
    incident = request.json()["incident"]
    return Telling(
        incident=incident["id"],
        group=incident["group"]["reason"],
        at=request.arrived_at.timestamp(),
        count=incident["count"],
        new_count=incident["new_count"],
        lines=tuple(line["count"] for line in incident["lines"]),
        names=frozenset(name for line in incident["lines"] for name in line["objects"]),
    )
