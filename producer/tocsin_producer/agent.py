"""The process that stays: wires watch, outbox and link together, and imports only what these need.

`python -m tocsin_producer.agent DESCRIPTOR` reads its plan from the descriptor (`plan.Plan.pass_on`).
"""

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final, cast

from tocsin_producer.api import NETWORK_ERRORS, ApiClient
from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.database import Database, later_boot, next_boot
from tocsin_producer.errors import ApiError, ListenError, StateError
from tocsin_producer.filter import EventFilter, field_selectors
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
    """One run of the producer: event sources → intake → outbox → link.

    Raises:
        StateError: the outbox file cannot be used.
        ListenError: probes cannot be served where they should be.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._failed = False
        self.expired = False
        self._database = Database(Path(plan.outbox_path) if plan.outbox_path else None)
        self._checkpoint = Checkpoint(self._database)
        self._outbox = Outbox(
            self._database,
            max_messages=plan.outbox_max_messages,
            max_bytes=plan.outbox_max_bytes,
        )
        self._database.on_damage = self._fail
        topic = status_topic(plan.topic_root, plan.cluster)
        self._tenure = Tenure(
            plan.broker,
            self._stop,
            cluster=plan.cluster,
            status_topic=topic,
            later_boot=partial(later_boot, self._database),
        )
        self._link = Link(
            self._outbox,
            OwnStatus(plan.cluster, next_boot(self._database), self._outbox),
            status_topic=topic,
            leave=self._tenure.leave,
        )
        self._intake = Intake(
            self._database,
            self._checkpoint,
            self._outbox,
            event_filter=EventFilter(plan.include, plan.exclude),
            wire=Wire(plan.topic_root, plan.cluster, plan.message_limit),
            wake=self._tenure.wake,
        )
        self._health = Health(plan.cluster, self._database, self._intake, self._outbox, self._link, self._tenure)
        self._probes = ProbeServer(plan.http_listen, self._health.pages()) if plan.http_listen else None

    def run(self) -> int:
        """Run until `stop` is called and return the exit code; the calling thread holds the session."""
        sources = self._make_sources()
        threads = [self._start(source, index) for index, source in enumerate(sources)]
        self._health.watches = list(zip(sources, threads, strict=True))
        if self._probes is not None:
            self._probes.start()
        self._tenure.run(self._link)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
            for source in sources:  # again: one that was just about to connect had nothing to abort
                source.abort()
            threads[0].join(0.05)
        if self._probes is not None:
            self._probes.close()
        return self._finish(hanging=[thread.name for thread in threads if thread.is_alive()])

    def stop(self) -> None:
        """End the run; safe in a signal handler."""
        self._tenure.stop()

    def _make_sources(self) -> list[Source]:
        source = self._plan.source
        if isinstance(source, Replay):
            return [ReplaySource(Path(source.path), self._intake, speed=source.speed, on_end=self._end_replay)]
        selectors = field_selectors(self._plan.include)
        _log.info("watching events with %s", " and ".join(selector or "no selector" for selector in selectors))
        return [self._make_watch(source, selector) for selector in selectors]

    def _make_watch(self, server: ApiServer, selector: str) -> Watch:
        return Watch(
            ApiClient(server),
            self._intake,
            self._checkpoint,
            selector=selector,
            on_list=self._learn_version,
            on_unauthorized=self._renew_credentials,
        )

    def _start(self, source: Source, index: int) -> threading.Thread:
        thread = threading.Thread(target=self._guard, args=(source,), name=f"watch-{index}", daemon=True)
        thread.start()
        return thread

    def _guard(self, source: Source) -> None:
        """Run a source; one that ends by an error ends the process, which then starts anew."""
        try:
            source.run(self._stop)
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
            except (ApiError, KeyError, *NETWORK_ERRORS):
                _log.debug("the API server does not tell its version", exc_info=True)

    def _renew_credentials(self) -> None:
        """Credentials out of a kubeconfig cannot be read anew from here: stop, so that they are resolved anew."""
        source = self._plan.source
        if isinstance(source, ApiServer) and source.token_file is None:
            _log.info("the API server's credentials have expired; resolving them anew")
            self.expired = True
            self.stop()

    def _end_replay(self) -> None:
        """Stop once everything that was replayed has been acknowledged."""
        while self._outbox.waiting and not self._stop.wait(0.1):
            continue
        self.stop()

    def _finish(self, *, hanging: list[str]) -> int:
        sums = self._sums()
        text = ", ".join(f"{name} {value}" for name, value in sums.items())
        _log.info("stopped: %s", text, extra={"sums": sums})
        unsaved = self._outbox.waiting > 0 and self._plan.outbox_path is None
        if unsaved:
            _log.warning("what waited was not saved (no outbox.path); the next start lists it again")
        if hanging:
            _log.warning("did not end in time: %s", ", ".join(hanging))
        else:
            self._database.close()
        return CUT_SHORT if hanging or unsaved or self._failed else CLEAN

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
    code = agent.run()
    if agent.expired:
        os.execv(plan.command[0], plan.command)  # noqa: S606 - this very command, from its beginning
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
