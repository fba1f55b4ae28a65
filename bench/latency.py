"""How long an event takes from the API server to whom it is delivered, and what that costs on both sides.

The API server is a stand-in that serves as the real one does, and the receiver a webhook on the same machine;
producer, broker (TLS, persistence, our own configuration) and consumer are the real processes. Every commit waits
for the disk.

`python -m bench.latency` measures it; --events says how many, and --rate how many a second.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.process import cpu_seconds, peak_mib
from bench.row import Row, named, report
from tests.fakes.faults import Answer, Request
from tests.stage.site import CLUSTER, Site

#: How many events, and how many of them a second.
RUNS: Final = ((100, 20.0), (1_000, 50.0), (5_000, 80.0))
#: One event at a time, each with two commits and a request; in bulk it is a fraction of that, see consumer.py. How
#: long it takes is the machine's affair as well: half of this is usual on a quiet one.
CONSUMER_CPU_MS: Final = 6.0
CONSUMER_MEMORY_MIB: Final = 60.0
_PATIENCE_SECONDS: Final = 60.0
_SETTLED: Final = 2.0


class Arrivals:
    """When which event arrived, in seconds of the clock that never jumps."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.repeats = 0

    def __call__(self, request: Request) -> Answer:
        """Note an event as a webhook gets it."""
        now = time.monotonic()
        uid = json.loads(request.body)["uid"]
        self.repeats += uid in self.at
        self.at.setdefault(uid, now)
        return Answer()


def rows(*, runs: Sequence[tuple[int, float]] = RUNS) -> Iterator[Row]:
    """Measure all of it."""
    for count, rate in runs:
        with tempfile.TemporaryDirectory() as folder, Site(Path(folder)) as site:
            yield from named(f"{count} events at {rate:g}/s", _measure(site, count, rate))


def _measure(site: Site, count: int, rate: float) -> Iterator[Row]:
    arrivals = Arrivals()
    site.webhook.reply = arrivals
    _configure(site)
    site.start()
    site.api_server.events.put(_event(count))  # what comes first waits until the producer knows that it is alone
    _wait_for(arrivals, 1)
    processes = (site.producer, site.consumer)
    cpu = [cpu_seconds(process.pid) for process in processes]
    served = _serve(site, count, rate)
    _wait_for(arrivals, count + 1)
    producer, consumer = (
        (cpu_seconds(process.pid) - before) * 1000 / count for process, before in zip(processes, cpu, strict=True)
    )
    took = sorted(at - served[uid] for uid, at in arrivals.at.items() if uid in served)
    for percent in (50, 95, 99):
        yield Row(f"p{percent}", _percentile(took, percent) * 1000, "ms")
    yield Row("longest", took[-1] * 1000, "ms")
    yield Row("CPU of the producer", producer, "ms/event")
    yield Row("CPU of the consumer", consumer, "ms/event", CONSUMER_CPU_MS)
    yield Row("memory of the consumer at most", peak_mib(site.consumer.pid), "MiB", CONSUMER_MEMORY_MIB)
    yield Row("missing", len(served.keys() - arrivals.at.keys()), "events", 0)
    yield Row("repeated", arrivals.repeats, "events", 0)


def _configure(site: Site) -> None:
    """Let both sides reach the broker directly, log little, and tell the webhook alone."""
    log = {"level": "info"}
    site.configure_producer(broker=site.broker.access(site.accounts[CLUSTER]), log=log)
    site.configure_consumer(
        broker=site.broker.access(site.accounts["ops"]),
        receivers=[{"name": "hook", "grouped": False, "webhook": {"url": site.webhook.url}}],
        route={"receivers": ["hook"]},
        log=log,
    )


def _serve(site: Site, count: int, rate: float) -> dict[str, float]:
    """Serve events at a steady rate, and return when which was."""
    served = {}
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        event = _event(number)
        served[event["metadata"]["uid"]] = time.monotonic()
        site.api_server.events.put(event)
    return served


def _event(number: int) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "metadata": {
            "name": f"api-{number}.18e",
            "namespace": "shop",
            "uid": f"5b9e2a6c-0d0f-4d3a-9a54-{number:012}",
            "creationTimestamp": now,
        },
        "involvedObject": {
            "kind": "Pod",
            "namespace": "shop",
            "name": f"api-7c9f8d6b5-{number:05}",
            "fieldPath": "spec.containers{api}",
        },
        "type": "Warning",
        "reason": "BackOff",
        "message": "Back-off restarting failed container api in pod api-7c9f8d6b5-x2x4q_shop(5b9e2a6c)",
        "count": 1,
        "source": {"component": "kubelet", "host": "pi-3"},
        "firstTimestamp": now,
        "lastTimestamp": now,
    }


def _wait_for(arrivals: Arrivals, count: int) -> None:
    """Wait until all have arrived, and a moment longer for what should not."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(arrivals.at) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(_SETTLED)


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    """Measure, and print a table and a JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--events", type=int)
    parser.add_argument("--rate", type=float, default=50.0)
    options = parser.parse_args()
    runs = RUNS if options.events is None else ((options.events, options.rate),)
    sys.exit(report("latency", rows(runs=runs)))


if __name__ == "__main__":
    main()
