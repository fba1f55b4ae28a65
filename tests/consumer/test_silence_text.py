import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.consumer.messages import NOW
from tests.consumer.test_silence import nightly, silence
from tests.consumer.test_window import window
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.silence import Silenced
from tocsin_consumer.silence_text import (
    held_line,
    matches_everything,
    parse_match,
    parse_time,
    recurring_line,
    recurring_object,
    stored_line,
    stored_object,
)
from tocsin_consumer.window import Span

HOUR = timedelta(hours=1)
SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def test_a_match_is_written_field_by_field() -> None:
    assert parse_match(["cluster=edge-.*", "reason=BackOff|Failed", "message=a=b"]) == MatchSettings(
        cluster="edge-.*", reason="BackOff|Failed", message="a=b"
    )
    assert parse_match([]) == MatchSettings()


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["edge-1"], "expected FIELD=PATTERN such as cluster=edge-.*, found 'edge-1'"),
        (["=edge-1"], "expected FIELD=PATTERN such as cluster=edge-.*, found '=edge-1'"),
        (["clustr=x"], "clustr: unknown key; did you mean cluster?"),
        (["clustr=x", "reason=("], "clustr: unknown key; did you mean cluster?; reason: expected a regular exp"),
        (["reason=*Failed"], "reason: expected a regular expression, found '*Failed': nothing to repeat"),
        (["type=Waring"], "type: expected what matches Normal or Warning, found 'Waring'"),
        (["reason=A", "reason=B"], "reason stands there twice; write reason=A|B"),
        (["cluster=~edge-.*"], "every pattern is a regular expression; write cluster=edge-.*"),
        (["cluster!=lab"], "cluster: there is no !=; write cluster=(?!lab$).*"),
        (["cluster!=~lab-.*"], "cluster: there is no !=; write cluster=(?!lab-.*$).*"),
    ],
)
def test_a_match_that_is_wrong_says_how_it_is_written(texts: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(problem)):
        parse_match(texts)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, True),
        ({"cluster": ".*"}, True),
        ({"cluster": ".+", "kind": "(.*)", "type": "Normal|Warning", "severity": "[a-z]+"}, True),
        ({"cluster": "(?!lab$).*"}, True),
        ({"cluster": ".*", "reason": "BackOff"}, False),
        ({"type": "Warning"}, False),
        ({"cluster": ["edge-1"]}, False),
        ({"cluster": "edge-.*"}, False),
    ],
)
def test_what_takes_whatever_comes_matches_everything(match: dict[str, Any], expected: bool) -> None:
    assert matches_everything(MatchSettings.model_validate(match)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-27T06:00", "2026-11-26T22:00"),
        (" 2026-11-27 06:00:30 ", "2026-11-26T22:00:30"),
        ("2026-11-27T06:00Z", "2026-11-27T06:00"),
        ("2026-11-27T06:00+02:00", "2026-11-27T04:00"),
        ("2026-11-27T06:00 Europe/Berlin", "2026-11-27T05:00"),
        ("2026-10-25 02:30 Europe/Berlin", "2026-10-25T00:30"),
    ],
)
def test_a_time_is_local_unless_it_says_where(text: str, expected: str) -> None:
    assert parse_time(text, SHANGHAI) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tomorrow", "expected a time such as 2026-11-27T06:00, "),
        ("2026-11-27", "expected a time such as 2026-11-27T06:00, "),
        ("2026-11-27T06:00Z Asia/Shanghai", "expected a time such as 2026-11-27T06:00, "),
        ("2026-02-30T06:00", "there is no such time as '2026-02-30T06:00': day is out of range for month"),
        (
            "2026-11-27T06:00 Asia/Peking",
            "there is no time zone 'Asia/Peking'; expected an IANA name such as Asia/",
        ),
        ("2026-11-27T06:00 ../etc", "there is no time zone '../etc'; expected an IANA name"),
        ("9999-12-31T23:59", "expected a time of this age, found '9999-12-31T23:59'"),
        (
            "2026-03-29T02:30 Europe/Berlin",
            "there is no such time as '2026-03-29T02:30 Europe/Berlin': the clocks of Europe/Berlin are",
        ),
    ],
)
def test_a_time_that_is_wrong_says_how_one_is_written(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(problem)):
        parse_time(text, SHANGHAI)


def test_a_line_tells_what_is_held_until_when_by_whom_and_why() -> None:
    one = silence(cluster="edge-.*", reason=["BackOff", "Failed"])
    assert stored_line(one, NOW, SHANGHAI) == (
        "k7wq   active   until 2026-11-24 17:00 UTC+8  cluster=edge-.* reason=BackOff|Failed  (lena: planned)"
    )
    assert stored_line(one, NOW - 2 * HOUR, SHANGHAI).startswith(
        "k7wq   pending  2026-11-24 15:00 UTC+8 until 2026-11-24 17:00 UTC+8  cluster"
    )
    assert stored_line(one, NOW + HOUR, SHANGHAI).startswith(
        "k7wq   expired  ended 2026-11-24 17:00 UTC+8  cluster"
    )


def test_a_line_of_a_window_tells_this_one_or_the_next() -> None:
    one, span = nightly(window("06:00", "09:00")), Span(NOW, NOW + HOUR)
    assert recurring_line(one, span, NOW, BERLIN) == (
        "nightly active   until 2026-11-24 10:00 UTC+1  cluster=edge-.*  (ops: backups)"
    )
    assert recurring_line(one, span, NOW - HOUR, BERLIN).startswith(
        "nightly pending  2026-11-24 09:00 UTC+1 until 2026-11-24 10:00 UTC+1  cluster"
    )
    assert recurring_line(one, Span(NOW, None), NOW, BERLIN).startswith("nightly active   for ever  cluster")


def test_what_people_write_does_nothing_to_a_terminal() -> None:
    held = Silenced("k7wq", is_recurring=False, author="", comment="one\n\x1b[31mtwo", until=NOW)
    assert held_line(held, BERLIN) == "silence k7wq until 2026-11-24 09:00 UTC+1  (one \\x1b[31mtwo)"


def test_an_object_of_json_has_what_a_line_has() -> None:
    assert stored_object(silence(), NOW) == {
        "kind": "silence",
        "id": "k7wq",
        "state": "active",
        "match": {"cluster": "edge-1"},
        "starts_at": "2026-11-24T07:00:00+00:00",
        "ends_at": "2026-11-24T09:00:00+00:00",
        "author": "lena",
        "comment": "planned",
        "created_at": "2026-11-24T07:00:00+00:00",
    }
    assert recurring_object(nightly(), Span(NOW, None), NOW - HOUR) == {
        "kind": "window",
        "name": "nightly",
        "state": "pending",
        "match": {"cluster": "edge-.*"},
        "starts_at": "2026-11-24T08:00:00+00:00",
        "ends_at": None,
        "author": "ops",
        "comment": "backups",
    }
