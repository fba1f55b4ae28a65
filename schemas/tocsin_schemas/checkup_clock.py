"""The step of a checkup that compares the clock of this machine with one that a server shows."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from tocsin_schemas.checkup import Finding, failed, ok, warning

#: Less is the way of an answer, and the second that a date in HTTP is rounded to.
TOLERATED: Final = timedelta(seconds=30)


def check_clock(date: str | None, now: datetime, *, whose: str, limit: timedelta | None = None) -> Finding[None]:
    """Compare `now` with the `Date` of an answer (RFC 9110, section 6.6.1).

    Args:
        date: what the server sent.
        now: the time when the answer came.
        whose: the server, for people.
        limit: beyond this the server does not work with us.
    """
    theirs = _read(date)
    if theirs is None:
        return ok(f"{whose} does not tell its time")
    skew = now - theirs
    if abs(skew) <= TOLERATED:
        return ok(f"agrees with {whose}")
    way = "ahead of" if skew > timedelta() else "behind"
    text = f"the clock of this machine is {_length(abs(skew))} {way} that of {whose}"
    cause = f"one of them is not set by NTP: this machine has {now:%Y-%m-%d %H:%M:%S} UTC"
    run = "timedatectl; chronyc tracking"
    if limit is not None and abs(skew) > limit:
        return failed(f"{text}, which is too much for it", cause=cause, run=run)
    return warning(text, cause=cause, run=run)


def _read(date: str | None) -> datetime | None:
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)


def _length(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    for name, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"
