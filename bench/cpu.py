"""What the producer takes of the machine's processors: for each event, to start, and at rest.

The producer is the real command with the default configuration and TLS on both sides. What it uses is its user and
system time as the kernel counts it. How long that is depends on the machine and on what else runs on it: where the
same work takes longer in a bare loop (`bare.py`), the bound is as much higher. `python -m bench.cpu` measures it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from bench.bare import cpu_seconds
from bench.edge import Edge, warnings
from bench.row import Row, report

EVENT_MS, START_SECONDS, WAKE_UPS, IDLE_MS = 0.15, 1.0, 30.0, 60.0
#: What a bare loop takes for each of so many events on a machine on which `EVENT_MS` is the bound.
BARE_MS: Final = 0.08
_BARE_COUNT: Final = 2_000
COUNTS: Final = (100, 1_000, 10_000)
#: From so many on it does not matter what else a producer does while it lists.
_ENOUGH: Final = 10_000
#: The least of so many tries: what else runs on the machine only ever adds to it.
_TRIES: Final = 4
_BURST: Final = 200
_REST_SECONDS: Final = 6.0


def rows() -> Iterator[Row]:
    """Measure all of it."""
    yield Row("from the start to the first event published", _started(), "s", START_SECONDS)
    bare = []
    for count in COUNTS:
        took = []
        for _ in range(_TRIES):
            bare.append(_bare() * 1000 / _BARE_COUNT)
            took.append(_listed(count) * 1000 / count)
        bound = EVENT_MS * max(1.0, min(bare) / BARE_MS) if count >= _ENOUGH else None
        yield Row(f"each of {count} Warnings listed", min(took), "ms", bound)
    yield Row(f"each of {_BARE_COUNT} Warnings in a bare loop", min(bare), "ms")
    for count in COUNTS[:2]:
        yield Row(f"each of {count} Warnings that come one after the other", _live(count), "ms")
    wake_ups, idle = _minute()
    yield Row("wake-ups at rest", wake_ups, "a minute", WAKE_UPS)
    yield Row("at rest", idle * 1000, "ms a minute", IDLE_MS)


def _started() -> float:
    with _edge_with(1) as edge:
        edge.start()
        edge.wait_for_published(1)
        return edge.cpu_seconds()


def _listed(count: int) -> float:
    """Return what it takes to publish what there is when the watch of a producer at rest has expired."""
    with _at_rest() as edge:
        before = edge.cpu_seconds()
        edge.api_server.refuse_connections()
        for event in islice(warnings(), count):
            edge.api_server.events.put(event)
        edge.api_server.events.compact()
        edge.api_server.accept_connections()
        edge.wait_for_published(count)
        return edge.cpu_seconds() - before


def _bare() -> float:
    with _edge_with(_BARE_COUNT) as edge:
        return cpu_seconds(edge.servers())


@contextmanager
def _edge_with(count: int) -> Iterator[Edge]:
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        for event in islice(warnings(), count):
            edge.api_server.events.put(event)
        yield edge


@contextmanager
def _at_rest() -> Iterator[Edge]:
    """Have a producer that has started, and has nothing to do."""
    with _edge_with(0) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        yield edge


def _live(count: int) -> float:
    with _at_rest() as edge:
        before = edge.cpu_seconds()
        events = warnings()
        for published in range(0, count, _BURST):
            for event in islice(events, min(_BURST, count - published)):
                edge.api_server.events.put(event)
            edge.wait_for_published(min(published + _BURST, count))
        return (edge.cpu_seconds() - before) * 1000 / count


def _minute() -> tuple[float, float]:
    """Return how often it woke, and how long it worked, in a minute of rest."""
    with _at_rest() as edge:
        seconds, wake_ups = edge.cpu_seconds(), edge.wake_ups()
        time.sleep(60)
        return edge.wake_ups() - wake_ups, edge.cpu_seconds() - seconds


if __name__ == "__main__":
    sys.exit(report("cpu", rows()))
