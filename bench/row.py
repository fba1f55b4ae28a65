"""A figure, and what it may be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `bound` is the most that it may be, where that does not depend on the machine's speed."""

    name: str
    value: float
    unit: str
    bound: float | None = None
