"""What the API server of a site had, and what of it has to arrive."""

from collections import defaultdict
from datetime import UTC, datetime

from tests.chaos.ledger import Expectation
from tests.chaos.story import Kind, Step
from tests.stage.site import Site

_RECEIVERS = {
    Kind.POD: frozenset({"record", "hook"}),
    Kind.NODE: frozenset({"record", "hook", "group"}),
    Kind.ORDINARY: frozenset[str](),
    Kind.NOISE: frozenset[str](),
}


class Chronicle:
    """Lets the steps of a story happen, and keeps what they demand.

    An Event that is deleted has to arrive if the producer has taken its newest state by then: a state file shows
    it. What it has not taken may be gone before it looks; and what a producer took that keeps nothing but memory
    is gone with the process.
    """

    def __init__(self, site: Site, *, has_state: bool) -> None:
        self._site = site
        self._has_state = has_state
        self._states: defaultdict[str, list[int]] = defaultdict(list)
        self._kinds: dict[str, Kind] = {}
        self._excused: set[str] = set()

    def happen(self, step: Step) -> None:
        """Let the API server have it."""
        if step.is_deletion:
            self._delete(step.uid)
            return
        self._kinds[step.uid] = step.kind
        self._states[step.uid].append(step.count)
        self._site.api_server.events.put(step.event(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")))

    def _delete(self, uid: str) -> None:
        if not self._has_state or self._site.taken(uid) < self._states[uid][-1]:
            self._excused.add(uid)
        self._site.api_server.events.delete(uid)

    def expectations(self) -> list[Expectation]:
        """Return what the ledger needs of each Event."""
        return [
            Expectation(uid, tuple(states), _RECEIVERS[self._kinds[uid]], uid in self._excused)
            for uid, states in self._states.items()
        ]
