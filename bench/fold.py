"""How many messages an incident costs: repeats as they come, and what of them is published with the default fold.

The intake, the fold and the outbox are the real ones, with a clock that is set. `python -m bench.fold` counts.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bench.edge import RECORDING, warnings
from bench.row import Row, report
from tests.fakes.recording import read_recording
from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.database import Database
from tocsin_producer.filter import EventFilter
from tocsin_producer.fold import Fold
from tocsin_producer.intake import Intake, Wire
from tocsin_producer.outbox import Outbox
from tocsin_producer.settings import EventSettings, FoldSettings

#: A crash loop of a day.
DAY_MESSAGES: Final = 60.0
PODS: Final = (100, 1_000, 10_000)
_DAY, _HOUR = 86_400.0, 3_600.0
_MESSAGES, _BYTES = 50_000, 10**9


@dataclass
class Site:
    """A producer without a link: what the outbox has is published at once."""

    time: float = 1_795_420_000.0
    published: Counter[str] = field(default_factory=Counter)
    last: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        database = Database(None)
        checkpoint = Checkpoint(database)
        self._outbox = Outbox(database, max_messages=_MESSAGES, max_bytes=_BYTES)
        interval = FoldSettings().interval.total_seconds()
        self._fold = Fold(
            database,
            checkpoint,
            self._outbox,
            interval_seconds=interval,
            max_messages=_MESSAGES,
            max_bytes=_BYTES,
            now=lambda: self.time,
        )
        events = EventSettings()
        self._intake = Intake(
            database,
            checkpoint,
            self._fold,
            event_filter=EventFilter(
                [rule.rule() for rule in events.include], [rule.rule() for rule in events.exclude]
            ),
            wire=Wire("k8s/v1", "edge-042", 1024),
            wake=lambda: None,
        )

    def offer(self, *events: dict[str, Any]) -> None:
        """Let the API server tell of `events`, and publish what there is to publish."""
        self._intake.offer(events, "bench")
        self.publish()

    def publish(self) -> None:
        """Publish what is due by now."""
        self._fold.release()
        while taken := self._outbox.take(_MESSAGES):
            for message in taken:
                self.published[message.uid] += 1
                self.last[message.uid] = message.count
            self._outbox.settle([self._outbox.acknowledge(message) for message in taken])

    def sums(self) -> dict[str, int]:
        """Return what became of all that was offered."""
        return self._intake.sums()

    def end(self) -> None:
        """Let nothing more happen, for longer than anything is held."""
        self.time += _DAY
        self.publish()


def rows() -> Iterator[Row]:
    """Count all of it."""
    for name, times in (("every 10 s", 8_640), ("every 5 min", 288), ("70,944 times", 70_944)):
        yield from _crash_loop(name, times)
    for pods in PODS:
        yield _deployment(pods)
    yield from _recorded()


def _crash_loop(name: str, times: int) -> Iterator[Row]:
    site, event = Site(), next(warnings())
    for count in range(1, times + 1):
        site.offer({**event, "count": count})
        site.time += _DAY / times
    site.end()
    (uid,) = site.published
    yield Row(f"a day's crash loop, {name}", site.published[uid], "messages", DAY_MESSAGES)
    yield Row(f"a day's crash loop, {name}: occurrences never told", times - site.last[uid], "occurrences", 0)


def _deployment(pods: int) -> Row:
    """Let that many Pods crash for an hour, each every 60 s."""
    site = Site()
    events = [event for event, _ in zip(warnings(), range(pods), strict=False)]
    for count in range(1, 61):
        site.offer(*({**event, "count": count} for event in events))
        site.time += 60
    site.end()
    return Row(f"an hour's crash loop of {pods} Pods, each", site.published.total() / pods, "messages", 10)


def _recorded() -> Iterator[Row]:
    """Play a recorded day of trouble in its own time."""
    site = Site()
    began = site.time
    newest: dict[str, int] = {}
    for notification in read_recording(RECORDING):
        site.time = began + notification.at_seconds
        if notification.type != "DELETED":
            before = site.sums()
            site.offer(notification.event)
            if site.sums()["accepted"] + site.sums()["folded"] > before["accepted"] + before["folded"]:
                newest[notification.event["metadata"]["uid"]] = notification.event.get("count") or 1
    site.end()
    sums = site.sums()
    yield Row("recorded: event states that pass the filter", sums["accepted"] + sums["folded"], "states")
    yield Row("recorded: published of them", site.published.total(), "messages")
    untold = sum(site.last.get(uid, 0) < count for uid, count in newest.items())
    yield Row("recorded: Events whose last count is never told", untold, "Events", 0)


if __name__ == "__main__":
    sys.exit(report("fold", rows()))
