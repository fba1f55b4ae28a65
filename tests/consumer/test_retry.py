from datetime import timedelta

import pytest

from tocsin_consumer.errors import PermanentError, RenderError, TemporaryError
from tocsin_consumer.retry import RETRY_AFTER_LIMIT, UNEXPECTED_LIMIT, GiveUp, Retry, after_failure, rest

HOUR = timedelta(hours=1)
YOUNG = timedelta()


def verdict(
    error: Exception, attempts: int = 1, *, age: timedelta = YOUNG, max_age: timedelta = HOUR
) -> Retry | GiveUp:
    return after_failure(error, attempts, age=age, max_age=max_age, backoff=lambda tries: 10.0 * tries)


def test_a_temporary_failure_is_tried_again_later_the_more_often_it_failed() -> None:
    assert verdict(TemporaryError("busy"), 1) == Retry("busy", timedelta(seconds=10))
    assert verdict(TemporaryError("busy"), 3) == Retry("busy", timedelta(seconds=30))


def test_a_service_that_names_a_time_is_not_tried_before() -> None:
    asked = TemporaryError("busy", retry_after=timedelta(seconds=50))
    assert verdict(asked, 1) == Retry("busy", timedelta(seconds=50))
    assert verdict(asked, 9) == Retry("busy", timedelta(seconds=90))


def test_a_service_cannot_ask_for_more_than_an_hour() -> None:
    asked = TemporaryError("busy", retry_after=timedelta(days=400))
    assert rest(asked, 1) == RETRY_AFTER_LIMIT


def test_a_delivery_whose_next_try_would_come_too_late_is_given_up() -> None:
    late = verdict(TemporaryError("busy"), age=HOUR - timedelta(seconds=9))
    assert late == GiveUp("not delivered within 1h: last: busy")
    assert isinstance(verdict(TemporaryError("busy"), age=HOUR - timedelta(seconds=10)), Retry)


@pytest.mark.parametrize("error", [PermanentError("no"), RenderError("no")])
def test_what_would_fail_again_is_given_up_at_once_and_the_receiver_needs_no_rest(error: Exception) -> None:
    assert verdict(error) == GiveUp("no")
    assert rest(error, 5) == timedelta()


def test_an_unexpected_error_is_tried_again_a_few_times_and_its_text_is_not_repeated() -> None:
    error = OSError("https://open.feishu.cn/open-apis/bot/v2/hook/token")
    assert verdict(error, UNEXPECTED_LIMIT - 1) == Retry("internal error: OSError", timedelta(seconds=40))
    assert verdict(error, UNEXPECTED_LIMIT) == GiveUp("internal error: OSError")
