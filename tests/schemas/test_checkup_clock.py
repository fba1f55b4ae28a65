from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tocsin_schemas.checkup import Mark
from tocsin_schemas.checkup_clock import check_clock

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def date(**ago: float) -> str:
    return format_datetime(NOW - timedelta(**ago), usegmt=True)


@pytest.mark.parametrize("seconds", [-30, 0, 30])
def test_half_a_minute_is_the_way_of_an_answer(seconds: float) -> None:
    assert check_clock(date(seconds=seconds), NOW, whose="it").mark == Mark.OK


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        ({"seconds": 31}, "31 seconds ahead of"),
        ({"minutes": 7}, "7 minutes ahead of"),
        ({"hours": -5}, "5 hours behind"),
        ({"days": 20_000}, "20000 days ahead of"),
    ],
)
def test_more_is_a_warning_that_says_which_way_and_how_far(ago: dict[str, float], text: str) -> None:
    finding = check_clock(date(**ago), NOW, whose="the API server")
    assert finding.mark == Mark.WARNING
    assert finding.text == f"the clock of this machine is {text} that of the API server"
    assert "2026-11-25 12:00:00 UTC" in finding.cause
    assert "timedatectl" in finding.run


def test_beyond_what_the_server_takes_it_is_a_failure() -> None:
    limit = timedelta(hours=1)
    assert check_clock(date(minutes=59), NOW, whose="it", limit=limit).mark == Mark.WARNING
    finding = check_clock(date(minutes=61), NOW, whose="it", limit=limit)
    assert finding.mark == Mark.FAILED
    assert finding.text.endswith("too much for it")


@pytest.mark.parametrize("sent", [None, "", "yesterday"])
def test_a_server_that_tells_no_time_is_no_trouble(sent: str | None) -> None:
    assert check_clock(sent, NOW, whose="it").text == "it does not tell its time"


def test_a_date_without_a_zone_is_utc() -> None:
    assert check_clock("Wed, 25 Nov 2026 12:00:00 -0000", NOW, whose="it").text == "agrees with it"
