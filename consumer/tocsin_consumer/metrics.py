"""What can be measured about the running consumer, in the form of Prometheus.

The counts are those that the parts keep anyway; they are read when someone asks. No label holds an address, a
secret, or the name of a cluster, of which there may be ten thousand.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.deliver import Worker
from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Inbox
from tocsin_consumer.intake import Intake
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.store import Store
from tocsin_schemas import __version__

_PREFIX: Final = "tocsin_consumer_"
#: From an alert that is seen at once to one that waited for the link, or the receiver, a whole day.
_LATENCY_SECONDS: Final = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts that are measured."""

    pipeline: Pipeline
    workers: Mapping[str, Worker]
    inbox: Inbox
    intake: Intake
    store: Store


class Reloads:
    """What became of the configuration when it was loaded last."""

    def __init__(self, registry: CollectorRegistry) -> None:
        what = "Whether the configuration could be used when it was loaded last."
        self._successful = Gauge(f"{_PREFIX}config_last_reload_successful", what, registry=registry)
        what = "When a configuration was last loaded that could be used, in seconds since 1970."
        name = f"{_PREFIX}config_last_reload_success_timestamp_seconds"
        self._succeeded_at = Gauge(name, what, registry=registry)

    def note(self, *, is_good: bool) -> None:
        """A configuration was loaded."""
        self._successful.set(is_good)
        if is_good:
            self._succeeded_at.set_to_current_time()


