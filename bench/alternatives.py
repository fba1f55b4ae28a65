"""What each thing that keeps the producer small is worth, and what others would gain that are not done.

Each row is the producer with one thing changed (`variant.py`), of the Python that runs this: resident memory at
rest, and after Warnings were listed and published. `python -m bench.alternatives` measures it.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bench.memory import Bench
from bench.row import Row, named, report
from bench.variant import VARIANTS

_WARNINGS: Final = 1_000


def rows() -> Iterator[Row]:
    """Measure all of it; what is not done keeps no bounds."""
    for name, variant in VARIANTS.items():
        bench = Bench(command=("-m", "bench.variant", name))
        if variant.options:
            bench.at_rest("which makes byte code of its own")
        measured = (bench.at_rest("at rest"), bench.listed(_WARNINGS))
        yield from named(name, (replace(row, bound=None) for row in measured))


if __name__ == "__main__":
    sys.exit(report("alternatives", rows()))
