from hypothesis import given
from hypothesis import strategies as st

from tocsin_consumer.timers import Timers


def over(timers: Timers, now: float, *, limit: int = 100) -> list[str]:
    return timers.over(now, limit=limit)


def test_a_wait_is_over_at_its_time_and_told_until_it_is_set_anew() -> None:
    timers = Timers()
    timers.set("a", 5)
    assert over(timers, 4.9) == []
    assert over(timers, 5) == over(timers, 5) == ["a"]
    timers.set("a", 9)
    assert over(timers, 8) == []
    assert over(timers, 9) == ["a"]


def test_the_first_to_be_over_is_told_first_and_no_more_than_asked_for() -> None:
    timers = Timers()
    for number in (3, 1, 2):
        timers.set(str(number), number)
    assert over(timers, 5, limit=2) == ["1", "2"]
    assert over(timers, 5) == ["1", "2", "3"]


def test_a_cancelled_wait_is_never_over() -> None:
    timers = Timers()
    timers.set("a", 5)
    timers.cancel("a")
    timers.cancel("b")
    assert over(timers, 9) == []
    timers.set("a", 6)
    assert over(timers, 9) == ["a"]


def test_a_key_that_is_set_over_and_over_takes_no_more_room() -> None:
    timers = Timers()
    for at in range(10_000):
        timers.set("a", at + 100)
        timers.set("b", at + (100 if at % 2 else 10))
        over(timers, at)
    assert len(timers._heap) < 200


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 20)), max_size=30), st.integers(0, 20)
)
def test_what_was_set_last_counts(sets: list[tuple[str, int | None]], now: int) -> None:
    timers = Timers()
    last: dict[str, int | None] = {}
    for number, (key, at) in enumerate(sets):
        last[key] = at
        if at is None:
            timers.cancel(key)
        else:
            timers.set(key, at)
        over(timers, number % 7)
    assert sorted(over(timers, now)) == sorted(key for key, at in last.items() if at is not None and at <= now)