class Metrics:
    """All metrics, in a registry of their own; they outlive the consumer that they are of."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.reloads = Reloads(self._registry)
        self._collector: _Collector | None = None
        #: What consumers before have counted.
        self._counted: dict[str, Metric] = {}
        #: From the last occurrence of an event to its delivery, by receiver.
        self.latency = Histogram(
            f"{_PREFIX}delivery_latency_seconds",
            "From the last occurrence of an event to its delivery.",
            ["receiver"],
            buckets=_LATENCY_SECONDS,
            registry=self._registry,
        )

    def measure(self, sources: Sources, *, clock: Clock = utc_now) -> None:
        """Measure `sources` from now on, and no others; counters go on from what was counted."""
        self._retire()
        self._collector = _Collector(sources, clock, self._counted)
        self._registry.register(self._collector)

    def _retire(self) -> None:
        if self._collector is not None:
            counted = [metric for metric in self._collector.counted() if metric.type == "counter"]
            self._counted = {metric.name: metric for metric in counted}
            self._registry.unregister(self._collector)
            self._collector = None

    def page(self) -> tuple[int, str, bytes]:
        """Return status, type and content of `/metrics`."""
        return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)


class _Collector(Collector):
    def __init__(self, sources: Sources, clock: Clock, counted: Mapping[str, Metric]) -> None:
        self._sources = sources
        self._clock = clock
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        yield from self.counted()
        with suppress(StoreError):  # a store that does not work has no figures, and the rest matters all the more
            yield from self._backlog()

    def counted(self) -> Iterator[Metric]:
        """Yield what the parts keep themselves, even at their end, with what those before them have counted."""
        for metric in (*self._messages(), *self._deliveries(), *self._connection()):
            before = self._counted.get(metric.name)
            yield _sum(before, metric) if before else metric

    def _messages(self) -> Iterator[Metric]:
        counters, roster = self._sources.pipeline.counters, self._sources.pipeline.roster
        yield _counter(
            "messages",
            "Messages that were received and stored.",
            {
                "event": counters.events,
                "repeat": counters.repeats,
                "stale": counters.stale,
                "status": counters.statuses,
                "rejected": counters.rejected,
            }.items(),
            label="outcome",
        )
        yield _counter("events_dropped", "New events that no route takes to a receiver.", counters.dropped)
        yield _counter("events_missing", "Events that producers numbered and that never came.", counters.missing)
        yield from self._incidents()
        yield _counter("notices", "Notices about clusters.", counters.notices)
        yield _gauge("clusters", "Clusters by their state.", roster.states().items(), label="state")

    def _incidents(self) -> Iterator[Metric]:
        pipeline = self._sources.pipeline
        counters = pipeline.counters
        yield _gauge("incidents", "Incidents that are not closed.", pipeline.board.states().items(), label="state")
        yield _gauge("problems_muted", "Problems that are inhibited or silenced.", pipeline.board.count_muted())
        yield _gauge("storms", "Storms that go on, of all receivers.", len(pipeline.storms))
        yield _counter("notifications", "Notifications of incidents that were called for.", counters.notifications)
        yield _counter("notifications_digested", "Of incidents, told in the digest of a storm.", counters.digested)
        what = "Events that end what no incident knows, and tell nobody anything."
        yield _counter("recoveries_needless", what, counters.needless)

    def _deliveries(self) -> Iterator[Metric]:
        workers = self._sources.workers
        done = [(name, worker.counters.delivered) for name, worker in workers.items()]
        yield _counter("deliveries", "Notifications that a receiver has taken.", done, label="receiver")
        degraded = [(name, worker.counters.degraded) for name, worker in workers.items()]
        what = "Of those, what was delivered as less than was meant, such as a text instead of a card."
        yield _counter("deliveries_degraded", what, degraded, label="receiver")
        failures = CounterMetricFamily(
            f"{_PREFIX}delivery_failures", "Tries to deliver that failed.", labels=["receiver", "reason"]
        )
        for name, worker in workers.items():
            for reason, count in worker.counters.failures.items():
                failures.add_metric([name, reason], count)
        yield failures
        dead = {
            "payload": self._sources.pipeline.counters.rejected,
            "delivery": sum(worker.counters.dead for worker in workers.values()),
        }
        yield _counter("dead_letters", "What was given up.", dead.items(), label="kind")

    def _connection(self) -> Iterator[Metric]:
        inbox, intake, store = self._sources.inbox, self._sources.intake, self._sources.store
        yield _gauge("inbox_messages", "Messages that were received and are not stored yet.", len(inbox))
        yield _gauge("connected", "Whether there is a connection to the broker.", int(intake.uplink is not None))
        yield _counter("connections", "Connections to the broker so far.", intake.connections)
        yield _counter("store_commits", "Transactions of the store.", store.commits)
        yield _counter("store_failures", "Transactions that the store could not do.", store.failures)
        yield _gauge("build_info", "The version that runs.", [(__version__, 1)], label="version")

    def _backlog(self) -> Iterator[Metric]:
        backlog, now = self._sources.store.backlog(), self._clock()
        names = self._sources.workers
        waiting = [(name, backlog[name].waiting if name in backlog else 0) for name in names]
        ages = [
            (name, max(0.0, (now - backlog[name].oldest_at).total_seconds()) if name in backlog else 0.0)
            for name in names
        ]
        yield _gauge("deliveries_waiting", "Deliveries that are not done yet.", waiting, label="receiver")
        yield _gauge("delivery_oldest_waiting_seconds", "Age of the oldest of them.", ages, label="receiver")


_Values = float | Iterable[tuple[str, float]]


def _counter(name: str, documentation: str, values: _Values, *, label: str | None = None) -> Metric:
    return _filled(CounterMetricFamily(f"{_PREFIX}{name}", documentation, labels=_labels(label)), values)


def _gauge(name: str, documentation: str, values: _Values, *, label: str | None = None) -> Metric:
    return _filled(GaugeMetricFamily(f"{_PREFIX}{name}", documentation, labels=_labels(label)), values)


def _labels(label: str | None) -> list[str]:
    return [] if label is None else [label]


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: _Values) -> Metric:
    """Return `family` with one value, or with one for each value of its label."""
    if isinstance(values, int | float):
        family.add_metric([], values)
    else:
        for value, number in values:
            family.add_metric([value], number)
    return family


def _sum(before: Metric, now: Metric) -> Metric:
    """Return the counters of `now` with those of `before` added; some of `before` there may be no more."""
    total = Metric(now.name, now.documentation, now.type)
    samples = {(sample.name, *sorted(sample.labels.items())): sample for sample in before.samples}
    for sample in now.samples:
        known = samples.pop((sample.name, *sorted(sample.labels.items())), None)
        total.add_sample(sample.name, sample.labels, sample.value + (known.value if known else 0))
    for sample in samples.values():
        total.add_sample(sample.name, sample.labels, sample.value)
    return total
