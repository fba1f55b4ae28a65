"""The commands in a document's blocks of shell, run as a person would run them."""

import os
import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


#: How a block begins whose commands no test runs; the reason follows.
NOT_TESTED = "# not tested: "


def blocks(document: Path) -> list[str]:
    """Return the blocks of shell in `document`."""
    return re.findall(r"(?ms)^```(?:sh|shell)\n(.*?)^```$", document.read_text(encoding="utf-8"))


def commands_of(document: Path) -> list[list[str]]:
    """Return the words of every command that a test has to run."""
    return [line for block in blocks(document) if not block.startswith(NOT_TESTED) for line in lines(block)]


def lines(block: str) -> list[list[str]]:
    """Return the words of each command in `block`, without `sudo`."""
    words = (shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines())
    return [[word for word in line if word != "sudo"] for line in words if line]


def run(command: list[str], folder: Path, *, path: str = "") -> str:
    """Run a command in `folder`, with `path` before the PATH, and return what it says.

    Raises:
        AssertionError: it failed.
    """
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
    return done.stdout
