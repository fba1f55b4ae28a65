"""What can be taken out of a document: its blocks, its commands, its tables."""

import re
import shlex
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: How a block begins whose commands no test runs; the reason follows.
NOT_TESTED = "# not tested: "


def blocks(document: Path, *languages: str) -> list[str]:
    """Return the blocks of code in some languages."""
    found = _FENCE.findall(document.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def command_lines(document: Path, *, tested_only: bool = False) -> list[list[str]]:
    """Return the words of every command, or of those that a test runs."""
    texts = [text for text in blocks(document, "sh") if not (tested_only and text.startswith(NOT_TESTED))]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    words = (shlex.split(line, comments=True) for line in lines)
    return [line for line in words if line]


def tables(document: Path) -> list[list[dict[str, str]]]:
    """Return every table as rows, each by the names of the columns."""
    found: list[list[dict[str, str]]] = []
    header: list[str] | None = None
    for line in document.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if header is None:
            header = cells
            found.append([])
        elif not set(line) <= set("|-: "):
            found[-1].append(dict(zip(header, cells, strict=True)))
    return found


def code_in(text: str) -> list[str]:
    """Return what stands between backquotes."""
    return re.findall(r"`([^`]+)`", text)
