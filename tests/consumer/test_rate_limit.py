from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tocsin_consumer.rate_limit import RateLimit, SlidingWindow

SECOND = timedelta(seconds=1)


def test_without_limits_nothing_waits() -> None:
    window = SlidingWindow([])
    window.note(0.0)
    assert window.wait_seconds(0.0) == 0.0


def test_one_more_than_the_limit_waits_until_the_oldest_is_out_of_the_span() -> None:
    window = SlidingWindow([RateLimit(2, SECOND)])
    window.note(10.0)
    window.note(10.25)
    assert window.wait_seconds(10.5) == 0.5
    assert window.wait_seconds(11.0) == 0.0


def test_of_several_limits_the_strictest_at_the_moment_holds() -> None:
    window = SlidingWindow([RateLimit(1, SECOND), RateLimit(2, 60 * SECOND)])
    window.note(0.0)
    assert window.wait_seconds(0.5) == 0.5
    window.note(1.0)
    assert window.wait_seconds(2.0) == 58.0


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 10)), max_size=3),
    st.lists(st.floats(0, 3, allow_nan=False), max_size=60),
)
def test_whoever_waits_as_told_never_exceeds_any_limit(limits: list[tuple[int, int]], pauses: list[float]) -> None:
    window = SlidingWindow([RateLimit(count, per * SECOND) for count, per in limits])
    now, noted = 0.0, []
    for pause in pauses:
        now += pause
        now += window.wait_seconds(now)
        window.note(now)
        noted.append(now)
    for count, per in limits:
        for start, end in zip(noted, noted[count:], strict=False):
            assert end - start >= per - 1e-9
