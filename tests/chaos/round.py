"""One round: the real processes, a story, faults, and then the ledger."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.chaos.arrivals import PAGER, TITLE, Arrivals
from tests.chaos.chronicle import Chronicle
from tests.chaos.faults import FAULTS, RECEIVERS, Scene
from tests.chaos.incident_ledger import IncidentLedger
from tests.chaos.ledger import Balance, Ledger, State, Told, Violation
from tests.chaos.schedule import Fault, Plan
from tests.chaos.story import Kind, Step
from tests.stage.process import Process
from tests.stage.site import CLUSTER, Site
from tests.waiting import until

#: How long everything may take to arrive once nothing goes wrong any more: a half-open connection is noticed after
#: two keepalives, and who has failed for long waits for long before the next try.
SETTLE_SECONDS: Final = 90.0
#: What a producer hands over before the first of it is acknowledged, and so what a killed broker may at most have
#: acknowledged in the turn whose changes it did not come to write down.
_WINDOW: Final = 16
#: An outbox that is much too small.
_STORM_MESSAGES: Final = 8
#: Between two notifications of one incident.
_GROUP_INTERVAL_SECONDS: Final = 1
_GAP: Final = re.compile(r"(\d+) of the events that it published have not come")

Moment: TypeAlias = tuple[float, Callable[[], object]]


@dataclass(frozen=True)
class Outcome:
    """What became of a round."""

    plan: Plan
    balance: Balance
    seconds: float
    settled_after_seconds: float


def play(plan: Plan, folder: Path) -> Outcome:
    """Play a round in an empty folder, in which configurations, state and logs stay."""
    began_at = time.monotonic()
    with Site(folder, broker_extra="log_type subscribe") as site:
        played = Round(plan, site)
        played.start()
        played.perform()
        settled_after = played.settle()
        return Outcome(plan, played.close(), time.monotonic() - began_at, settled_after)


class Round:
    """A plan on its site."""

    def __init__(self, plan: Plan, site: Site) -> None:
        self._plan = plan
        self._site = site
        self._arrivals = Arrivals(site)
        self._chronicle = Chronicle(site, has_state=plan.has_state)
        self._scene = Scene(site, self._arrivals.observe)

    def start(self) -> None:
        """Start both sides; what is published before a consumer has subscribed is not for it."""
        self._configure()
        self._site.run_producer()
        self._site.start_consumer()
        until(lambda: "/event/#" in self._site.broker.log(), otherwise="the consumer does not subscribe")

    def perform(self) -> None:
        """Let everything happen when it is due, and then one more Event, which shows what is missing before it."""
        began_at = time.monotonic()
        for at, act in sorted([*self._steps(), *self._faults()], key=itemgetter(0)):
            time.sleep(max(0.0, began_at + at - time.monotonic()))
            self._arrivals.observe()
            act()
        self._chronicle.happen(Step(0.0, f"r{self._plan.seed}-last", Kind.POD, 1))

    def _steps(self) -> Iterator[Moment]:
        for step in self._plan.steps:
            yield step.at, partial(self._chronicle.happen, step)

    def _faults(self) -> Iterator[Moment]:
        for fault in self._plan.faults:
            context = self._context(fault)
            yield fault.at, context.__enter__
            yield fault.ends_at, partial(context.__exit__, None, None, None)

    def _context(self, fault: Fault) -> AbstractContextManager[None]:
        return FAULTS[fault.part][fault.kind](self._scene)

    def settle(self) -> float:
        """Wait until all has arrived, or for as long as that may take; return how long it was."""
        began_at = time.monotonic()
        deadline = began_at + SETTLE_SECONDS
        while not self._is_settled() and time.monotonic() < deadline:
            time.sleep(0.05)
        return time.monotonic() - began_at

    def _is_settled(self) -> bool:
        return (
            self._site.waiting() == 0
            and not self._site.pending()
            and not self._ledger(self._told()).balance().violations
            and not any(self._incident_ledger().violations())
        )

    def close(self) -> Balance:
        """Stop both sides and draw the balance; by now every loss is told on the wire."""
        wrong = [*self._stop(self._site.producer), *self._stop(self._site.consumer), *self._failures()]
        status = self._site.status()
        balance = self._ledger(self._told(lost=status.get("lost", 0))).balance()
        totals = balance.totals + Counter({"told of incidents": len(self._arrivals.tellings())})
        return Balance((*balance.violations, *self._incident_ledger().violations(), *wrong), totals)

    def _stop(self, process: Process) -> Iterator[Violation]:
        try:
            code = process.stop()
        except subprocess.TimeoutExpired:
            yield Violation("stop", f"the {process.name} does not end")
        else:
            if code:
                yield Violation("stop", f"the {process.name} ends with {code}")

    def _failures(self) -> Iterator[Violation]:
        """Return what nobody has reason to expect of these faults."""
        for process in (self._site.producer, self._site.consumer):
            if '"traceback"' in process.log or "Traceback" in process.log:
                yield Violation("traceback", f"in {process.log_path}")
        for kind, reason, *_ in self._site.dead_letters():
            yield Violation("dead letter", f"{kind}: {reason}")

    def _ledger(self, told: Told) -> Ledger:
        return Ledger(self._chronicle.expectations(), self._arrivals.deliveries(), told, self._scene.windows)

    def _incident_ledger(self) -> IncidentLedger:
        return IncidentLedger(
            self._arrivals.known(),
            self._arrivals.tellings(),
            _GROUP_INTERVAL_SECONDS,
            [window for window in self._scene.windows if window.receiver == "pager"],
        )

    def _told(self, *, lost: int | None = None) -> Told:
        if lost is None:
            lost = self._site.lost() if self._plan.has_state else 0
        return Told(
            lost=lost,
            doubtful=self._doubtful(),
            gap=sum(map(int, _GAP.findall(self._site.consumer.log))),
            gap_limit=_WINDOW * self._scene.broker_kills,
            dead={receiver: self._dead(receiver) for receiver in RECEIVERS},
        )

    def _doubtful(self) -> int:
        """Return how much a producer may give up that the broker has, each break having cost acknowledgements."""
        breaks = sum(fault.part in ("uplink", "broker", "producer") for fault in self._plan.faults)
        return _STORM_MESSAGES * breaks if self._plan.is_storm else 0

    def _dead(self, receiver: str) -> frozenset[State]:
        letters = self._site.dead_letters()
        return frozenset(State(uid, count) for _, _, to, uid, count in letters if to == receiver)

    def _configure(self) -> None:
        hasty = {"keepalive": "10s", "connect_timeout": "3s"}
        accounts, broker = self._site.accounts, self._site.broker
        outbox: dict[str, Any] = {"path": str(self._site.folder / "outbox.db")} if self._plan.has_state else {}
        self._site.configure_producer(
            broker=broker.access(accounts[CLUSTER], port=self._site.uplink.port) | hasty,
            fold={"interval": "1s"},
            outbox=outbox | ({"max_messages": _STORM_MESSAGES} if self._plan.is_storm else {}),
        )
        self._site.configure_consumer(
            broker=broker.access(accounts["ops"], port=self._site.downlink.port) | hasty,
            receivers=self._receivers(),
            route={
                "receivers": ["record", "hook", "pager"],
                "routes": [{"match": {"severity": "critical"}, "receivers": list(RECEIVERS)}],
                "group_wait": "1s",
                "group_interval": f"{_GROUP_INTERVAL_SECONDS}s",
            },
            storm={"cluster": None, "fleet": None},
        )

    def _receivers(self) -> list[dict[str, Any]]:
        folder = self._site.folder
        group = {"url_file": str(folder / "feishu-url"), "secret_file": str(folder / "feishu-secret")}
        return [
            {"name": "record", "file": {"path": str(folder / "events.ndjson")}},
            {"name": "hook", "grouped": False, "webhook": {"url": self._site.webhook.url, "timeout": "1s"}},
            {"name": "group", "grouped": False, "feishu": group | {"title": TITLE, "timeout": "1s"}},
            {"name": "pager", "webhook": {"url": f"{self._site.webhook.base_url}{PAGER}", "timeout": "1s"}},
        ]
