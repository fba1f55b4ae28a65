"""The time of day, as it stands in arguments' defaults."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]

#: A day before the last that a date can hold, so that there is room for every time zone.
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - timedelta(days=1)).timestamp()


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


def local_time(epoch_seconds: float, time_zone: ZoneInfo) -> datetime:
    """Return the time of what an event says, in a time zone; what lies beyond every date is the last date."""
    return datetime.fromtimestamp(min(epoch_seconds, _LATEST), time_zone)
