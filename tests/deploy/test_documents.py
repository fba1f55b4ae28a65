"""The documents about the manifest and the images: each command is run here, or says why it is not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from tests.deploy.examples import parsed
from tocsin_producer.manifest_command import IMAGE, manifest

ROOT = Path(__file__).parents[2]
K3S = [ROOT / "docs" / "k3s.md", ROOT / "docs" / "k3s.zh-CN.md"]
DOCUMENTS = [*K3S, ROOT / "docs" / "images.md"]
#: A block of commands, and the line above it.
BLOCK = re.compile(r"^([^\n]*)\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What is above a block that no test runs.
MARK = re.compile(r"<!-- not run by a test: .+ -->")


def blocks(document: Path, *, marked: bool) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return [commands for above, commands in BLOCK.findall(text) if bool(MARK.fullmatch(above)) is marked]


@pytest.mark.parametrize("document", K3S, ids=lambda path: path.name)
def test_the_commands_in_a_document_write_a_manifest(document: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands = blocks(document, marked=False)
    assert commands
    for block in commands:
        shell = ["bash", "-euo", "pipefail", "-c", block]
        run = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert "Deployment" in {made["kind"] for made in parsed((tmp_path / "tocsin.yaml").read_text())}
        (tmp_path / "tocsin.yaml").unlink()


def test_the_document_about_images_has_no_command_that_a_test_could_run() -> None:
    assert blocks(DOCUMENTS[-1], marked=False) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_is_named_in_a_document_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:tests|scripts|bench|deploy|producer|consumer)/[\w./-]+\.\w+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    options = {option for parameter in manifest.params for option in parameter.opts}
    named = set(re.findall(r"`(--(?:state|priority-class|existing-secret|namespace|image|output|username))", text))
    assert named <= options


@pytest.mark.parametrize("document", K3S, ids=lambda path: path.name)
def test_a_document_names_the_image_of_this_version(document: Path) -> None:
    named = set(re.findall(r"tocsin/tocsin-producer:[\w.]+", document.read_text(encoding="utf-8")))
    assert named == {IMAGE}


def test_both_languages_show_the_same_commands() -> None:
    english, chinese = K3S
    for marked in (True, False):
        assert blocks(english, marked=marked)
        assert blocks(english, marked=marked) == blocks(chinese, marked=marked)
