"""The process that stays: wires watch, outbox and link together, and imports only what these need.

`start` begins it; it reads its plan from the descriptor that it is given (`plan.Plan.pass_on`).
"""

import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Final, cast

from tocsin_producer.api import NETWORK_ERRORS, ApiClient
from tocsin_producer.backpressure import Backpressure
from tocsin_producer.budget import Budget
from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.credentials import Credentials
from tocsin_producer.database import Database, later_boot, next_boot
from tocsin_producer.errors import ListenError, ProducerError, StateError
from tocsin_producer.filter import EventFilter, field_selectors
from tocsin_producer.fold import Fold
from tocsin_producer.health import Health, Source
from tocsin_producer.intake import Intake, Wire
from tocsin_producer.link import Link
from tocsin_producer.outbox import Outbox
from tocsin_producer.plan import ApiServer, Plan, Replay
from tocsin_producer.probes import ProbeServer
from tocsin_producer.replay import ReplaySource
from tocsin_producer.status import OwnStatus
from tocsin_producer.tenure import Tenure
from tocsin_producer.watch import Watch
from tocsin_schemas import __version__
from tocsin_schemas.logs import Format, Level, configure
from tocsin_schemas.topics import status_topic

_log = logging.getLogger("tocsin_producer")

#: How long the threads may take to end once they were told to.
_STOP_SECONDS: Final = 5.0
CLEAN, CUT_SHORT, UNUSABLE = 0, 1, 2


