"""What the producer takes of the machine's memory: at rest, with many Events, in an outage, and after many storms.

The producer is the real command with the default configuration, TLS to the broker and to the API server, its
state in memory but where a row says something else. `python -m bench.memory` measures it: resident memory, VmRSS,
of the producer of this Python. --image names the files of the image, which has its own, and needs root.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.edge import COMMAND, Edge, warnings
from bench.row import Row, report
from tests.waiting import until

IDLE_MIB, LOADED_MIB, GROWTH_MIB = 26.0, 28.0, 0.5
COUNTS: Final = (100, 1_000, 10_000)
#: An hour of trouble each, at the end of which its Events expire.
STORMS, STORM_EVENTS, EARLY = 24, 400, 4
_REST_SECONDS: Final = 6.0


@dataclass(frozen=True)
class Bench:
    """Measures the producer in an image, or that of this Python, which `command` starts."""

    image: Path | None = None
    command: Sequence[str] = COMMAND

    def rows(self) -> Iterator[Row]:
        """Measure all of it."""
        yield self.at_rest("at rest")
        yield self.at_rest("at rest, with a state file", state_file=True)
        for count in COUNTS:
            yield self.listed(count)
        yield self._away(COUNTS[-1])
        yield from self._storms()

    @contextmanager
    def _edge(self, *, state_file: bool = False) -> Iterator[Edge]:
        with tempfile.TemporaryDirectory() as folder:
            state: dict[str, Any] = {"outbox": {"path": f"{folder}/outbox.db"}} if state_file else {}
            with Edge(Path(folder), image=self.image, command=self.command, **state) as edge:
                yield edge

    def at_rest(self, name: str, *, state_file: bool = False) -> Row:
        """Measure a producer that has nothing to do."""
        with self._edge(state_file=state_file) as edge:
            edge.start()
            time.sleep(_REST_SECONDS)
            return Row(name, edge.resident_mib(), "MiB", IDLE_MIB)

    def listed(self, count: int) -> Row:
        """Measure one that has found so many Warnings and published them."""
        with self._edge() as edge:
            for event in islice(warnings(), count):
                edge.api_server.events.put(event)
            edge.start()
            edge.wait_for_published(count)
            return Row(f"{count} Warnings listed and published", edge.resident_mib(), "MiB", LOADED_MIB)

    def _away(self, count: int) -> Row:
        """Let the broker be away, so that the outbox is full."""
        with self._edge() as edge:
            edge.broker.stop()
            for event in islice(warnings(), count):
                edge.api_server.events.put(event)
            edge.start(connected=False)
            until(lambda: edge.figure("events_seen_total") >= count, within_seconds=120)
            waiting = edge.figure("waiting")
            return Row(f"{count} Warnings listed, {waiting:.0f} waiting", edge.resident_mib(), "MiB", LOADED_MIB)

    def _storms(self) -> Iterator[Row]:
        with self._edge() as edge:
            edge.start()
            events = warnings()
            early = 0.0
            for storm in range(1, STORMS + 1):
                for event in islice(events, STORM_EVENTS):
                    edge.api_server.events.put(event)
                edge.wait_for_published(storm * STORM_EVENTS)
                edge.api_server.events.expire_events()
                early = edge.resident_mib() if storm == EARLY else early
            late = edge.resident_mib()
        yield Row(f"after {STORMS} storms of {STORM_EVENTS} Warnings", late, "MiB", LOADED_MIB)
        yield Row(f"grown since the storm {EARLY} of these", late - early, "MiB", GROWTH_MIB)


def main() -> None:
    """Measure, print; exit code 1 when a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--image", type=Path, help="files of the image, see python -m bench.image --unpack")
    sys.exit(report("memory", Bench(parser.parse_args().image).rows()))


if __name__ == "__main__":
    main()
