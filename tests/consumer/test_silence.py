from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import NOW, event
from tests.consumer.test_window import STEP, opened, steps, window, windows
from tocsin_consumer.match import MatchSettings, match_texts
from tocsin_consumer.silence import RecurringSilence, Silence, Silenced, Silences, State
from tocsin_consumer.window import Window

HOUR = timedelta(hours=1)
UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
TEXTS = match_texts(event())


def silence(
    id_: str = "k7wq", *, start: datetime = NOW - HOUR, end: datetime = NOW + HOUR, **match: Any
) -> Silence:
    wanted = MatchSettings.model_validate(match or {"cluster": "edge-1"})
    return Silence(wanted, start, end, "lena", "planned", id=id_, created_at=NOW - HOUR)


def nightly(*some: Window, name: str = "nightly", zone: ZoneInfo = UTC_ZONE, **match: Any) -> RecurringSilence:
    wanted = MatchSettings.model_validate(match or {"cluster": "edge-.*"})
    return RecurringSilence(name, wanted, some, zone, "ops", "backups")


def test_a_silence_holds_what_it_matches_from_its_start_until_just_before_its_end() -> None:
    silences = Silences([silence()])
    assert silences.silenced_by(TEXTS, NOW) == Silenced(
        "k7wq", is_recurring=False, author="lena", comment="planned", until=NOW + HOUR
    )
    assert silences.silenced_by(TEXTS, NOW - HOUR) is not None
    assert silences.silenced_by(TEXTS, NOW - HOUR - STEP) is None
    assert silences.silenced_by(TEXTS, NOW + HOUR) is None
    assert silences.silenced_by(match_texts(event(cluster="edge-2")), NOW) is None


def test_every_field_of_a_silence_has_to_match() -> None:
    silences = Silences([silence(cluster="edge-.*", reason=["Failed", "BackOff"], kind="Pod")])
    assert silences.silenced_by(TEXTS, NOW) is not None
    assert silences.silenced_by(match_texts(event(kind="Job")), NOW) is None


def test_a_window_holds_while_it_is_open() -> None:
    silences = Silences([], [nightly(window("06:00", "09:30"))])
    held = silences.silenced_by(TEXTS, NOW)
    assert held == Silenced(
        "nightly", is_recurring=True, author="ops", comment="backups", until=NOW.replace(hour=9, minute=30)
    )
    assert silences.silenced_by(TEXTS, NOW.replace(hour=5)) is None


def test_a_window_is_in_its_own_time_zone() -> None:
    silences = Silences([], [nightly(window("06:00", "09:30"), zone=ZoneInfo("Asia/Shanghai"))])
    assert silences.silenced_by(TEXTS, NOW) is None
    assert silences.silenced_by(TEXTS, NOW - 7 * HOUR) is not None


def test_of_several_silences_the_one_that_ends_last_is_told() -> None:
    some = [silence("a"), silence("b", end=NOW + 3 * HOUR), silence("c", end=NOW + 2 * HOUR)]
    held = Silences(some).silenced_by(TEXTS, NOW)
    assert held is not None
    assert (str(held), held.until) == ("silence b", NOW + 3 * HOUR)
    assert [held.name for held in Silences(some).holding(TEXTS, NOW)] == ["a", "b", "c"]


def test_silences_that_relieve_each_other_end_with_the_last() -> None:
    first = silence("a", end=NOW + HOUR)
    second = silence("b", start=NOW + HOUR, end=NOW + 2 * HOUR)
    third = nightly(window("09:45", "12:00"))
    other = silence("c", start=NOW, end=NOW + 9 * HOUR, reason="Failed")
    held = Silences([first, second, other], [third]).silenced_by(TEXTS, NOW)
    assert held is not None
    assert (held.name, held.until) == ("a", NOW.replace(hour=12))


def test_silences_that_relieve_each_other_for_ever_have_no_end() -> None:
    both = [nightly(window("00:00", "12:00"), name="early"), nightly(window("12:00", "24:00"), name="late")]
    for stored in ([], [silence(end=NOW + timedelta(days=90))]):
        held = Silences(stored, both).silenced_by(TEXTS, NOW)
        assert held is not None
        assert held.until is None


