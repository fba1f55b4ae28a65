import logging
from datetime import timedelta

import pytest

from tests.consumer.messages import FakeClock
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.throttle import ThrottledLog


def test_a_storm_of_errors_is_cut_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    log = ThrottledLog(logging.getLogger("storm"), RateLimit(2, timedelta(seconds=10)), clock=clock.monotonic)
    for number in range(5):
        log.error("failure %d", number)
    clock.advance(10)
    log.error("failure %d", 5)
    assert caplog.messages == ["failure 0", "failure 1", "failure 5 (and 3 more before)"]