class Agent:
    """One run of the producer: event sources → intake → fold → outbox → link.

    It stops in this order: first the sources end, then the outbox drains, then the link says goodbye.

    Args:
        plan: what to do.
        sources: makes event sources of its own for the intake; default: those of the plan.

    Raises:
        StateError: the outbox file cannot be used.
        ListenError: probes cannot be served where they should be.
    """

    def __init__(self, plan: Plan, *, sources: Callable[[Intake], Sequence[Source]] | None = None) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._sources_ended = threading.Event()
        self._hanging: list[str] = []
        self._failed = False
        self._database = Database(plan.outbox_path)
        self._checkpoint = Checkpoint(self._database, watches=field_selectors(plan.include))
        self._outbox = Outbox(
            self._database,
            max_messages=plan.outbox_max_messages,
            max_bytes=plan.outbox_max_bytes,
        )
        self._fold = Fold(
            self._database,
            self._checkpoint,
            self._outbox,
            interval_seconds=plan.fold_seconds,
            max_messages=plan.outbox_max_messages,
            max_bytes=plan.outbox_max_bytes,
        )
        self._database.on_damage = self._fail
        topic = status_topic(plan.topic_root, plan.cluster)
        self._tenure = Tenure(
            plan.broker,
            self._sources_ended,
            cluster=plan.cluster,
            status_topic=topic,
            later_boot=partial(later_boot, self._database),
        )
        budget = Budget(
            self._database, bytes_per_day=plan.budget_bytes_per_day, reset_seconds=plan.budget_reset_seconds
        )
        self._link = Link(
            self._outbox,
            OwnStatus(plan.cluster, next_boot(self._database), self._outbox, budget=budget),
            status_topic=topic,
            leave=self._tenure.leave,
            release=self._fold.release,
            budget=budget,
        )
        self._intake = Intake(
            self._database,
            self._checkpoint,
            self._fold,
            event_filter=EventFilter(plan.include, plan.exclude),
            wire=Wire(plan.topic_root, plan.cluster, plan.message_limit),
            wake=self._tenure.wake,
        )
        self._health = Health(
            plan.cluster, self._database, self._intake, self._fold, self._outbox, self._link, self._tenure
        )
        self._probes = ProbeServer(plan.http_listen, self._health.pages()) if plan.http_listen else None
        self._sources = self._make_sources() if sources is None else sources(self._intake)

    def run(self) -> int:
        """Run until `stop` is called and return the exit code; the calling thread holds the session."""
        threads = [self._start(source, index) for index, source in enumerate(self._sources)]
        self._health.watches = list(zip(self._sources, threads, strict=True))
        if self._probes is not None:
            self._probes.start()
        ending = threading.Thread(target=self._end_sources, args=(threads,), name="ending", daemon=True)
        ending.start()
        self._tenure.run(self._link)
        ending.join()
        if self._probes is not None:
            self._probes.close()
        return self._finish()

    def stop(self) -> None:
        """End the run; safe in a signal handler."""
        self._stop.set()

    def _end_sources(self, threads: Sequence[threading.Thread]) -> None:
        """Once we are to stop, break the sources off, wait until they have ended, and let the session end."""
        self._stop.wait()
        deadline = time.monotonic() + _STOP_SECONDS
        while (alive := [thread for thread in threads if thread.is_alive()]) and time.monotonic() < deadline:
            for source in self._sources:  # again: one that was just about to connect had nothing to abort
                source.abort()
            alive[0].join(0.05)
        self._hanging = [thread.name for thread in alive]
        if self._plan.outbox_path is None:
            self._release_all()
        self._tenure.stop()

    def _release_all(self) -> None:
        """Hold no repeat any longer: nothing keeps it."""
        with suppress(sqlite3.Error):  # the database has said it
            self._fold.release_all()
        self._tenure.wake()

    def _make_sources(self) -> list[Source]:
        source = self._plan.source
        if isinstance(source, Replay):
            return [ReplaySource(source.path, self._intake, speed=source.speed, on_end=self._end_replay)]
        selectors = field_selectors(self._plan.include)
        _log.info("watching events with %s", " and ".join(selector or "no selector" for selector in selectors))
        return [self._make_watch(source, selector) for selector in selectors]

    def _make_watch(self, server: ApiServer, selector: str) -> Watch:
        credentials = Credentials(self._plan.resolve_command) if self._plan.resolve_command else None
        return Watch(
            ApiClient(server, credentials),
            self._intake,
            self._checkpoint,
            selector=selector,
            on_list=self._learn_version,
            hold_back=Backpressure(lambda: self._outbox.fullness, lambda: self._link.counters.published).hold_back,
        )

    def _start(self, source: Source, index: int) -> threading.Thread:
        thread = threading.Thread(target=self._guard, args=(source,), name=f"watch-{index}", daemon=True)
        thread.start()
        return thread

    def _guard(self, source: Source) -> None:
        """Run a source; one that ends by an error ends the process, which then starts anew."""
        try:
            source.run(self._stop)
        except ProducerError as error:
            _log.error("no events can come any more: %s", error)
            self._fail()
        except Exception:  # noqa: BLE001 - the top of the thread
            _log.exception("no events can come any more")
            self._fail()

    def _fail(self) -> None:
        """End this run, which only a new one can mend."""
        self._failed = True
        self.stop()

    def _learn_version(self, client: ApiClient) -> None:
        if self._link.status.kubernetes_version is None:
            try:
                self._link.status.kubernetes_version = str(client.get("/version")["gitVersion"])
                self._tenure.wake()
            except (ProducerError, KeyError, *NETWORK_ERRORS):
                _log.debug("the API server does not tell its version", exc_info=True)

    def _end_replay(self) -> None:
        """Stop once everything that was replayed has been acknowledged."""
        self._release_all()
        while self._outbox.waiting and not self._stop.wait(0.1):
            continue
        self.stop()

    def _finish(self) -> int:
        sums = self._sums()
        text = ", ".join(f"{name} {value}" for name, value in sums.items())
        _log.info("stopped: %s", text, extra={"sums": sums})
        unsaved = self._outbox.waiting > 0 and self._plan.outbox_path is None
        if unsaved:
            _log.warning("what waited was not saved (no outbox.path); the next start lists it again")
        if self._hanging:
            _log.warning("did not end in time: %s", ", ".join(self._hanging))
        else:
            self._database.close()
        return CUT_SHORT if self._hanging or unsaved or self._failed else CLEAN

    def _sums(self) -> dict[str, int]:
        return {
            **self._intake.sums(),
            **asdict(self._link.counters),
            "waiting": self._outbox.waiting,
            "lost": self._outbox.lost,
        }


def main(arguments: list[str]) -> int:
    """Run the agent on the plan that `arguments` names by its descriptor, and return the exit code."""
    plan = Plan.receive(int(arguments[0]))
    configure(cast("Level", plan.log_level), cast("Format", plan.log_format))
    _log.info("tocsin-producer %s for cluster %s", __version__, plan.cluster)
    try:
        agent = Agent(plan)
    except (StateError, ListenError) as error:
        _log.error("%s", error)
        return UNUSABLE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    return agent.run()