def test_a_silence_that_ends_long_after_windows_that_relieve_each_other_has_an_end() -> None:
    end = NOW + timedelta(days=90)
    held = Silences([silence(end=end)], [nightly(window("07:00", "09:00"))]).silenced_by(TEXTS, NOW)
    assert held is not None
    assert held.until == end + HOUR


def test_a_silence_that_was_ended_before_it_began_never_holds() -> None:
    ended = silence(start=NOW + HOUR, end=NOW)
    assert Silences([ended]).silenced_by(TEXTS, NOW + HOUR) is None
    assert Silences([ended]).next_change_at(NOW - HOUR) is None
    assert ended.state(NOW) == State.EXPIRED


def test_a_silence_is_pending_then_active_then_expired() -> None:
    one = silence()
    moments = (NOW - 2 * HOUR, NOW - HOUR, NOW, NOW + HOUR)
    assert [str(one.state(at)) for at in moments] == ["pending", "active", "active", "expired"]


def test_the_next_change_is_the_next_begin_or_end_of_any_silence() -> None:
    silences = Silences(
        [silence("a"), silence("b", start=NOW + 30 * STEP, end=NOW + 40 * STEP)],
        [nightly(window("09:30", "10:00"), cluster="nowhere")],
    )
    found: list[str] = []
    at = NOW - 2 * HOUR
    while len(found) < 6:
        change = silences.next_change_at(at)
        assert change is not None
        found.append(f"{change:%d %H:%M}")
        at = change
    assert found == ["24 07:00", "24 09:00", "24 09:30", "24 10:00", "24 15:30", "24 18:00"]
    assert Silences([silence()]).next_change_at(NOW + HOUR) is None
    assert Silences([]).next_change_at(NOW) is None
    assert Silences([], [nightly(window("00:00", "24:00"))]).next_change_at(NOW) is None


def test_through_a_change_over_a_window_stays_by_the_clock() -> None:
    """In Berlin it is UTC+1 until 2026-03-29 01:00 UTC, and from 2026-10-25 01:00 UTC on."""
    silences = Silences([], [nightly(window("22:00", "04:00"), zone=BERLIN)])
    for now, until in (("2026-03-28T22:30", "2026-03-29T02:00"), ("2026-10-24T22:30", "2026-10-25T03:00")):
        held = silences.silenced_by(TEXTS, datetime.fromisoformat(now).replace(tzinfo=UTC))
        assert held is not None
        assert held.until == datetime.fromisoformat(until).replace(tzinfo=UTC)


WEEK = steps(datetime(2026, 10, 20, tzinfo=UTC), 24)
some_stored = st.builds(
    lambda start, length: silence(start=WEEK[start], end=WEEK[start] + length * STEP),
    st.integers(0, 10 * 96),
    st.integers(-10, 200),
)


@given(
    st.lists(some_stored, max_size=4),
    st.lists(windows, max_size=2),
    st.lists(windows, max_size=1),
    st.integers(2 * 96, 9 * 96),
)
def test_who_is_silenced_and_until_when_is_what_a_look_at_each_moment_finds(
    stored: list[Silence], in_berlin: list[Window], in_utc: list[Window], index: int
) -> None:
    recurring = [nightly(*in_berlin, zone=BERLIN, name="berlin"), nightly(*in_utc, name="utc")]
    held_by = [{at for at in WEEK if one.starts_at <= at < one.ends_at} for one in stored]
    held_by += [{at for one in in_berlin for at in opened(one, BERLIN, WEEK)}]
    held_by += [{at for one in in_utc for at in opened(one, UTC_ZONE, WEEK)}]
    silences, now = Silences(stored, recurring), WEEK[index]
    held = silences.silenced_by(TEXTS, now)
    assert (held is not None) == any(now in moments for moments in held_by)
    if held is not None:
        rest = (at for at in WEEK[index:] if not any(at in moments for moments in held_by))
        assert held.until == next(rest, None)
    changes = (at for at in WEEK[index:] if any((at in moments) != (now in moments) for moments in held_by))
    assert silences.next_change_at(now) == next(changes, None)


@pytest.mark.parametrize("is_recurring", [True, False])
def test_a_silence_is_told_by_its_kind_and_name(is_recurring: bool) -> None:
    held = Silenced("x", is_recurring, "", "", None)
    assert str(held) == ("window x" if is_recurring else "silence x")
