"""The contract of a receiver: render, then deliver."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from tocsin_consumer.notification import Notification


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `count` deliveries in any span of `per`."""

    count: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class Rendering:
    """What would be sent, without what belongs to one try (a signature, a timestamp) and without secrets."""

    content: str
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: What to send instead when the service refuses `content` for its form.
    fallback: str | None = None


class Receiver(Protocol):
    """Somewhere to deliver to. One worker thread calls it, one delivery at a time."""

    @property
    def name(self) -> str:
        """The name that routes know it by."""

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """What the service permits."""

    def render(self, notification: Notification) -> Rendering:
        """Return what would be sent; pure.

        Raises:
            RenderError: a template does not fit the event.
        """

    def deliver(self, rendering: Rendering) -> str:
        """Send it and return the service's answer in a few words.

        Raises:
            TemporaryError: it may work later.
            PermanentError: it never will.
        """

    def close(self) -> None:
        """Let connections and files go."""
