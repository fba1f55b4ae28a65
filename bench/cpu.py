"""What the producer takes of the machine's processors: for each event, to start, and at rest.

The producer is the real command with the default configuration and TLS on both sides. What it uses is its user and
system time as the kernel counts it. How long that is depends on the machine, and on what else runs on it; so it is
measured by what the same work takes there in a bare loop (`bare.py`). `python -m bench.cpu` measures it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from bench.bare import cpu_seconds
from bench.edge import Edge, warnings
from bench.row import Row, report

START_SECONDS, WAKE_UPS, IDLE_MS = 1.0, 30.0, 60.0
#: 0.15 ms for an event where a bare loop takes 0.08 ms.
BARE_LOOPS: Final = 0.15 / 0.08
COUNTS: Final = (100, 1_000, 10_000)
#: From so many on it does not decide that one start takes more than another.
_ENOUGH: Final = 10_000
#: The least of so many tries: what else runs on the machine only ever adds to it.
_TRIES: Final = 3
_BURST: Final = 200
_REST_SECONDS: Final = 6.0


def rows() -> Iterator[Row]:
    """Measure all of it."""
    start = min(_listed(1)[0] for _ in range(_TRIES))
    yield Row("from the start to the first event published", start, "s", START_SECONDS)
    for count in COUNTS:
        yield from _each_listed(count, start)
    for count in COUNTS[:2]:
        yield Row(f"each of {count} Warnings that come one after the other", _live(count), "ms")
    wake_ups, idle = _at_rest()
    yield Row("wake-ups at rest", wake_ups, "a minute", WAKE_UPS)
    yield Row("at rest", idle * 1000, "ms a minute", IDLE_MS)


def _each_listed(count: int, start: float) -> Iterator[Row]:
    """Measure listed Warnings, of which `start` seconds are none, and a bare loop by turns."""
    took, bare = (
        min(tries) * 1000 / count for tries in zip(*(_listed(count) for _ in range(_TRIES)), strict=True)
    )
    own = took - start * 1000 / count
    yield Row(f"each of {count} Warnings listed", own, "ms")
    yield Row(f"each of {count} Warnings in a bare loop", bare, "ms")
    yield Row(
        f"each of {count} listed, by the bare loop", own / bare, "times", BARE_LOOPS if count >= _ENOUGH else None
    )


def _listed(count: int) -> tuple[float, float]:
    """Return what it takes to start, and to publish what is there then; and what a bare loop takes for that."""
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        for event in islice(warnings(), count):
            edge.api_server.events.put(event)
        bare = cpu_seconds(edge.servers())
        edge.start()
        edge.wait_for_published(count)
        return edge.cpu_seconds(), bare


def _live(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        before = edge.cpu_seconds()
        events = warnings()
        for published in range(0, count, _BURST):
            for event in islice(events, min(_BURST, count - published)):
                edge.api_server.events.put(event)
            edge.wait_for_published(min(published + _BURST, count))
        return (edge.cpu_seconds() - before) * 1000 / count


def _at_rest() -> tuple[float, float]:
    """Return how often it woke, and how long it worked, in a minute of rest."""
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        seconds, wake_ups = edge.cpu_seconds(), edge.wake_ups()
        time.sleep(60)
        return edge.wake_ups() - wake_ups, edge.cpu_seconds() - seconds


if __name__ == "__main__":
    sys.exit(report("cpu", rows()))
