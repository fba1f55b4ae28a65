"""A figure, what it may be, and how a bench tells of its figures."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from bench.machine import machine


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `bound` is the most that it may be, where that does not depend on the machine's speed."""

    name: str
    value: float
    unit: str
    bound: float | None = None

    @property
    def is_broken(self) -> bool:
        """Whether it is beyond its bound."""
        return self.bound is not None and self.value > self.bound

    def line(self) -> str:
        """Return it as a line of a Markdown table."""
        bound = "" if self.bound is None else f"at most {self.bound:g}"
        broken = " **broken**" if self.is_broken else ""
        return f"| {self.name} | {_figure(self.value)} {self.unit} | {bound}{broken} |\n"


def _figure(value: float) -> str:
    """Return a figure with the digits that mean something."""
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def named(what: str, rows: Iterable[Row]) -> Iterable[Row]:
    """Return `rows` with `what` they are of before their names."""
    return (replace(row, name=f"{what}: {row.name}") for row in rows)


def report(bench: str, rows: Iterable[Row]) -> bool:
    """Print each row as it comes, then all of them as one line of JSON; return whether a bound was broken."""
    found = []
    for row in rows:
        found.append(row)
        sys.stdout.write(row.line())
        sys.stdout.flush()
    told = {"bench": bench, "machine": machine(), "rows": [asdict(row) for row in found]}
    sys.stdout.write(json.dumps(told) + "\n")
    return any(row.is_broken for row in found)
