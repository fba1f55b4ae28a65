"""What machines are given of a notification, as plain JSON values. Pure."""

from datetime import UTC
from typing import Any

from tocsin_consumer.notification import Notification


def wire(notification: Notification) -> dict[str, Any]:
    """Return the event as on the wire, in plain JSON values."""
    return notification.event.model_dump(mode="json", by_alias=True, exclude_none=True)


def document(notification: Notification) -> dict[str, Any]:
    """Return the event as on the wire with `received_at` (RFC 3339, UTC): what machines are given by default."""
    received_at = notification.received_at.astimezone(UTC).isoformat(timespec="milliseconds")
    return {**wire(notification), "received_at": received_at.replace("+00:00", "Z")}
