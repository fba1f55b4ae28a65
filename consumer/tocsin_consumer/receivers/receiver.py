"""The contract of a receiver: render, then deliver."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tocsin_consumer.notification import Notification
from tocsin_consumer.rate_limit import RateLimit

#: Called before each request, as services count them.
Note = Callable[[], None]


def unnoted() -> None:
    """Count no requests, for those who make one now and then."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What would be sent, without what belongs to one try (a signature, a timestamp) and without secrets."""

    content: str
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: What to send instead when the service refuses `content` for its form.
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the service answered in a few words, and why it got less than was meant for it, if it did."""

    answer: str
    shortfall: str | None = None

    def __str__(self) -> str:
        return self.answer if self.shortfall is None else f"{self.answer}, {self.shortfall}"


class Receiver(Protocol):
    """Somewhere to deliver to. One worker thread calls it, one delivery at a time."""

    @property
    def name(self) -> str:
        """The name that routes know it by."""

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """What the service permits."""

    @property
    def is_local(self) -> bool:
        """Whether to deliver takes less time than to write down that it is done."""

    def render(self, notification: Notification) -> Rendering:
        """Return what would be sent; pure.

        Raises:
            RenderError: a template does not fit the event.
        """

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:
        """Send it, with a call of `note` before each request.

        Raises:
            TemporaryError: it may work later.
            PermanentError: it never will.
        """

    def close(self) -> None:
        """Let connections and files go."""
