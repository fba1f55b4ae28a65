"""Writes the table of hints from the tables in the code.

`python -m docs.hints` puts it into `hints.md` beside this file; with `--check` it writes nothing and exits with 1
if that is not current.
"""

import sys
from pathlib import Path
from typing import Final

from tocsin_consumer.hints import TABLE, Entry

FILE: Final = Path(__file__).with_name("hints.md")
_HEADER: Final = "| reason | of | message begins with | hint | command |\n|---|---|---|---|---|\n"


def with_table(text: str) -> str:
    """Return a document with its last table, which nothing follows, written anew."""
    before, header, _ = text.partition(_HEADER)
    return before + header + "".join(map(_row, TABLE))


def _row(entry: Entry) -> str:
    command = entry.command.replace("{{", "{").replace("}}", "}")
    cells = [
        ", ".join(map(_code, entry.reasons)),
        entry.kind or "",
        _code(entry.message) if entry.message else "",
        entry.en,
        _code(command) if command else "",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _code(text: str) -> str:
    return f"`{text}`"


def main(arguments: list[str], file: Path = FILE) -> int:
    """Write the table into `file`, or with `--check` tell whether it is current, and return the exit code."""
    text = file.read_text(encoding="utf-8")
    if with_table(text) == text:
        return 0
    if "--check" in arguments:
        sys.stdout.write(f"{file.name} is not current\n")
        return 1
    file.write_text(with_table(text), encoding="utf-8")
    sys.stdout.write(f"wrote {file.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
