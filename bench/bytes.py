"""What goes over the link between producer and broker: for an event, for a connection, and on a quiet day.

Counted are IP packets both ways with all acknowledgements, as the kernel counts the segments of the connection and
their bytes, over TLS 1.3 and in segments of 1,360 bytes. `python -m bench.bytes` measures it.
"""

import copy
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.edge import Edge, warnings
from bench.row import Row, report
from tests.waiting import until

EVENT_BYTES, OVERHEAD_BYTES, CONNECTION_BYTES, DAY_BYTES = 600.0, 250.0, 4096.0, 100_000.0
COUNTS: Final = (100, 1_000, 10_000)
ALONE: Final = 20
#: From so many on, it does not decide how the first few were put together.
_ENOUGH: Final = 1_000
_BURST: Final = 200
_REST_SECONDS: Final = 7.0
#: The shortest interval that the configuration takes, and the default.
_KEEPALIVE_SECONDS, _DAILY_PINGS = 10, 86_400 // 240
_PINGS: Final = 3
_TOO_MANY: Final = 50
#: A status is told again after 48 minutes at the earliest.
_DAILY_STATUSES: Final = 30


def rows() -> Iterator[Row]:
    """Measure all of it."""
    yield from _alone()
    for count in COUNTS:
        bound = EVENT_BYTES if count >= _ENOUGH else None
        yield Row(f"each of {count} Warnings of a real cluster, in bursts", _bursts(count), "B", bound)
    yield from _quiet()


def _alone() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        small, own = _each(edge, [_small(number) for number in range(ALONE)])
        yield Row(f"an event alone, {own:.0f} B of topic and JSON", small, "B", EVENT_BYTES)
        usual, own = _each(edge, list(islice(warnings(), ALONE)))
        yield Row(f"a Warning of a real cluster alone, {own:.0f} B of topic and JSON", usual, "B")
        yield Row("of that, all but topic and JSON", usual - own, "B", OVERHEAD_BYTES)


def _small(number: int) -> dict[str, Any]:
    """Return an Event whose payload has 326 bytes or a little more, as that of facts' comparison had."""
    event = copy.deepcopy(next(warnings()))
    event["metadata"] |= {"uid": f"{number:08x}-1d0f-4d3a-9a54-2f6f6f0f7a11", "name": f"api-{number}"}
    event["involvedObject"] = {"kind": "Pod", "namespace": "shop", "name": "api-7c9"}
    return {**event, "reason": "BackOff", "message": "Back-off restarting failed container api"}


def _each(edge: Edge, events: list[dict[str, Any]]) -> tuple[float, float]:
    """Let the events come one at a time; return what each took, and how much of that is topic and JSON."""
    took, own = edge.meter.bytes, edge.figure("sent_bytes_total")
    published = edge.figure("published_total")
    for number, event in enumerate(events, start=1):
        edge.api_server.events.put(event)
        edge.wait_for_published(int(published) + number)
    return (edge.meter.bytes - took) / len(events), (edge.figure("sent_bytes_total") - own) / len(events)


def _bursts(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder)) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        before = edge.meter.bytes
        events = warnings()
        for published in range(0, count, _BURST):
            for event in islice(events, min(_BURST, count - published)):
                edge.api_server.events.put(event)
            edge.wait_for_published(min(published + _BURST, count))
        return (edge.meter.bytes - before) / count


def _quiet() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder), outbox={"max_messages": 1}) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        status = _status(edge)
        yield Row("a status that is told again", status, "B")
    with tempfile.TemporaryDirectory() as folder, Edge(Path(folder), keepalive_seconds=_KEEPALIVE_SECONDS) as edge:
        edge.start()
        time.sleep(_REST_SECONDS)
        yield Row("a connection that is made again", _reconnect(edge), "B", CONNECTION_BYTES)
        ping = _ping(edge)
        yield Row("a ping and its answer", ping, "B")
        day = _DAILY_PINGS * ping + _DAILY_STATUSES * status
        yield Row(f"a quiet day: {_DAILY_PINGS} pings and {_DAILY_STATUSES} statuses", day, "B", DAY_BYTES)


def _reconnect(edge: Edge) -> float:
    """Cut the connection, and count from there until the producer rests again."""
    edge.meter.cut()
    before, connections = edge.meter.bytes, edge.meter.connections
    until(lambda: edge.meter.connections > connections and edge.figure("link_connected") == 1)
    time.sleep(_REST_SECONDS)
    return edge.meter.bytes - before


def _ping(edge: Edge) -> float:
    """Wait for some pings, each of which is over long before the next, and return what one of them takes."""
    before = edge.meter.bytes
    for _ in range(_PINGS):
        _wait_for_traffic(edge)
        time.sleep(1)
    return (edge.meter.bytes - before) / _PINGS


def _wait_for_traffic(edge: Edge) -> None:
    known = edge.meter.bytes
    until(lambda: edge.meter.bytes > known, within_seconds=3 * _KEEPALIVE_SECONDS)


def _status(edge: Edge) -> float:
    """Let the outbox overflow, which is told a minute later in a status of its own; return what that takes."""
    for event in islice(warnings(), _TOO_MANY):
        edge.api_server.events.put(event)
    until(lambda: edge.figure('lost_total{reason="room"}') > 0 and edge.figure("waiting") == 0)
    time.sleep(_REST_SECONDS)
    before, told = edge.meter.bytes, edge.figure("sent_bytes_total")
    until(lambda: edge.figure("sent_bytes_total") > told, within_seconds=90)
    time.sleep(1)
    return edge.meter.bytes - before


if __name__ == "__main__":
    sys.exit(report("bytes", rows()))
