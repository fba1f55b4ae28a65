"""A pipeline whose receivers take what they are told at once, on a clock that only moves when told to."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.consumer.messages import NO_STORMS, ROOT, RULES, FakeClock, arrival, event, status
from tocsin_consumer.digest import Digest
from tocsin_consumer.intake import Uplink
from tocsin_consumer.mute import Mutes
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.records import Content, Outcome
from tocsin_consumer.report import Report
from tocsin_consumer.route import Route
from tocsin_consumer.settings import RouteSettings
from tocsin_consumer.store import Store
from tocsin_consumer.storm import StormRules

UPLINK = Uplink(since=0, resumed=True)
STEP = timedelta(seconds=1)


class Desk:
    """Where incidents are told: to `ops`, unless the route says otherwise.

    Args:
        route: settings of the top of the routing tree.
        mutes: what keeps incidents from being told.
        storm_rules: when incidents are told together; by default never.
        store: it, or its url.
    """

    def __init__(
        self,
        route: Mapping[str, Any] | None = None,
        *,
        mutes: Mutes | None = None,
        storm_rules: StormRules = NO_STORMS,
        store: Store | str = "sqlite://",
    ) -> None:
        self.clock = FakeClock()
        self.store = Store(store) if isinstance(store, str) else store
        #: When which receiver was told what.
        self.told: list[tuple[datetime, str, Report]] = []
        self.digests: list[tuple[datetime, str, Digest]] = []
        #: Receivers that take nothing.
        self.down: set[str] = set()
        self._settings = RouteSettings.model_validate({"receivers": ["ops"], **(route or {})})
        self._mutes = mutes
        self._storm_rules = storm_rules
        self._uid = 0
        self.pipeline = self._started()

    def restart(self) -> None:
        """End the process, and start another one on its store."""
        self.pipeline = self._started()
        self.pipeline.decide(UPLINK)

    def reroute(self, route: Mapping[str, Any]) -> None:
        """Go on with another configuration."""
        self._settings = RouteSettings.model_validate(route)
        self.restart()

    def say(self, **fields: Any) -> None:
        """Let a new Event come, or the state of one if it has a `uid`."""
        self._uid += 1
        now = int(self.clock.now.timestamp())
        said = event(**({"uid": f"uid-{self._uid}", "first": now, "last": now} | fields))
        self.pipeline.process([arrival(said, received_at=self.clock.now)])

    def state(self, state: str, **fields: Any) -> None:
        """Let a status come."""
        self.pipeline.process([status(state, received_at=self.clock.now, **fields)])

    def pass_(self, length: timedelta, *, step: timedelta = STEP) -> list[Report]:
        """Let time pass, and return what was told meanwhile."""
        before = len(self.told)
        end = self.clock.now + length
        while self.clock.now < end:
            self.clock.advance(min(step, end - self.clock.now).total_seconds())
            self.pipeline.decide(UPLINK)
            self._deliver()
        return [report for _, _, report in self.told[before:]]

    def _deliver(self) -> None:
        for receiver in self.store.backlog():
            while receiver not in self.down and (due := self.store.due(receiver, self.clock.now, limit=1)):
                [delivery] = due
                self._note(receiver, delivery.content)
                self.store.settle([Outcome(delivery, "delivered", self.clock.now)])

    def _note(self, receiver: str, content: Content) -> None:
        if isinstance(content, Report):
            self.told.append((self.clock.now, receiver, content))
        elif isinstance(content, Digest):
            self.digests.append((self.clock.now, receiver, content))

    def _started(self) -> Pipeline:
        return Pipeline(
            ROOT,
            Route(self._settings),
            rules=RULES,
            mutes=self._mutes or Mutes(),
            storm_rules=self._storm_rules,
            store=self.store,
            notify=lambda _: None,
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
        )
