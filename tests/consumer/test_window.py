from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_consumer.window import Recurrence, Span, Window, shown

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
#: All that happens in the tests happens at such steps, so that to look at each is to look at every moment.
STEP = timedelta(minutes=15)
BERLIN = ZoneInfo("Europe/Berlin")
EVERY_DAY = frozenset(range(7))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(start: str, end: str, *days: int) -> Window:
    times = [timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in (start, end)]
    return Window(frozenset(days) or EVERY_DAY, *times)


def span(now: str, *windows: Window, time_zone: ZoneInfo = BERLIN) -> tuple[str, str | None] | None:
    found = Recurrence(windows, time_zone).span(utc(now))
    if found is None:
        return None
    return f"{found.start:%d %H:%M}", f"{found.end:%d %H:%M}" if found.end else None


def test_a_window_holds_from_its_start_until_just_before_its_end() -> None:
    nightly = window("22:00", "23:30")
    assert span("2026-11-24T20:59:59", nightly) == ("24 21:00", "24 22:30")
    assert span("2026-11-24T22:29:59", nightly) == ("24 21:00", "24 22:30")
    assert span("2026-11-24T22:30:00", nightly) == ("25 21:00", "25 22:30")


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    friday = window("22:00", "04:00", 4)  # the 27th
    assert span("2026-11-28T02:30", friday) == ("27 21:00", "28 03:00")
    assert span("2026-11-27T02:30", friday) == ("27 21:00", "28 03:00")
    assert span("2026-11-28T03:00", friday) == ("04 21:00", "05 03:00")


def test_windows_that_overlap_or_touch_are_one() -> None:
    weekend = window("22:00", "24:00", 4), window("00:00", "24:00", 5, 6), window("23:00", "05:00", 6)
    assert span("2026-11-28T12:00", *weekend) == ("27 21:00", "30 04:00")


def test_what_is_always_open_has_no_end() -> None:
    assert span("2026-11-28T12:00", window("00:00", "24:00")) == ("25 23:00", None)
    assert span("2026-11-28T12:00", window("08:00", "20:00"), window("20:00", "08:00")) == ("26 07:00", None)


def test_a_short_break_once_a_week_is_an_end() -> None:
    almost = window("00:00", "24:00", 0, 1, 2, 3, 4, 5), window("00:00", "23:45", 6)
    assert span("2026-11-24T12:00", *almost) == ("22 23:00", "29 22:45")


#: In Berlin, the hour from 02:00 is skipped on 2026-03-29 at 01:00 UTC, and comes twice on 2026-10-25.
@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("22:00", "04:00", ("28 21:00", "29 02:00")),  # six hours on the wall, five hours long
        ("22:00", "02:30", ("28 21:00", "29 01:00")),
        ("01:30", "02:00", ("29 00:30", "29 01:00")),
        ("02:30", "03:15", ("29 01:00", "29 01:15")),
        ("02:00", "03:00", ("30 00:00", "30 01:00")),  # not in this night
        ("03:00", "04:00", ("29 01:00", "29 02:00")),
    ],
)
def test_where_clocks_skip_an_hour_a_window_is_as_much_shorter(
    start: str, end: str, expected: tuple[str, str]
) -> None:
    assert span("2026-03-28T21:00", window(start, end)) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("22:00", "04:00", ("24 20:00", "25 03:00")),
        ("22:00", "02:30", ("24 20:00", "25 01:30")),
        ("22:00", "02:00", ("24 20:00", "25 00:00")),
        ("02:30", "04:00", ("25 00:30", "25 03:00")),
        ("02:15", "02:45", ("25 00:15", "25 01:45")),
        ("03:00", "04:00", ("25 02:00", "25 03:00")),
    ],
)
def test_where_an_hour_comes_twice_a_window_holds_through_both(
    start: str, end: str, expected: tuple[str, str]
) -> None:
    assert span("2026-10-24T20:00", window(start, end)) == expected


def test_a_time_that_clocks_skip_is_never_shown() -> None:
    assert shown(datetime(2026, 3, 29, 2, 30), BERLIN) is None  # noqa: DTZ001 - what a clock shows
    assert shown(datetime(2026, 10, 25, 2, 30), BERLIN) == utc("2026-10-25T00:30")  # noqa: DTZ001 - as above


def test_after_a_question_about_the_past_the_answers_are_the_same() -> None:
    nightly = Recurrence([window("22:00", "23:00")], BERLIN)
    later = nightly.span(utc("2026-11-24T12:00"))
    assert nightly.span(utc("2026-03-01T12:00")) == Span(utc("2026-03-01T21:00"), utc("2026-03-01T22:00"))
    assert nightly.span(utc("2026-11-24T12:00")) == later


#: Time zones with a change-over of the year 2026: by an hour at night or at midnight, by half an hour, and none.
CHANGES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    ("Africa/Cairo", "2026-04-24"),
    ("Africa/Cairo", "2026-10-30"),
    ("Asia/Shanghai", "2026-11-25"),
]
times = st.integers(0, 95).map(lambda quarter: quarter * STEP)
windows = st.builds(
    Window,
    st.frozensets(st.integers(0, 6), min_size=1),
    times,
    st.integers(1, 96).map(lambda quarter: quarter * STEP),
).filter(lambda one: one.start != one.end)


def steps(start: datetime, days: int) -> list[datetime]:
    return [start + n * STEP for n in range(days * 96)]


def opened(one: Window, time_zone: ZoneInfo, moments: list[datetime]) -> Iterator[datetime]:
    """Yield the moments at which a window is open: from the first to the last at which a clock is within it."""
    walls = [at.astimezone(time_zone).replace(tzinfo=None) for at in moments]
    midnight = walls[0].replace(hour=0, minute=0) - DAY
    while midnight < walls[-1]:
        midnight += DAY
        length = one.end if one.end > one.start else one.end + DAY
        begin, end = midnight + one.start, midnight + length
        within = [index for index, wall in enumerate(walls) if begin <= wall < end]
        if midnight.weekday() in one.days and within:
            yield from moments[within[0] : within[-1] + 1]


@given(st.lists(windows, min_size=1, max_size=3), st.sampled_from(CHANGES))
def test_a_week_with_a_change_over_is_what_a_look_at_each_moment_of_it_finds(
    some: list[Window], change: tuple[str, str]
) -> None:
    time_zone, middle = ZoneInfo(change[0]), utc(change[1])
    moments = steps(middle - 6 * DAY, 24)
    open_at = {at for one in some for at in opened(one, time_zone, moments)}
    recurrence = Recurrence(some, time_zone)
    for index, now in enumerate(moments[2 * 96 : 9 * 96], start=2 * 96):
        found = recurrence.span(now)
        assert found is not None
        assert (found.start <= now) == (now in open_at)
        change_at = found.end if found.start <= now else found.start
        rest = (at for at in moments[index:] if (at in open_at) != (now in open_at))
        assert change_at == next(rest, None)
