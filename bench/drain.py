"""How an outbox that filled up in an outage empties: how fast, in which order, and what fresh events feel of it.

The producer is the real command over TLS, with room for 20,000 messages. While the backlog leaves, a fresh Warning
comes every second. `python -m bench.drain` measures it.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.edge import CLUSTER, Edge, warnings
from bench.row import Row, named, report
from tests.schemas.session_harness import Recorder, running
from tests.waiting import until
from tocsin_producer.watch import PAGE_SIZE

COUNTS: Final = (100, 1_000, 10_000)
_PATIENCE_SECONDS: Final = 300.0


class Reader(Recorder):
    """Notes which event arrives when."""

    def __init__(self) -> None:
        super().__init__(filters=(f"k8s/v1/{CLUSTER}/event/#",))

    def arrived(self) -> list[str]:
        """Return the events so far, in order."""
        return [json.loads(message.payload)["uid"] for _, message in list(self.messages)]


def rows() -> Iterator[Row]:
    """Measure all of it."""
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            outbox = {"max_messages": 20_000, "max_bytes": "20MiB"}
            with Edge(Path(folder), outbox=outbox) as edge:
                yield from named(f"{count} waiting", _drain(edge, count))


def _drain(edge: Edge, count: int) -> Iterator[Row]:
    reader = Reader()
    with running(edge.reader(), reader):
        until(lambda: reader.connections)
        edge.broker.stop()
        events = warnings()
        backlog = list(islice(events, count))
        for event in backlog:
            edge.api_server.events.put(event)
        edge.start(connected=False)
        until(lambda: edge.figure("waiting") == count, within_seconds=_PATIENCE_SECONDS)
        edge.broker.start()
        until(lambda: edge.figure("link_connected") == 1, within_seconds=_PATIENCE_SECONDS)
        began = time.monotonic()
        delays = list(_fresh(edge, reader, events, count))
        took = time.monotonic() - began
    arrived = list(dict.fromkeys(reader.arrived()))
    wanted = [event["metadata"]["uid"] for event in backlog]
    order = [uid for uid in arrived if uid in set(wanted)]
    yield Row("left after", took, "s")
    yield Row("a fresh Warning arrived after at most", max(delays), "s")
    yield Row("missing", len(set(wanted) - set(arrived)), "events", 0)
    misplaced = sum(uid != due for uid, due in zip(order, _listed(edge, wanted), strict=False))
    yield Row("not the oldest first", misplaced, "events", 0)
    yield Row("lost", edge.figure('lost_total{reason="room"}'), "events", 0)


def _listed(edge: Edge, wanted: list[str]) -> list[str]:
    """Return what waited in the order in which it was taken: page by page, each in the order of its versions."""
    known = set(wanted)
    listed = [event["metadata"] for _, event in edge.api_server.events.snapshot().entries]
    waited = [metadata for metadata in listed if metadata["uid"] in known]
    pages = [waited[start : start + PAGE_SIZE] for start in range(0, len(waited), PAGE_SIZE)]
    return [one["uid"] for page in pages for one in sorted(page, key=lambda one: int(one["resourceVersion"]))]


def _fresh(edge: Edge, reader: Reader, events: Iterator[dict[str, Any]], count: int) -> Iterator[float]:
    """Let a fresh Warning come every second until the backlog has left; return how long each of them took."""
    fresh = 0
    while True:
        event = next(events)
        edge.api_server.events.put(event)
        put_at = time.monotonic()
        _wait_for(reader, event["metadata"]["uid"])
        yield time.monotonic() - put_at
        fresh += 1
        if len(set(reader.arrived())) >= count + fresh:
            return
        time.sleep(max(0.0, put_at + 1 - time.monotonic()))


def _wait_for(reader: Reader, uid: str) -> None:
    until(lambda: uid in reader.arrived(), within_seconds=_PATIENCE_SECONDS)


if __name__ == "__main__":
    sys.exit(report("drain", rows()))
