"""What the document about inhibition and silences says, the code does."""

import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from tests.docs.markdown import blocks, code_in, command_lines, tables
from tests.docs.test_docs import ROOT, placed
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.match import match_texts, match_words
from tocsin_consumer.samples import samples
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.silence import Silences
from tocsin_consumer.silence_command import SILENCED
from tocsin_consumer.silence_text import parse_time, time_text
from tocsin_consumer.store import Store
from tocsin_schemas.event import EventPayload

DOCUMENT = ROOT / "docs" / "silences.md"
SHANGHAI = ZoneInfo("Asia/Shanghai")


def table(column: str) -> list[dict[str, str]]:
    (rows,) = (rows for rows in tables(DOCUMENT) if column in rows[0])
    return rows


@pytest.fixture
def settings(tmp_path: Path) -> ConsumerSettings:
    (text,) = blocks(DOCUMENT, "yaml")
    return ConsumerSettings.model_validate(yaml.safe_load(placed(text, tmp_path)))


def test_the_rules_that_are_told_are_those_that_hold_by_default() -> None:
    told = [
        (*(code_in(row[column])[0] for column in list(row)[:3]), row["of the same"])
        for row in table("of the same")
    ]
    assert told == [
        (rule.name, match_words(rule.source), match_words(rule.target), ", ".join(rule.equal))
        for rule in DEFAULT_RULES
    ]


@pytest.mark.parametrize("row", table("held until"), ids=lambda row: row["at"])
def test_an_event_is_held_as_the_table_says(settings: ConsumerSettings, row: dict[str, str]) -> None:
    event = EventPayload.model_validate(
        {
            "v": 1,
            "cluster": row["cluster"],
            "ns": row["namespace"],
            "type": "Warning",
            "reason": "BackOff",
            "kind": "Pod",
            "name": "x",
            "msg": "m",
            "count": 1,
            "first": 0,
            "last": 0,
            "uid": "u",
            "boot": 1,
            "seq": 1,
        }
    )
    silences = Silences([], settings.recurring_silences)
    held = silences.silenced_by(match_texts(event), parse_time(row["at"], SHANGHAI))
    until = held.until if held else None
    assert (time_text(until, SHANGHAI) if until else "not") == row["held until"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where somebody has the configuration of the document and a consumer that has run."""
    (text,) = blocks(DOCUMENT, "yaml")
    (tmp_path / "consumer.yaml").write_text(placed(text, tmp_path), encoding="utf-8")
    Store(f"sqlite:///{tmp_path}/tocsin.db").close()
    return tmp_path


def run(folder: Path, words: list[str]) -> "subprocess.CompletedProcess[str]":
    program, *arguments = words
    assert program == "tocsin-consumer"
    return subprocess.run(
        [sys.executable, "-m", "tocsin_consumer", *arguments],
        cwd=folder,
        env={**os.environ, "TOCSIN_STORE": f"sqlite:///{folder}/tocsin.db"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_commands_of_the_document_work_one_after_the_other(folder: Path) -> None:
    answers = [run(folder, words) for words in command_lines(DOCUMENT, tested_only=True)]
    assert [answer.returncode for answer in answers] == [0, 0, 0], [answer.stderr for answer in answers]
    first, second, listed = (answer.stdout for answer in answers)
    named = [line.split()[0] for line in listed.splitlines()]
    assert named == [first.strip(), second.strip(), "nightly-backup", "line-2-service"]
    ended = run(folder, ["tocsin-consumer", "silence", "expire", "--config", "consumer.yaml", first.strip()])
    assert ended.returncode == 0


def test_check_answers_with_the_exit_codes_that_are_told(folder: Path) -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"The exit code is 0 if nothing does, {SILENCED} if something does, 1 or 2 if" in text
    of_sample, of_file = [words for words in command_lines(DOCUMENT) if "check" in words]
    assert run(folder, of_file).returncode == 1  # there is no such file yet
    (folder / "event.json").write_text(
        samples()["image-pull"].event.model_dump_json(by_alias=True, exclude_none=True)
    )
    assert run(folder, of_file).returncode == SILENCED  # a Friday's night
    assert run(folder, [*of_file, "--cluster", "lab-1"]).returncode == 0
    add = ["tocsin-consumer", "silence", "add", "--config", "consumer.yaml", "--comment", "c", "--for", "1h"]
    assert run(folder, [*add, "--match", "cluster=edge-042"]).returncode == 0
    assert run(folder, of_sample).returncode == SILENCED
