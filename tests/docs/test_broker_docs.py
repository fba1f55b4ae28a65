"""What is said of the broker and of `deploy/` holds: commands run, figures are right, links lead somewhere."""

import getpass
import re
from pathlib import Path

import pytest

from tests.deploy.commands import NOT_TESTED, ROOT, blocks, commands_of, run

BROKER = ROOT / "docs" / "broker.md"
READMES = [ROOT / "mosquitto/README.md", ROOT / "deploy/compose/README.md", ROOT / "deploy/systemd/README.md"]
DOCUMENTS = [BROKER, *READMES]
#: Values as documents write them, and as Mosquitto does.
_WRITTEN = {"32 MiB": "33554432", "64 KiB": "65536"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.broker
@pytest.mark.parametrize("document", [BROKER, ROOT / "mosquitto/README.md"], ids=name_of)
def test_the_commands_of_a_document_work_one_after_the_other(document: Path, tmp_path: Path) -> None:
    """In a folder of their own; those of deploy/compose/ are run beside the files that they need."""
    commands = commands_of(document)
    assert len(commands) >= 3
    for program, command, *arguments in commands:
        script = ROOT / program if program.startswith("mosquitto/") else document.parent / program
        options = ["--data", str(tmp_path / "data"), "--owner", getpass.getuser()] if command == "init" else []
        run([str(script), "--dir", str(tmp_path / "etc"), command, *options, *arguments], tmp_path)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_block_of_commands_that_is_not_tested_says_why(document: Path) -> None:
    for block in blocks(document):
        if block.startswith(NOT_TESTED):
            assert len(block.splitlines()[0]) > len(NOT_TESTED) + 5
        assert NOT_TESTED not in block.removeprefix(NOT_TESTED)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", text)
    headings = {
        re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", text)
    }
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        assert (document.parent / path).exists(), link
        assert path or anchor in headings, link


def test_the_limits_in_the_document_are_those_of_the_configuration() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| ([^|]+) \|", BROKER.read_text(encoding="utf-8"))
    configuration = (ROOT / "mosquitto/mosquitto.conf").read_text(encoding="utf-8")
    settings = dict(re.findall(r"(?m)^(\w+) (.+)$", configuration))
    assert len(rows) == 8
    assert {name: _WRITTEN.get(value, value) for name, value in rows} == {name: settings[name] for name, _ in rows}


def test_every_file_of_the_broker_is_in_its_readme() -> None:
    folder = ROOT / "mosquitto"
    shown = (folder / "README.md").read_text(encoding="utf-8")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"README.md"}
    assert {file for file in files if f"({file})" not in shown} == set()
