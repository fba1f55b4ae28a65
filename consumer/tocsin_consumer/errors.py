"""What can go wrong in the consumer, by what the caller does about it."""

from datetime import timedelta


class ConsumerError(Exception):
    """Base of the consumer's own errors."""


class RenderError(ConsumerError):
    """A template could not be rendered for an event; the text says which and why."""


class DeliveryError(ConsumerError):
    """A receiver did not take a notification. The reason is safe to show: no URL, no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TemporaryError(DeliveryError):
    """Worth trying again, not before `retry_after` if the receiver named a time."""

    def __init__(self, reason: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class PermanentError(DeliveryError):
    """Another try would fail the same way."""


class StoreError(ConsumerError):
    """The store cannot be used: locked, full, damaged, or not one of ours. The text says which."""


class SecretError(ConsumerError):
    """A secret that a receiver needs cannot be read; the text names its file, not what stands in it."""


class EventFileError(ConsumerError):
    """A file does not hold an event; the text says why."""
