"""The thread that takes messages from the inbox through the pipeline and back for their acknowledgement."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Arrival, Inbox
from tocsin_consumer.intake import Uplink
from tocsin_consumer.pipeline import Pipeline
from tocsin_schemas.backoff import backoff_seconds

_log = logging.getLogger(__name__)

#: Messages that share a commit: what has gathered while the last commit was under way, at most so many.
BATCH_LIMIT: Final = 250
_IDLE_SECONDS: Final = 0.5
#: However much comes, what is due is decided so often.
_DECIDE_SECONDS: Final = 1.0


class Feed:
    """Feeds the pipeline in batches, one commit each, and survives whatever comes of it.

    A store that fails keeps the batch waiting, unacknowledged, however long it takes. A message that fails
    the pipeline for a reason of its own becomes a dead letter, and those around it go on.

    Args:
        inbox: where messages come from.
        pipeline: where they go.
        acknowledge: called with what is stored.
        uplink: tells our connection to the broker, if there is one.
        backoff: seconds to wait after a number of failures of the store.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        inbox: Inbox,
        pipeline: Pipeline,
        *,
        acknowledge: Callable[[Sequence[Arrival]], None],
        uplink: Callable[[], Uplink | None],
        backoff: Callable[[int], float] = backoff_seconds,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        #: When it last made progress, in monotonic seconds. Any thread may read this.
        self.turned_at = monotonic()
        #: Whether it waits for the store to work again.
        self.store_fails = False
        #: How often in a row it could not be decided what is due, for a reason other than the store.
        self.failed_decisions = 0
        self._decided_at = monotonic()
        self._is_behind = False
        self._monotonic = monotonic
        self._inbox = inbox
        self._pipeline = pipeline
        self._acknowledge = acknowledge
        self._uplink = uplink
        self._backoff = backoff

    def run(self, stop: threading.Event) -> None:
        """Feed until `stop` is set and the inbox is empty."""
        while not stop.is_set() or len(self._inbox):
            try:
                self.step(stop.wait)
            except Exception:  # noqa: BLE001 - the top of the thread
                log = _log.exception if self.failed_decisions <= 1 else _log.debug
                log("a turn failed; what is not acknowledged comes again after the next connection")

    def step(self, wait: Callable[[float], bool]) -> None:
        """Take one batch through, and decide what is due; `wait` waits some seconds, and tells whether to stop."""
        self.turned_at = self._monotonic()
        batch = self._inbox.take(BATCH_LIMIT, timeout=0 if self._is_behind else _IDLE_SECONDS)
        stored = not batch or self._store(batch, wait)
        is_current = not len(self._inbox)  # else what we know is not the last that was said
        if stored and (is_current or self._monotonic() - self._decided_at >= _DECIDE_SECONDS):
            self._decide(wait, is_current=is_current)

    def _decide(self, wait: Callable[[float], bool], *, is_current: bool) -> None:
        """Decide what is due; failures in a row are counted, since all that would be told waits for it."""
        self._decided_at = self._monotonic()
        self._is_behind = False
        try:
            self._persist(lambda: self._pipeline.decide(self._uplink(), is_current=is_current), wait)
        except Exception:
            self.failed_decisions += 1
            raise
        self.failed_decisions = 0
        self._is_behind = self._pipeline.is_behind

    def _store(self, batch: Sequence[Arrival], wait: Callable[[float], bool]) -> bool:
        """Store and acknowledge `batch`; return False if we are to stop before it is."""
        try:
            stored = self._persist(lambda: self._pipeline.process(batch), wait)
        except Exception as error:  # noqa: BLE001 - one bad message must not end the feed
            return self._isolate(batch, error, wait)
        if stored:
            self._acknowledge(batch)
        return stored

    def _isolate(self, batch: Sequence[Arrival], error: Exception, wait: Callable[[float], bool]) -> bool:
        """Halve a batch that failed until the message is alone that is to blame, and bury that."""
        reason = f"internal error: {type(error).__name__}"
        if len(batch) > 1:
            _log.warning("a batch of %d messages failed: %s; looking for the one to blame", len(batch), reason)
            half = len(batch) // 2
            return self._store(batch[:half], wait) and self._store(batch[half:], wait)
        _log.error("a message failed", exc_info=error)
        buried = self._persist(lambda: self._pipeline.reject(batch[0], reason), wait)
        if buried:
            self._acknowledge(batch)
        return buried

    def _persist(self, action: Callable[[], None], wait: Callable[[float], bool]) -> bool:
        """Repeat `action` until the store does it; return False if we are to stop before it did."""
        failures = 0
        while True:
            self.turned_at = self._monotonic()
            try:
                action()
            except StoreError as error:
                failures += 1
                self.store_fails = True
                (_log.warning if failures == 1 else _log.debug)(
                    "%s; nothing is acknowledged until it works", error
                )
                if wait(self._backoff(failures)):
                    return False
            else:
                self.store_fails = False
                if failures:
                    _log.info("the store works again after %d failures", failures)
                return True
