"""What the running consumer consists of, and the order in which it starts and stops."""

import logging
import threading
import time
from collections.abc import Collection, Sequence
from typing import Final

from tocsin_consumer.check import build_receivers
from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.config_file import ConfigFile, Loaded
from tocsin_consumer.deliver import Worker
from tocsin_consumer.errors import ConsumerError, SecretError, StoreError
from tocsin_consumer.feed import Feed
from tocsin_consumer.health import Health
from tocsin_consumer.inbox import MESSAGE_LIMIT, Arrival, Inbox
from tocsin_consumer.intake import Intake
from tocsin_consumer.job import Job, end
from tocsin_consumer.metrics import Metrics, Sources
from tocsin_consumer.mute import Mutes
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.probes import ListenError
from tocsin_consumer.receiver_settings import ReceiverSettings
from tocsin_consumer.receivers.receiver import Receiver
from tocsin_consumer.route import Route
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.store import Store
from tocsin_consumer.watch import watch_jobs
from tocsin_schemas import logs
from tocsin_schemas.configuration import ConfigurationError
from tocsin_schemas.session import Session

_log = logging.getLogger(__name__)

#: How long each part may take to stop, within the 30 s that Kubernetes and systemd's usual settings grant.
DRAIN_SECONDS: Final = 5.0
DISCONNECT_SECONDS: Final = 5.0
DELIVER_SECONDS: Final = 12.0
WATCH_SECONDS: Final = 3.0

_LOOK_SECONDS: Final = 1.0
_PURGE_EVERY_SECONDS: Final = 3600.0
_PURGE_LIMIT: Final = 5000


