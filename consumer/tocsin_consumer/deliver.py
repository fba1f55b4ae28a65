"""One worker per receiver: takes its deliveries from the store, tries them, and notes what became of them."""

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.errors import PermanentError, RenderError, StoreError, TemporaryError
from tocsin_consumer.inert import one_line
from tocsin_consumer.rate_limit import RateLimit, SlidingWindow
from tocsin_consumer.receivers.receiver import Receipt, Receiver, Rendering
from tocsin_consumer.records import Delivery, Outcome
from tocsin_consumer.retry import Backoff, GiveUp, after_failure, rest, too_old
from tocsin_consumer.store import Store
from tocsin_consumer.throttle import ThrottledLog
from tocsin_schemas.backoff import backoff_seconds

_log = logging.getLogger(__name__)

#: Deliveries taken from the store at once.
BATCH_LIMIT: Final = 250
#: What a local receiver took is written down after at most this time, for many deliveries at once; what any other
#: took, at once. A kill repeats what was delivered since, and nothing else.
SETTLE_SECONDS: Final = 0.1
#: Where an error was raised that should not be is told so often; that there was one, each time.
_FRAMES_LIMIT: Final = RateLimit(1, timedelta(hours=1))
#: The longest sleep of a worker that has nothing to do; new deliveries wake it.
IDLE_SECONDS: Final = 60.0


#: Classes of failures: worth another try, final, a template that does not fit, and an error of our own.
FAILURE_CLASSES: Final = ("temporary", "permanent", "template", "internal")


@dataclass(slots=True)
class DeliveryCounters:
    """What became of a receiver's deliveries since the start."""

    delivered: int = 0
    #: Of those delivered, how many as less than was meant, such as a text instead of a card.
    degraded: int = 0
    failed_tries: int = 0
    dead: int = 0
    #: The failed tries by the class of their reason.
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAILURE_CLASSES, 0))

    def __str__(self) -> str:
        return (
            f"delivered={self.delivered} degraded={self.degraded} "
            f"failed_tries={self.failed_tries} dead={self.dead}"
        )


