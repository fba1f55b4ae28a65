"""Whether the consumer is alive, which is that every thread makes progress, and ready, which is that all works."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from tocsin_consumer.deliver import Worker
from tocsin_consumer.feed import Feed
from tocsin_consumer.intake import Intake

#: The longest turn of the feed that is no sign of trouble: its pauses while the store fails are 60 s at most, and
#: a batch on a slow disk takes long.
FEED_PATIENCE: Final = timedelta(minutes=5)
#: What the session may take beyond the keepalive that it has to keep.
SESSION_PATIENCE: Final = timedelta(minutes=1)


class Health:
    """Judges all parts.

    Args:
        threads: whether each thread runs, by its name.
        workers: each receiver's worker, and how long one delivery of it may take.
        feed: what stores.
        intake: what receives.
        keepalive: the longest that the session may be silent.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        *,
        threads: Callable[[], Mapping[str, bool]],
        workers: Mapping[Worker, timedelta],
        feed: Feed,
        intake: Intake,
        keepalive: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = threads
        self._workers = workers
        self._feed = feed
        self._intake = intake
        self._keepalive = keepalive
        self._monotonic = monotonic

    def stuck(self) -> list[str]:
        """Return what only a restart helps against; being offline is not among it, nor is a store that fails."""
        return [
            *(f"thread {name} has ended" for name, runs in self._threads().items() if not runs),
            *self._overdue(),
        ]

    def unready(self) -> list[str]:
        """Return what keeps messages from being taken in, beside what is stuck."""
        return [*self.stuck(), *self._not_working()]

    def _overdue(self) -> Iterator[str]:
        now = self._monotonic()
        for worker, patience in self._workers.items():
            since = worker.busy_since
            if since is not None and now - since > patience.total_seconds():
                yield f"receiver {worker.name}: in one delivery for {now - since:.0f} s"
        if now - self._feed.turned_at > FEED_PATIENCE.total_seconds():
            yield f"pipeline: no progress for {now - self._feed.turned_at:.0f} s"
        silent = now - self._intake.turned_at
        if self._intake.uplink is not None and silent > (self._keepalive + SESSION_PATIENCE).total_seconds():
            yield f"mqtt: no progress for {silent:.0f} s"

    def _not_working(self) -> Iterator[str]:
        if self._intake.uplink is None:
            yield "not connected to the broker"
        if self._feed.store_fails or any(worker.store_fails for worker in self._workers):
            yield "the store does not work"
        if self._feed.failed_decisions > 1:
            yield f"what is due cannot be decided, {self._feed.failed_decisions} times in a row"