class Consumer:
    """All parts, wired.

    Args:
        settings: the configuration.
        metrics: where what it does is measured.
        clock: the time of day.

    Raises:
        SecretError: a secret of a receiver's cannot be read.
        StoreError: the store cannot be used.
        ListenError: nobody can listen at the address that is configured.
    """

    def __init__(
        self, settings: ConsumerSettings, *, metrics: Metrics | None = None, clock: Clock = utc_now
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._receivers = _receivers(settings)
        self._store = Store(settings.store, exclusive=True)
        self._metrics = metrics or Metrics()
        self._workers = {configured.name: self._worker(configured) for configured in settings.receivers}
        self._inbox = Inbox()
        self._intake = Intake(settings.topic_root, self._inbox, clock=clock)
        self._session = Session(
            settings.broker.connection(client_id=settings.client_id), self._intake, receive_maximum=MESSAGE_LIMIT
        )
        self.pipeline = Pipeline(
            settings.topic_root,
            Route(settings.route, single=settings.single),
            rules=settings.presence.rules,
            mutes=Mutes(settings.inhibit, settings.recurring_silences),
            storm_rules=settings.storm.rules,
            store=self._store,
            notify=self._wake_workers,
            clock=clock,
        )
        self._feed = Feed(
            self._inbox, self.pipeline, acknowledge=self._acknowledge, uplink=lambda: self._intake.uplink
        )
        self._deliver_jobs = [
            Job(f"deliver-{name}", worker.run, worker.wake) for name, worker in self._workers.items()
        ]
        self._feed_job = Job("pipeline", self._feed.run, self._inbox.wake)
        self._session_job = Job("mqtt", self._session.run, self._session.wake)
        self._watch_jobs: list[Job] = []
        try:
            self._watch_jobs += list(watch_jobs(settings, self._health(), self._metrics))
        except ListenError:
            self.close()
            raise
        self._next_purge = time.monotonic()

    def start(self) -> None:
        """Start from the end to the beginning: who receives before who sends."""
        self._bury_orphans()
        self.pipeline.expect(self._settings.presence.clusters)
        for job in self._jobs():
            job.start()

    def look_after(self) -> bool:
        """Forget what is old, and tell whether we can go on; what is in the way is logged."""
        if time.monotonic() >= self._next_purge:
            finished = self._purge() < _PURGE_LIMIT
            self._next_purge = time.monotonic() + (_PURGE_EVERY_SECONDS if finished else 0.0)
        trouble = self._trouble()
        if trouble:
            _log.critical("%s; stopping", trouble)
        return trouble is None

    def _trouble(self) -> str | None:
        if self._store.is_lost:
            return "the store was deleted or replaced while it was in use"
        return None if all(job.is_alive() for job in self._jobs()) else "a thread has ended that should not"

    def stop(self) -> bool:
        """Stop from the beginning to the end, and tell whether nothing was cut short.

        What was received is stored and acknowledged before the session ends; what is not delivered yet is for
        the next start.
        """
        self._intake.close()
        end(self._watch_jobs, WATCH_SECONDS)  # nothing is lost by what they leave undone
        clean = end([self._feed_job], DRAIN_SECONDS)
        # A session that hangs in an attempt to connect has nothing left to say.
        clean = (end([self._session_job], DISCONNECT_SECONDS) or self._intake.uplink is None) and clean
        clean = end(self._deliver_jobs, DELIVER_SECONDS) and clean
        self._report()
        if clean:
            self.close()
        return clean

    def close(self) -> None:
        """Let files and connections go, once nothing runs."""
        for job in self._watch_jobs:
            job.close()
        for receiver in self._receivers.values():
            receiver.close()
        self._store.close()

    def _jobs(self) -> list[Job]:
        return [*self._deliver_jobs, self._feed_job, self._session_job, *self._watch_jobs]

    def _worker(self, configured: ReceiverSettings) -> Worker:
        return Worker(
            self._receivers[configured.name],
            self._store,
            max_age=configured.max_age,
            clock=self._clock,
            observe=self._metrics.latency.labels(configured.name).observe,
        )

    def _health(self) -> Health:
        """Return what judges all parts, which are measured as well from now on."""
        self._metrics.measure(
            Sources(self.pipeline, self._workers, self._inbox, self._intake, self._store), clock=self._clock
        )
        return Health(
            threads=lambda: {job.name: job.is_alive() for job in self._jobs()},
            workers={
                self._workers[configured.name]: configured.patience for configured in self._settings.receivers
            },
            feed=self._feed,
            intake=self._intake,
            keepalive=self._settings.broker.keepalive,
        )

    def _wake_workers(self, names: Collection[str]) -> None:
        for name in self._workers.keys() & names:
            self._workers[name].wake()

    def _acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        self._intake.hand_back(arrivals)
        self._session.wake()

    def _bury_orphans(self) -> None:
        buried = self._store.bury_all_but(
            self._workers.keys(), "the receiver is no longer in the configuration", now=self._clock()
        )
        if buried:
            _log.error("%d deliveries to receivers no longer in the configuration are dead letters now", buried)

    def _purge(self) -> int:
        """Forget some of what is old and return how much: little enough to stop in between."""
        try:
            return self._store.purge(self._clock() - self._settings.retention, limit=_PURGE_LIMIT)
        except StoreError as error:
            _log.warning("what is old could not be forgotten: %s", error)
            return 0

    def _report(self) -> None:
        _log.info("messages: %s", self.pipeline.counters)
        for name, worker in self._workers.items():
            _log.info("receiver %s: %s", name, worker.counters)


class Running:
    """The consumer that runs, and what takes its place when the configuration changes.

    A consumer is stopped, as cleanly as at the end, before the next one starts: all that is under way is in the
    store and at the broker, so nothing is lost or repeated, and everything in the file can be changed.

    Args:
        file: the configuration file.
        loaded: what it said when it was read first.
        stop: set when no consumer shall start any more.
        reload: set when it is to be read again, whether it has changed or not.
    """

    def __init__(
        self, file: ConfigFile, loaded: Loaded, *, stop: threading.Event, reload: threading.Event
    ) -> None:
        self._file = file
        self._stop = stop
        self._reload = reload
        self._metrics = Metrics()
        self._in_force = loaded
        #: None between one and the next.
        self._consumer: Consumer | None = self._started(loaded.settings)
        self._metrics.reloads.note(is_good=True)

    def look_after(self) -> bool:
        """Take over a configuration that has changed, and tell whether the consumer can go on."""
        news = self._load() if self._is_due() else None
        if news is not None and not self._replace(news):
            return False
        return self._consumer is None or self._consumer.look_after()

    def stop(self) -> bool:
        """Stop, and tell whether nothing was cut short."""
        consumer, self._consumer = self._consumer, None
        return consumer is None or consumer.stop()

    def _is_due(self) -> bool:
        asked = self._reload.is_set()
        if asked:  # and not otherwise: it may have been set just now
            self._reload.clear()
        return self._file.has_changed() or asked

    def _load(self) -> Loaded | None:
        """Return what the file says now; None if that cannot be used, or is in force."""
        try:
            loaded = self._file.load()
        except ConfigurationError as error:
            self._metrics.reloads.note(is_good=False)
            _log.error("the configuration cannot be used, and the one before stays in force:\n%s", error)
            return None
        if loaded == self._in_force:
            self._metrics.reloads.note(is_good=True)
            _log.info("%s says what is in force", self._file.path)
            return None
        return loaded

    def _replace(self, loaded: Loaded) -> bool:
        """Let a consumer with `loaded` take over, or else with the one before; tell whether we can go on."""
        _log.info("%s has changed; starting anew with it", self._file.path)
        if not self.stop():
            _log.critical("what runs could not be stopped for a new configuration; stopping")
            return False
        if self._stop.is_set():
            return True
        try:
            self._consumer = self._started(loaded.settings)
        except ConsumerError as error:
            self._fall_back(error)
        else:
            self._take_over(loaded)
        return True

    def _fall_back(self, error: ConsumerError) -> None:
        self._metrics.reloads.note(is_good=False)
        _log.error("the configuration cannot be used, and the one before is in force again: %s", error)
        self._consumer = self._started(self._in_force.settings)

    def _take_over(self, loaded: Loaded) -> None:
        before, self._in_force = self._in_force, loaded
        log = loaded.settings.log
        if log != before.settings.log:
            logs.configure(log.level, log.format)
        self._metrics.reloads.note(is_good=True)

    def _started(self, settings: ConsumerSettings) -> Consumer:
        consumer = Consumer(settings, metrics=self._metrics)
        try:
            consumer.start()
        except StoreError:
            consumer.close()
            raise
        return consumer


def run(file: ConfigFile, loaded: Loaded, *, stop: threading.Event, reload: threading.Event) -> int:
    """Run until `stop` is set, and return the exit code: 0 when clean, 1 when something was cut short.

    Raises:
        ConsumerError: the store or a secret cannot be used, or nobody can listen where it is configured.
    """
    running = Running(file, loaded, stop=stop, reload=reload)
    healthy = True
    while healthy and not stop.wait(_LOOK_SECONDS):
        healthy = running.look_after()
    return 0 if running.stop() and healthy else 1


def _receivers(settings: ConsumerSettings) -> dict[str, Receiver]:
    """Return the configured receivers by name, whose secrets were there when the configuration was checked.

    Raises:
        SecretError: one of them is not there any more.
    """
    try:
        return build_receivers(settings)
    except OSError as error:
        raise SecretError(f"{error.filename} cannot be read: {error.strerror}") from error
