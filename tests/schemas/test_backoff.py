from hypothesis import given
from hypothesis import strategies as st

from tocsin_schemas.backoff import backoff_seconds

FAILURES = st.integers(min_value=1, max_value=10**9)
FIRST = st.floats(min_value=0.001, max_value=60)
LIMIT = st.floats(min_value=60, max_value=3600)


def ceiling(failures: int, first: float, limit: float) -> float:
    return backoff_seconds(failures, first=first, limit=limit, uniform=lambda _low, high: high)


@given(FAILURES, FIRST, LIMIT)
def test_a_wait_is_within_the_upper_half_of_its_ceiling(failures: int, first: float, limit: float) -> None:
    highest = ceiling(failures, first, limit)
    assert highest / 2 <= backoff_seconds(failures, first=first, limit=limit) <= highest <= limit


@given(FAILURES, FIRST, LIMIT)
def test_the_ceiling_never_falls_while_failures_go_on(failures: int, first: float, limit: float) -> None:
    assert ceiling(failures, first, limit) <= ceiling(failures + 1, first, limit)


@given(FIRST, LIMIT)
def test_the_ceiling_starts_at_the_first_wait_and_reaches_the_limit(first: float, limit: float) -> None:
    assert ceiling(1, first, limit) == first
    assert ceiling(64, first, limit) == limit


def test_the_ceiling_doubles() -> None:
    assert [ceiling(failures, 1.0, 60.0) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_two_who_fail_together_do_not_come_back_together() -> None:
    assert len({backoff_seconds(8) for _ in range(20)}) > 1