class Worker:
    """Delivers to one receiver, so that it is alone with its failures.

    A temporary failure makes the receiver rest, longer after each one in a row, and defers that delivery: the
    next try is another event's, so one that can never succeed holds nothing up but its own later states. What
    cannot be rendered is the event's own failure, and no reason to rest.

    Args:
        receiver: where to deliver to.
        store: where its deliveries are.
        max_age: how long a delivery is tried.
        clock: the time of day, aware; deliveries are due by it.
        monotonic: seconds that never jump; pauses and rate limits go by it.
        backoff: seconds to wait after a number of failures.
        observe: told of each delivery how many seconds after the event's last occurrence it was.
    """

    def __init__(
        self,
        receiver: Receiver,
        store: Store,
        *,
        max_age: timedelta,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        backoff: Backoff = backoff_seconds,
        observe: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.counters = DeliveryCounters()
        #: Since when a step is under way, in monotonic seconds; None between two. Any thread may read this.
        self.busy_since: float | None = None
        self._receiver = receiver
        self._store = store
        self._max_age = max_age
        self._clock = clock
        self._monotonic = monotonic
        self._backoff = backoff
        self._observe = observe
        self._window = SlidingWindow(receiver.limits)
        self._taken: deque[Delivery] = deque()
        self._outcomes: list[Outcome] = []
        self._unsettled_since = 0.0
        self._failures = 0
        #: Why the receiver failed last.
        self._failure = ""
        self._resting_until = 0.0
        self._troubles = 0
        self._requests = 1
        self._degraded = False
        self._news = threading.Event()
        self._dead_letters = ThrottledLog(_log)
        self._unexpected = ThrottledLog(_log, _FRAMES_LIMIT, clock=monotonic)
        self._started_at = clock()
        self._started = monotonic()

    @property
    def name(self) -> str:
        """The receiver's name."""
        return self._receiver.name

    def wake(self) -> None:
        """There may be something to do; any thread may call this."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; whoever sets it calls `wake` as well."""
        while not stop.is_set():
            self._news.wait(self._guarded_step())
            self._news.clear()
        self._finish()

    def step(self) -> float:
        """Do the next thing, and return the seconds until there is another one: zero for at once.

        Raises:
            StoreError: nothing more is delivered until what was delivered is written down.
        """
        hold = self._hold_seconds()
        if hold > 0 or self._is_time_to_settle():
            self._settle()
        if hold > 0:
            return hold
        if not self._taken:
            self._taken.extend(self._store.due(self.name, self._clock(), limit=BATCH_LIMIT))
        if not self._taken:
            return self._idle_seconds()
        self._take_up(self._taken.popleft())
        return 0.0

    def _hold_seconds(self) -> float:
        """Return how long to do nothing; a delivery may take as many requests as the last one took."""
        now = self._monotonic()
        return max(self._resting_until - now, self._window.wait_seconds(now, room=self._requests))

    def _is_time_to_settle(self) -> bool:
        since = self._monotonic() - self._unsettled_since
        return not self._taken or not self._receiver.is_local or since >= SETTLE_SECONDS

    def _idle_seconds(self) -> float:
        due_at = self._store.next_due_at(self.name)
        if due_at is None:
            return IDLE_SECONDS
        return min(IDLE_SECONDS, max(0.0, (due_at - self._clock()).total_seconds()))

    def _take_up(self, delivery: Delivery) -> None:
        if not self._outcomes:
            self._unsettled_since = self._monotonic()
        if self._failures and self._age(delivery) > self._max_age:
            self._outcomes.append(self._bury(delivery, too_old(self._max_age, self._failure)))
        else:
            self._outcomes.append(self._try(delivery))

    def _try(self, delivery: Delivery) -> Outcome:
        try:
            notification = delivery.notification
            rendering = self._receiver.render(notification)
        except Exception as error:  # noqa: BLE001 - rendering is pure: whatever it raises comes from the event
            return self._not_rendered(delivery, error)
        try:
            receipt = self._send(rendering)
        except Exception as error:  # noqa: BLE001 - whatever a receiver raises is its own failure
            return self._failed(delivery, error)
        self._observe(max(0.0, self._clock().timestamp() - notification.event.last))
        return self._delivered(delivery, receipt)

    def _send(self, rendering: Rendering) -> Receipt:
        self._requests = 0
        try:
            return self._receiver.deliver(rendering, self._note_request)
        finally:
            self._requests = max(1, self._requests)

    def _note_request(self) -> None:
        self._requests += 1
        self._window.note(self._monotonic())

    def _delivered(self, delivery: Delivery, receipt: Receipt) -> Outcome:
        if self._failures:
            _log.info("receiver %s works again after %d failures", self.name, self._failures)
        self._failures = 0
        self.counters.delivered += 1
        self._note_shortfall(receipt)
        _log.debug("receiver %s: delivery %d: %s", self.name, delivery.id, receipt)
        return Outcome(delivery, "delivered", self._clock())

    def _note_shortfall(self, receipt: Receipt) -> None:
        """Count what was delivered as less than was meant, and warn once per streak."""
        degraded = receipt.shortfall is not None
        self.counters.degraded += degraded
        if degraded and not self._degraded:
            _log.warning("receiver %s: delivered %s", self.name, receipt.shortfall)
        self._degraded = degraded

    def _not_rendered(self, delivery: Delivery, error: Exception) -> Outcome:
        self._count_failure(error)
        if isinstance(error, PermanentError | RenderError):
            return self._bury(delivery, str(error))
        self._tell_frames(error)
        return self._bury(delivery, f"cannot be rendered: {type(error).__name__}")

    def _failed(self, delivery: Delivery, error: Exception) -> Outcome:
        self._count_failure(error)
        self._note_failure(error)
        verdict = after_failure(
            error,
            delivery.attempts + 1,
            age=self._age(delivery),
            max_age=self._max_age,
            backoff=self._backoff,
        )
        if isinstance(verdict, GiveUp):
            return self._bury(delivery, verdict.reason)
        now = self._clock()
        return Outcome(delivery, "pending", now, reason=verdict.reason, due_at=now + verdict.delay)

    def _count_failure(self, error: Exception) -> None:
        self.counters.failed_tries += 1
        self.counters.failures[_failure_class(error)] += 1

    def _note_failure(self, error: Exception) -> None:
        """Let the receiver rest if it is the receiver that failed, and warn once per streak."""
        if isinstance(error, PermanentError | RenderError):
            return
        self._failures += 1
        self._resting_until = (
            self._monotonic() + rest(error, self._failures, backoff=self._backoff).total_seconds()
        )
        if isinstance(error, TemporaryError):
            reason = error.reason
        else:
            reason = f"internal error: {type(error).__name__}"
            self._tell_frames(error)
        self._failure = reason
        if self._failures == 1:
            _log.warning("receiver %s: %s; trying again", self.name, reason)
        else:
            _log.debug("receiver %s: %s, %d times in a row", self.name, reason, self._failures)

    def _tell_frames(self, error: Exception) -> None:
        self._unexpected.error("receiver %s: an error that should not be:\n%s", self.name, _frames(error))

    def _bury(self, delivery: Delivery, reason: str) -> Outcome:
        self.counters.dead += 1
        subject = one_line(delivery.subject)
        self._dead_letters.error("dead letter: receiver %s: %s: %s", self.name, subject, reason)
        return Outcome(delivery, "dead", self._clock(), reason=reason)

    def _age(self, delivery: Delivery) -> timedelta:
        """Return how long it has existed: by the clock, but no longer than we can have seen.

        A clock that is set forward, as one without a battery is after each start, makes nothing older.
        """
        before = max(timedelta(), self._started_at - delivery.created_at)
        running = timedelta(seconds=self._monotonic() - self._started)
        return min(self._clock() - delivery.created_at, before + running)

    def _settle(self) -> None:
        """Write down what became of the deliveries since the last time."""
        if self._outcomes:
            self._store.settle(self._outcomes)
            self._outcomes = []

    def _finish(self) -> None:
        try:
            self._settle()
        except StoreError as error:
            _log.error(
                "receiver %s: %d deliveries may be repeated at the next start: %s",
                self.name,
                len(self._outcomes),
                error,
            )

    @property
    def store_fails(self) -> bool:
        """Whether the last thing that the store was asked for failed."""
        return self._troubles > 0

    def _guarded_step(self) -> float:
        self.busy_since = self._monotonic()
        try:
            wait = self.step()
        except Exception as error:  # noqa: BLE001 - the top of the thread
            self._troubles += 1
            self._log_trouble(error)
            return self._backoff(self._troubles)
        finally:
            self.busy_since = None
        self._troubles = 0
        return wait

    def _log_trouble(self, error: Exception) -> None:
        if not isinstance(error, StoreError):
            _log.exception("receiver %s: its worker failed", self.name)
        elif self._troubles == 1:
            _log.warning("receiver %s waits for the store: %s", self.name, error)


def _failure_class(error: Exception) -> str:
    match error:
        case TemporaryError():
            return "temporary"
        case PermanentError():
            return "permanent"
        case RenderError():
            return "template"
    return "internal"


def _frames(error: Exception) -> str:
    """Return where `error` was raised, without its text, which may hold a webhook's address."""
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
