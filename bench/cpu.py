"""What the producer takes of the machine's processors: for each event, to start, and at rest.

The producer is the real command with the default configuration and TLS on both sides. What it uses is its user and
system time as the kernel counts it, in hundredths of a second. `python -m bench.cpu` measures it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from bench.edge import Edge, warnings
from bench.row import Row, report

EVENT_MS, START_SECONDS, WAKE_UPS, IDLE_MS = 0.15, 1.0, 30.0, 60.0
COUNTS: Final = (100, 1_000, 10_000)
#: From so many on it does not decide that one start takes more than another.
_ENOUGH: Final = 10_000
#: The least of so many counts: what else runs on the machine only ever adds to it.
_TRIES: Final = 3
_BURST: Final = 200
_REST_SECONDS: Final = 6.0


def rows() -> Iterator[Row]:
    """Measure all of it."""
    yield Row("from the start to the first event published", _listed(1), "s", START_SECONDS)
    start, *idle = _at_rest()
    for count in COUNTS:
        bound = EVENT_MS if count >= _ENOUGH else None
        took = min(_listed(count) for _ in range(_TRIES))
        yield Row(f"each of {count} Warnings listed", (took - start) * 1000 / count, "ms", bound)
    for count in COUNTS[:2]:
        yield Row(f"each of {count} Warnings that come one after the other", _live(count), "ms")
    yield Row("wake-ups at rest", idle[0], "a minute", WAKE_UPS)
    yield Row("at rest", idle[1] * 1000, "ms a minute", IDLE_MS)


def _listed(count: int) -> float:
    """Return what it takes to start, and to publish what is there then."""
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        for event in islice(warnings(), count):
            edge.api_server.events.put(event)
        edge.start()
        edge.wait_for_published(count)
        return edge.cpu_seconds()


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


def _at_rest() -> tuple[float, float, float]:
    """Return what the start took; and how often it woke, and how long it worked, in a minute of rest."""
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        started, wake_ups = edge.cpu_seconds(), edge.wake_ups()
        time.sleep(60)
        return started, edge.wake_ups() - wake_ups, edge.cpu_seconds() - started


if __name__ == "__main__":
    sys.exit(report("cpu", rows()))
