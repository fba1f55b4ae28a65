"""Runs every script behind a figure in the documents and writes RESULTS.md beside them."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.machine import machine

SCRIPTS: Final = (
    "memory",
    "alternatives",
    "cpu",
    "bytes",
    "fold",
    "drain",
    "latency",
    "consumer",
    "image",
    "chaos",
)
RESULTS: Final = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Run them; exit code 1 when one of them says that a promise or a bound was broken."""
    failed = False
    told = [f"# Results\n\nMeasured by `make bench` with {machine()}.\n"]
    for name in SCRIPTS:
        run = _run(name)
        failed |= bool(run.returncode)
        told.append(_section(name, run.stdout))
        RESULTS.write_text("\n".join(told), encoding="utf-8")
    sys.exit(failed)


def _run(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", f"bench.{name}"], stdout=subprocess.PIPE, text=True, check=False)


def _section(name: str, told: str) -> str:
    """Return what a script has printed: a table, and its JSON line."""
    *table, line = told.splitlines()
    return (
        f"## {name}\n\n| | measured | bound |\n|---|---|---|\n" + "\n".join(table) + f"\n\n```json\n{line}\n```\n"
    )


if __name__ == "__main__":
    main()
