"""What the reference of the configuration files says is what the code takes."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from docs.generate import FILE, keys, main, reference
from tests.docs.markdown import tables
from tocsin_consumer.settings import ConsumerSettings
from tocsin_producer.settings import ProducerSettings
from tocsin_schemas.configuration import Document, overlay

TEXT = reference()


def test_the_reference_is_current() -> None:
    assert main(["--check"]) == 0, "make reference writes it anew"


def test_a_check_tells_that_it_is_not_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.md").write_text("old")
    assert main(["--check"], tmp_path / "c.md") == 1
    assert capsys.readouterr().out == "c.md is not current\n"
    assert (tmp_path / "c.md").read_text() == "old"


def test_without_check_it_is_written(tmp_path: Path) -> None:
    assert main([], tmp_path / "c.md") == 0
    assert main(["--check"], tmp_path / "c.md") == 0


def rows() -> list[dict[str, str]]:
    return [row for table in tables(FILE) if "key" in table[0] for row in table]


def test_every_key_has_a_kind_and_a_meaning() -> None:
    for row in rows():
        assert row["kind"] not in ("", "any"), row
        assert row["meaning"].partition("<br>")[0], f"{row['key']} wants a description in its model"


@pytest.mark.parametrize("model", [ProducerSettings, ConsumerSettings])
def test_every_key_is_there(model: type[BaseModel]) -> None:
    told = {row["key"] for row in rows()}
    assert {f"`{key}`" for key, _, _ in keys(model)} <= told


@pytest.mark.parametrize("line", ["| `TOCSIN_BROKER_URL` |", "`TOCSIN_OUTBOX_PATH`", "`TOCSIN_LANGUAGE`"])
def test_variables_are_told(line: str) -> None:
    assert line.strip("| ") in TEXT


def test_a_variable_that_is_told_is_one_that_the_code_takes() -> None:
    names = {name for row in rows() for name in row["meaning"].split("`") if name.startswith("TOCSIN_")}
    assert len(names) > 20
    for name in names:
        taken = (
            overlay(Document("", {}, {}), model, {name: "x"}).values
            for model in (ProducerSettings, ConsumerSettings)
        )
        assert any(taken), name


def test_values_are_told_as_they_are_written() -> None:
    for text in ("duration, from `10s` to `18h` | `4m`", "size, from `64KiB` | `1MiB`", "`16` to `8192` | `1024`"):
        assert text in TEXT
