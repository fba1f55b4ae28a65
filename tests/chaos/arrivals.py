"""What has arrived at the receivers of a site."""

import time

from tests.chaos.ledger import Delivery, State
from tests.stage.site import Site

#: A card's title as the receiver `group` is configured.
TITLE = "{{ uid }} x{{ count }}"


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
        states = self._site.states()[: self._noticed[-1][1]]
        return [Delivery(State(*state), self._noticed_at(index)) for index, state in enumerate(states)]

    def _noticed_at(self, index: int) -> float:
        return next(at for at, lines in self._noticed if lines > index)

    def _hooked(self) -> list[Delivery]:
        states = self._site.hooked()
        requests = self._site.webhook.requests[: len(states)]
        return [
            Delivery(State(*state), request.arrived_at.timestamp())
            for state, request in zip(states, requests, strict=True)
        ]

    def _shown(self) -> list[Delivery]:
        titles = [(message.title.partition(" x"), message.arrived_at) for message in self._site.feishu.messages]
        return [Delivery(State(uid, int(count)), at.timestamp()) for (uid, _, count), at in titles]
