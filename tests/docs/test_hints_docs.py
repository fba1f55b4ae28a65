"""What the document on hints says is what the code does."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from docs.hints import FILE, main
from tests.consumer.messages import event
from tests.docs.markdown import blocks, code_in, tables
from tests.docs.test_docs import placed
from tocsin_consumer.hint_settings import overrides
from tocsin_consumer.hints import PLACEHOLDERS, TABLE, hint_of
from tocsin_consumer.receivers.feishu_text import DEFAULT_TEXT
from tocsin_consumer.render import Template
from tocsin_consumer.samples import samples
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.view import View

TEXT = FILE.read_text(encoding="utf-8")


def test_the_table_is_current() -> None:
    assert main(["--check"]) == 0, "make reference writes it anew"


def test_the_table_has_a_row_for_each_built_in_hint() -> None:
    (rows,) = tables(FILE)
    assert [code_in(row["reason"]) for row in rows] == [[str(one) for one in entry.reasons] for entry in TABLE]


def test_a_check_tells_that_it_is_not_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hints.md"
    file.write_text(TEXT.rsplit("\n", 2)[0] + "\n", encoding="utf-8")
    assert main(["--check"], file) == 1
    assert capsys.readouterr().out == "hints.md is not current\n"
    assert main([], file) == 0
    assert file.read_text(encoding="utf-8") == TEXT


def test_what_is_shown_of_an_event_is_what_a_text_says() -> None:
    view = View.of(samples()["back-off"], ZoneInfo("UTC"), language="en")
    (shown,) = blocks(FILE, "text")
    assert Template(DEFAULT_TEXT).render(view).endswith(f"\n{shown.rstrip()}")


def test_the_example_says_what_is_told_of_it(tmp_path: Path) -> None:
    (text,) = blocks(FILE, "yaml")
    hints = overrides(ConsumerSettings.model_validate(yaml.safe_load(placed(text, tmp_path))).hints)
    crash = hint_of(event(msg="Back-off restarting failed container"), hints, "en")
    node = hint_of(event(kind="Node", ns=None, name="pi-3", reason="NodeNotReady"), hints, "zh")
    assert crash
    assert node
    assert crash.command == "kubectl --context edge-1 -n production logs api-0 --previous"
    assert node.command == "ssh pi-3 journalctl -u k3s --lines 50"
    assert hint_of(event(kind="Node", reason="InvalidDiskCapacity"), hints, "en") is None


def test_the_placeholders_are_those_that_there_are() -> None:
    line = next(line for line in TEXT.splitlines() if line.startswith("- **A command** may name"))
    assert [name for name in code_in(line) if name[1:-1] in PLACEHOLDERS] == [
        f"{{{name}}}" for name in PLACEHOLDERS
    ]
