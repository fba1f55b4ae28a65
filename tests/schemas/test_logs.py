import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tocsin_schemas.logs import JsonFormatter, configure

OURS = ("tocsin_producer", "tocsin_consumer", "tocsin_schemas")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put the process's logging back to what it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    for name in OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    logger = logging.getLogger("tocsin_schemas.some.module")
    logger.info("two\nlines of %s", "磁盘满 🔥")
    logger.warning("next")
    first, second = lines(capsys)
    assert first["message"] == "two\nlines of 磁盘满 🔥"
    assert (first["level"], first["logger"], first["thread"]) == (
        "info",
        "tocsin_schemas.some.module",
        "MainThread",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert second["level"] == "warning"


def test_extra_fields_stand_beside_the_others_and_replace_none(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    extra = {"uid": "5b9e", "count": 14, "level": "forged", "time": "forged", "thing": {1, 2}.__class__}
    logging.getLogger("tocsin_consumer").info("event", extra=extra)
    (line,) = lines(capsys)
    assert (line["uid"], line["count"], line["level"]) == ("5b9e", 14, "info")
    assert line["time"] != "forged"
    assert line["thing"] == "<class 'set'>"


def test_a_traceback_is_a_field_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    try:
        int("absent")
    except ValueError:
        logging.getLogger("tocsin_producer").exception("failed")
    (line,) = lines(capsys)
    assert line["message"] == "failed"
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["traceback"].endswith("'absent'")


def test_half_a_character_does_not_stop_a_line() -> None:
    record = logging.makeLogRecord({"msg": "half \ud800", "levelname": "INFO"})
    line = JsonFormatter().format(record).encode("utf-8", "backslashreplace")
    assert json.loads(line)["message"] == "half \ud800"


def test_the_time_is_utc_with_milliseconds() -> None:
    record = logging.makeLogRecord({"created": 1795425534.0, "msecs": 7.9})
    assert json.loads(JsonFormatter().format(record))["time"] == "2026-11-23T09:18:54.007Z"


def test_text_is_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    logging.getLogger("tocsin_producer").info("hello %s", "there")
    assert re.fullmatch(r"\S+ \S+ INFO    tocsin_producer: hello there\n", capsys.readouterr().err)


@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_told(level: Any, told: int, capsys: pytest.CaptureFixture[str]) -> None:
    configure(level, "json")
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("tocsin_schemas.session").log(number, "x")
    assert len(lines(capsys)) == told


def test_libraries_only_warn_since_urllib3_would_log_the_address_of_a_webhook(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("debug", "json")
    logging.getLogger("urllib3.connectionpool").debug("POST /open-apis/bot/v2/hook/SECRET")
    logging.getLogger("some.library").warning("careful")
    assert [line["message"] for line in lines(capsys)] == ["careful"]


def test_configuring_again_replaces_what_was(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", "text")
    configure("error", "json")
    logging.getLogger("tocsin_producer").error("once")
    assert len(lines(capsys)) == 1
