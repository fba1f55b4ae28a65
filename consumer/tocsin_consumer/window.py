"""Recurring windows of time: days of the week, and from when to when by the clocks of a time zone. Pure.

A window begins when clocks first show a time within it, and ends when they last do. So where they skip an hour,
one that would begin or end in it does so where they skip; where an hour comes twice, one that begins or ends in it
holds through both. It never opens twice, and what such a clock makes happen in it does happen in it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
#: A window that began longer ago is over.
_DAYS_BACK: Final = 2
#: What repeats every week has no end if none comes within so many days: even one that a change-over hides
#: from one week, and that of a window which begins a week later.
_DAYS_AHEAD: Final = 30


class Span(NamedTuple):
    """From `start` until just before `end` (aware UTC); without an end if that is None."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Window:
    """On which days it begins (Monday is 0), and when: by the clock, since midnight.

    One that does not end after its start ends on the next day.
    """

    days: frozenset[int]
    start: timedelta
    end: timedelta


class Recurrence:
    """Windows of one time zone; those that overlap or touch are one."""

    def __init__(self, windows: Sequence[Window], time_zone: ZoneInfo) -> None:
        self._windows = windows
        self._time_zone = time_zone
        #: The spans around the day that was asked for last.
        self._known: tuple[date, Sequence[Span]] | None = None

    def span(self, now: datetime) -> Span | None:
        """Return the span that `now` is in, or else the next."""
        return next((span for span in self._around(now) if span.end is None or span.end > now), None)

    def _around(self, now: datetime) -> Sequence[Span]:
        today = now.astimezone(self._time_zone).date()
        if self._known is None or self._known[0] != today:
            self._known = today, list(self._spans(today))
        return self._known[1]

    def _spans(self, today: date) -> Iterator[Span]:
        days = [today + n * _DAY for n in range(-_DAYS_BACK, _DAYS_AHEAD + 1)]
        horizon = _begin(datetime.combine(days[-1], time()), self._time_zone)
        for start, end in _merged(sorted(span for day in days for span in self._begun_on(day))):
            yield Span(start, end if end < horizon else None)

    def _begun_on(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        midnight = datetime.combine(day, time())
        for window in self._windows:
            if day.weekday() in window.days:
                length = window.end if window.end > window.start else window.end + _DAY
                start = _begin(midnight + window.start, self._time_zone)
                end = _end(midnight + length, self._time_zone)
                if start < end:
                    yield start, end


def shown(wall: datetime, time_zone: ZoneInfo) -> datetime | None:
    """Return when clocks first show `wall` (naive); None if they skip it."""
    first, last = _folds(wall, time_zone)
    return first if first <= last else None


def _begin(wall: datetime, time_zone: ZoneInfo) -> datetime:
    """Return when clocks first show `wall` or what comes after it."""
    first, last = _folds(wall, time_zone)
    return first if first <= last else _change(last, first, time_zone)


def _end(wall: datetime, time_zone: ZoneInfo) -> datetime:
    """Return from when on clocks no longer show what comes before `wall`."""
    first, last = _folds(wall, time_zone)
    if first > last:
        return _change(last, first, time_zone)
    before = (last - _SECOND).astimezone(time_zone).replace(tzinfo=None)
    return last if before < wall else first


def _folds(wall: datetime, time_zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the two moments that `wall` can stand for; the first is the later one if it is skipped (PEP 495)."""
    first, last = (wall.replace(tzinfo=time_zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, last


def _change(before: datetime, after: datetime, time_zone: ZoneInfo) -> datetime:
    """Return when the clocks are put forward between two moments."""
    seconds = range(int(before.timestamp()), int(after.timestamp()) + 1)
    offset = before.astimezone(time_zone).utcoffset()
    at = bisect_left(seconds, x=True, key=lambda second: _offset(second, time_zone) != offset)
    return datetime.fromtimestamp(seconds[at], UTC)


def _offset(second: int, time_zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(second, time_zone).utcoffset()


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Yield `spans`, which are sorted, without overlaps and seams."""
    known: tuple[datetime, datetime] | None = None
    for start, end in spans:
        if known is not None and start <= known[1]:
            known = known[0], max(known[1], end)
        else:
            if known is not None:
                yield known
            known = start, end
    if known is not None:
        yield known
