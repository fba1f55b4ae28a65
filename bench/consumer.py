"""How much the consumer takes in, and what it costs: events, and the presence of many clusters.

The broker is Mosquitto with our own configuration (TLS, accounts, persistence), the consumer a process of its own
with its store in a file. An event counts as stored when it is committed, and as delivered when a receiver has it
and that is committed too; what was not acknowledged would come again after a restart, and is counted then. The
messages are queued at the broker while the consumer is away; of more than that takes, the rest follows as the
consumer comes on.

`python -m bench.consumer` measures it all; --events, --groups and --clusters say how many.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.flood import Flood, Message
from bench.process import cpu_seconds, peak_mib, resident_mib
from bench.receiving import Receiving, event, status
from bench.row import Row, named, report

EVENTS: Final = (100, 1_000, 10_000, 100_000)
CLUSTERS: Final = (100, 1_000, 10_000)
#: Incidents that 20,000 events become.
GROUPS: Final = (1, 100, 10_000)
#: Of 10,000 events or more, beside which it does not count what else a consumer does meanwhile.
CPU_MS_PER_EVENT: Final = 0.25
#: Resident while events come in, and beyond that for 10,000 clusters.
MEMORY_MIB: Final = 60.0
MANY_CLUSTERS_MIB: Final = 8.0
#: And while incidents are open, for 10,000 of them and the objects that they name. A cluster that is dark is one,
#: which inhibits others.
MANY_INCIDENTS_MIB: Final = 30.0
GROWTH_MIB: Final = 2.0
IDLE_CPU_MS_PER_MINUTE: Final = 600.0

#: What waits at the broker when the consumer comes; our configuration permits 20,000.
_QUEUED: Final = 20_000
#: Afterwards, so many are published at a time, while at most so many are on their way.
_STEP: Final = 1_000
_UNDER_WAY: Final = 10_000
_CLUSTERS_OF_EVENTS: Final = 100
_IDLE_SECONDS: Final = 10.0
_STORED: Final = "SELECT MAX(id) FROM events"
_TOLD: Final = "SELECT COUNT(DISTINCT incident) FROM told"
_DELIVERED: Final = "SELECT COUNT(*) FROM deliveries WHERE state = 'delivered'"


def rows(
    *, events: Sequence[int] = EVENTS, groups: Sequence[int] = GROUPS, clusters: Sequence[int] = CLUSTERS
) -> Iterator[Row]:
    """Measure all of it."""
    for count in events:
        yield from _fresh(stored, count)
        yield from _fresh(delivered, count)
    for count in groups:
        yield from _fresh(grouped, count)
    for count in clusters:
        yield from _fresh(present, count)


def _fresh(measure: Callable[[Path, int], Iterable[Row]], count: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield from measure(Path(folder), count)


def stored(folder: Path, count: int) -> Iterator[Row]:
    """Measure events that no route takes to a receiver."""
    with Receiving(folder, []) as receiving:
        figures = _take_in(receiving, _events(count))
        yield from named(f"{count} events stored", figures)
        yield from named(f"{count} events stored", _transactions(receiving, count))
        yield from named(f"{count} events stored", _come_again(receiving))


def delivered(folder: Path, count: int) -> Iterator[Row]:
    """Measure events that a file receiver gets, all of them."""
    receiver = {"name": "out", "file": {"path": str(folder / "out.ndjson"), "max_size": "1GiB"}}
    with Receiving(folder, [receiver]) as receiving:
        figures = _take_in(receiving, _events(count), until=_DELIVERED)
        yield from named(f"{count} events delivered", figures)
        yield from named(f"{count} events delivered", _faults(receiving, count))


def grouped(folder: Path, groups: int) -> Iterator[Row]:
    """Measure events that become incidents, of which a file receiver is told."""
    receiver = {"name": "out", "grouped": True, "file": {"path": str(folder / "out.ndjson"), "max_size": "1GiB"}}
    clusters = min(groups, _CLUSTERS_OF_EVENTS)
    messages = [event(number, clusters=clusters, reasons=groups // clusters) for number in range(_QUEUED)]
    with Receiving(folder, [receiver]) as receiving:
        name = f"{_QUEUED} events in {groups} groups"
        yield from named(name, _take_in(receiving, messages, memory_mib=_bound_mib(incidents=groups)))
        yield from named(name, _incidents(receiving, groups))


def present(folder: Path, clusters: int) -> Iterator[Row]:
    """Measure clusters that come, that are there through a restart, and that all go dark at once."""
    receiver = {"name": "out", "file": {"path": str(folder / "out.ndjson"), "max_size": "1GiB"}}
    with Receiving(folder, [receiver], presence={"offline_after": "1s"}) as receiving, receiving.flood() as flood:
        flood.publish([status(number, "online") for number in range(clusters)])
        name = f"{clusters} clusters"
        yield from named(f"{name} seen", _see(receiving, clusters))
        yield from named(f"{name} idle", _idle(receiving))
        receiving.stop()
        yield from named(f"{name} seen again", _see(receiving, clusters))
        yield from named(f"{name} dark", _go_dark(receiving, flood, clusters))


def _bound_mib(*, clusters: int = 0, incidents: int = 0) -> float:
    """Return how much may be resident with so many clusters and open incidents."""
    return MEMORY_MIB + (MANY_CLUSTERS_MIB * clusters + MANY_INCIDENTS_MIB * incidents) / 10_000


def _memory(receiving: Receiving, bound_mib: float = MEMORY_MIB) -> Row:
    """Return the most that the consumer has had resident."""
    return Row("memory at most", peak_mib(receiving.pid), "MiB", bound_mib)


def _events(count: int) -> list[Message]:
    return [event(number, clusters=_CLUSTERS_OF_EVENTS) for number in range(count)]


def _take_in(
    receiving: Receiving, messages: Sequence[Message], *, until: str = _STORED, memory_mib: float = MEMORY_MIB
) -> Iterator[Row]:
    """Take in events, until that query of the store says that all are."""
    count = len(messages)
    _make_session(receiving)
    with receiving.flood() as flood:
        flood.publish(messages[:_QUEUED])
        receiving.start()
        began, cpu = time.monotonic(), cpu_seconds(receiving.pid)
        memory = resident_mib(receiving.pid)
        for start in range(_QUEUED, count, _STEP):
            receiving.wait_for(_STORED, start - _UNDER_WAY)
            if start == _QUEUED:
                memory = resident_mib(receiving.pid)
            flood.publish(messages[start : start + _STEP])
        receiving.wait_for(until, count)
    seconds, cpu = time.monotonic() - began, cpu_seconds(receiving.pid) - cpu
    yield Row("rate", count / seconds, "events/s")
    yield Row("CPU", cpu * 1000 / count, "ms/event", CPU_MS_PER_EVENT if count >= _UNDER_WAY else None)
    yield _memory(receiving, memory_mib)
    if count > _QUEUED:
        growth = resident_mib(receiving.pid) - memory
        yield Row(f"memory grown since {_QUEUED - _UNDER_WAY} were stored", growth, "MiB", GROWTH_MIB)


def _incidents(receiving: Receiving, groups: int) -> Iterator[Row]:
    """Hold the incidents against the events, and wait until all of them are told, one by one or in a digest."""
    count = receiving.ask("SELECT COUNT(*) FROM incidents")
    yield Row("missing", groups - count, "incidents", 0)
    yield Row("not counted", _QUEUED - receiving.ask("SELECT SUM(occurrences) FROM incidents"), "occurrences", 0)
    receiving.wait_for(_TOLD, groups)
    yield Row(
        "memory while all are open and told", resident_mib(receiving.pid), "MiB", _bound_mib(incidents=groups)
    )


def _make_session(receiving: Receiving) -> None:
    """Let the broker know the consumer, so that it keeps what comes while that is away."""
    receiving.start()
    receiving.stop()


def _transactions(receiving: Receiving, count: int) -> Iterator[Row]:
    """Count how often the store was asked: twice a batch, which is the larger the slower the disk is."""
    yield Row("transactions", receiving.figure("store_commits_total") * 1000 / count, "per 1,000 events")


def _come_again(receiving: Receiving) -> Iterator[Row]:
    """Count what the broker sends again after a restart: what was not acknowledged."""
    receiving.stop()
    receiving.start()
    receiving.stop()
    seen = int(receiving.process.log.rpartition("messages: seen=")[2].split()[0])
    yield Row("not acknowledged", seen, "events", 0)


def _faults(receiving: Receiving, count: int) -> Iterator[Row]:
    """Hold what was delivered against the promises."""
    states = [(line["uid"], line["count"]) for line in receiving.delivered()]
    highest: dict[str, int] = {}
    backwards = 0
    for uid, state in states:
        backwards += state < highest.get(uid, 0)
        highest[uid] = max(state, highest.get(uid, 0))
    yield Row("missing", count - len(set(states)), "events", 0)
    yield Row("repeated", len(states) - len(set(states)), "events", 0)
    yield Row("backwards", backwards, "events", 0)


def _see(receiving: Receiving, clusters: int) -> Iterator[Row]:
    """Start, and take in what the broker has retained of every cluster."""
    receiving.start()
    began = time.monotonic()
    while receiving.figure('messages_total{outcome="status"}') < clusters:
        time.sleep(0.02)
    yield Row("after", time.monotonic() - began, "s")
    yield Row("CPU from the start", cpu_seconds(receiving.pid), "s")
    yield _memory(receiving, _bound_mib(clusters=clusters))
    missing = clusters - receiving.ask("SELECT COUNT(*) FROM presences WHERE link = 'online'")
    yield Row("missing", missing, "clusters", 0)


def _idle(receiving: Receiving) -> Iterator[Row]:
    """Let nothing happen."""
    cpu = cpu_seconds(receiving.pid)
    time.sleep(_IDLE_SECONDS)
    spent = (cpu_seconds(receiving.pid) - cpu) * 60 / _IDLE_SECONDS
    yield Row("CPU", spent * 1000, "ms/min", IDLE_CPU_MS_PER_MINUTE)


def _go_dark(receiving: Receiving, flood: Flood, clusters: int) -> Iterator[Row]:
    """Let every cluster go offline at once, and wait until all of it is told."""
    began, cpu = time.monotonic(), cpu_seconds(receiving.pid)
    flood.publish([status(number, "offline") for number in range(clusters)])
    receiving.wait_for(_DELIVERED, clusters)
    yield Row("told after", time.monotonic() - began, "s")
    yield Row("CPU", (cpu_seconds(receiving.pid) - cpu) * 1000 / clusters, "ms/cluster")
    yield _memory(receiving, _bound_mib(clusters=clusters, incidents=clusters))
    told = [line["cluster"] for line in receiving.delivered() if line["reason"] == "ClusterOffline"]
    yield Row("not told", clusters - len(set(told)), "clusters", 0)
    yield Row("told twice", len(told) - len(set(told)), "clusters", 0)


def main() -> None:
    """Measure, and print a table and a JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.consumer", description=__doc__)
    parser.add_argument("--events", type=int, nargs="*", default=EVENTS)
    parser.add_argument("--groups", type=int, nargs="*", default=GROUPS)
    parser.add_argument("--clusters", type=int, nargs="*", default=CLUSTERS)
    options = parser.parse_args()
    measured = rows(events=options.events, groups=options.groups, clusters=options.clusters)
    sys.exit(report("consumer", measured))


if __name__ == "__main__":
    main()
