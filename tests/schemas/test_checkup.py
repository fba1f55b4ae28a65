import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.schemas.checkups import Report
from tocsin_schemas.checkup import (
    Checkup,
    Finding,
    Mark,
    Step,
    check_configuration,
    failed,
    ndjson,
    ok,
    perform,
    text,
    warning,
    within,
)
from tocsin_schemas.document import ConfigurationError, Problem

FAILURE: Finding[Any] = failed("it is not there", cause="somebody took it", run="look for it")


def test_a_step_gets_what_the_steps_before_it_have_found() -> None:
    report = Report()
    first = report.checkup.step("first", lambda: ok("one", 1))
    second: Step[int] = report.checkup.step("second", lambda: warning("two", cause="c", run="r", value=2))
    third = report.checkup.step("third", lambda one, two: ok("three", one + two), first, second)
    assert third.finding.value == 3
    assert report.marks() == {"first": Mark.OK, "second": Mark.WARNING, "third": Mark.OK}


def test_what_needs_a_failed_step_is_skipped_and_names_the_one_to_mend() -> None:
    report = Report()
    first = report.checkup.step("first", lambda: FAILURE)
    second = report.checkup.step("second", lambda _: ok("never", 2), first)
    report.checkup.step("third", lambda _: ok("never", 2), second)
    assert report["second"].mark == report["third"].mark == Mark.SKIPPED
    assert report["third"].text == "not looked at: it needs first"


def test_a_check_that_breaks_is_a_failure_and_the_next_is_made_all_the_same() -> None:
    report = Report()
    report.checkup.step("odd", lambda: ok(str(1 // 0)))
    report.checkup.step("next", lambda: ok("fine"))
    assert report["odd"].text == "the check itself broke: ZeroDivisionError"
    assert report["odd"].run
    assert report["next"].mark == Mark.OK


@pytest.mark.parametrize(
    ("findings", "code"),
    [([ok("")], 0), ([ok(""), warning("", cause="c", run="r")], 0), ([FAILURE, ok("")], 1)],
)
def test_only_failures_make_the_exit_code_1(findings: list[Finding[Any]], code: int) -> None:
    report = Report()
    for index, finding in enumerate(findings):
        report.checkup.step(str(index), lambda finding=finding: finding)
    assert report.checkup.exit_code == code


def test_a_step_is_told_at_once_and_not_at_the_end() -> None:
    told: list[str] = []
    checkup = Checkup(lambda step: told.append(step.name))
    checkup.step("first", lambda: ok(""))
    checkup.step("second", lambda: ok(",".join(told)))
    assert checkup.steps[1].finding.text == "first"


def test_a_failure_is_one_line_and_below_it_the_cause_and_what_to_run() -> None:
    assert text(Step("broker TCP", FAILURE)).splitlines() == [
        "FAILED   broker TCP          it is not there",
        "         likely: somebody took it",
        "         next:   look for it",
    ]


def test_programs_get_an_object_per_step() -> None:
    assert json.loads(ndjson(Step("broker TCP", FAILURE))) == {
        "step": "broker TCP",
        "mark": "FAILED",
        "text": "it is not there",
        "likely": "somebody took it",
        "next": "look for it",
    }
    assert json.loads(ndjson(Step("a", ok("b")))) == {"step": "a", "mark": "ok", "text": "b"}


def test_the_summary_counts_what_there_is() -> None:
    report = Report()
    broken = report.checkup.step("first", lambda: FAILURE)
    report.checkup.step("second", lambda: ok(""))
    report.checkup.step("third", lambda _: ok(""), broken)
    assert report.checkup.summary() == "1 ok, 1 FAILED, 1 skipped"


def test_all_that_is_wrong_with_a_configuration_is_told_in_its_step(tmp_path: Path) -> None:
    def load() -> None:
        raise ConfigurationError([Problem("f:1", "a", "is wrong"), Problem("f:2", "b", "is wrong too")])

    finding = check_configuration(load, str(tmp_path / "f"), "tocsin-producer")
    first, second, *rest = text(Step("configuration", finding)).splitlines()
    assert first == "FAILED   configuration       f:1: a: is wrong"
    assert second == " " * 29 + "f:2: b: is wrong too"
    assert rest[-1] == f"         next:   tocsin-producer check --config {tmp_path}/f"


@pytest.mark.parametrize(
    ("as_json", "finding", "code", "last"),
    [
        (False, ok(""), 0, "2 ok"),
        (False, FAILURE, 1, "1 ok, 1 FAILED"),
        (True, FAILURE, 1, ndjson(Step("first", FAILURE))),
    ],
)
def test_all_steps_of_one_side_end_with_what_they_came_to(
    as_json: bool, finding: Finding[Any], code: int, last: str
) -> None:
    told: list[str] = []

    def examine(checkup: Checkup, _settings: str) -> None:
        checkup.step("first", lambda: finding)

    options: dict[str, Any] = {"name": "file.yaml", "command": "tocsin-producer", "as_json": as_json}
    assert perform(lambda: "settings", examine, **options, echo=told.append) == code
    assert told[-1] == last
    assert told[0] == (ndjson if as_json else text)(
        Step("configuration", ok("file.yaml is fine, and the files that it names can be read"))
    )


def test_with_a_wrong_configuration_nothing_else_is_looked_at() -> None:
    def load() -> str:
        raise ConfigurationError([Problem("f:1", "a", "is wrong")])

    told: list[str] = []
    code = perform(
        load,
        lambda _checkup, _settings: pytest.fail("looked"),
        name="f",
        command="tocsin-producer",
        as_json=False,
        echo=told.append,
    )
    assert (code, told[-1]) == (2, "1 FAILED")


def test_what_a_server_says_does_not_act_on_a_terminal() -> None:
    finding: Finding[Any] = failed("a\x1b[2Jb", cause="c\x07", run="d\u202e")
    assert all(line.isprintable() for line in Step("it", finding).lines())


def test_what_takes_too_long_is_given_up() -> None:
    begun, released = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        released.wait(20)

    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        within(0.05, hang, give_up=released.set)
    assert begun.is_set()
    assert released.is_set()


def test_what_is_in_time_is_returned_and_what_it_raises_is_raised() -> None:
    def fail() -> None:
        raise KeyError("why")

    assert within(20, lambda: 7) == 7
    with pytest.raises(KeyError, match="why"):
        within(20, fail)
