"""The one rule for what happens after a delivery has failed, the same for every receiver. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tocsin_consumer.errors import PermanentError, RenderError, TemporaryError
from tocsin_schemas.backoff import backoff_seconds
from tocsin_schemas.fields import duration_text

#: The longest that a service may ask us to wait at once.
RETRY_AFTER_LIMIT: Final = timedelta(hours=1)
#: Tries after which an error that no receiver should raise is believed to come from the event itself.
UNEXPECTED_LIMIT: Final = 5

Backoff = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Retry:
    """Worth another try of this delivery, not before `delay` has passed."""

    reason: str
    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A dead letter, with the reason that it carries."""

    reason: str


def after_failure(
    error: Exception,
    attempts: int,
    *,
    age: timedelta,
    max_age: timedelta,
    backoff: Backoff = backoff_seconds,
) -> Retry | GiveUp:
    """Say what to do after `attempts` tries (at least one), the last of which ended with `error`.

    A temporary error is tried again until the next try would come later than `max_age`; a permanent one and
    a template that does not fit never are. `age` is how long the delivery has existed.
    """
    match error:
        case PermanentError():
            return GiveUp(error.reason)
        case RenderError():
            return GiveUp(str(error))
        case TemporaryError():
            reason = error.reason
        case _:
            reason = f"internal error: {type(error).__name__}"
            if attempts >= UNEXPECTED_LIMIT:
                return GiveUp(reason)
    delay = rest(error, attempts, backoff=backoff)
    if age + delay > max_age:
        return GiveUp(too_old(max_age, reason))
    return Retry(reason, delay)


def too_old(max_age: timedelta, last: str) -> str:
    """Return the reason of a dead letter that was not delivered in time; `last` is why it was not at last."""
    return f"not delivered within {duration_text(max_age)}: last: {last}"


def rest(error: Exception, failures: int, *, backoff: Backoff = backoff_seconds) -> timedelta:
    """Return how long to leave a receiver alone that has failed `failures` times in a row, last with `error`.

    A receiver that works, and refuses or cannot render one event, needs no rest.
    """
    if isinstance(error, PermanentError | RenderError):
        return timedelta()
    asked = error.retry_after if isinstance(error, TemporaryError) else None
    return max(timedelta(seconds=backoff(failures)), min(asked or timedelta(), RETRY_AFTER_LIMIT))
