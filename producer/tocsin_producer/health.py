"""What the producer says of itself to whoever asks: whether it makes progress and is of use, and its figures.

Alive means progress. A link that is down and an API server that is away are not mended by a restart, so they only
count against being ready.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tocsin_producer.database import Database
from tocsin_producer.fold import Fold
from tocsin_producer.intake import Intake
from tocsin_producer.link import Link
from tocsin_producer.metrics import CONTENT_TYPE, Metric, counter, exposition, gauge
from tocsin_producer.outbox import Outbox
from tocsin_producer.probes import Answer
from tocsin_producer.tenure import Tenure
from tocsin_schemas import __version__
from tocsin_schemas.pulse import Pulse

#: A thread that should have been heard of for longer than this is stuck; slow cards take a while.
LATE_SECONDS: Final = 60.0


class Source(Protocol):
    """Where events come from, in a thread of its own."""

    pulse: Pulse

    def run(self, stop: threading.Event) -> None:
        """Feed the intake until `stop` is set."""

    def abort(self) -> None:
        """End a wait early; called from another thread."""

    @property
    def has_listed(self) -> bool:
        """Whether everything that was there before has been read once."""

    @property
    def contact_seconds(self) -> float | None:
        """For how long the API server has said nothing; None if it never has."""


@dataclass(slots=True)
class Health:
    """Looks at all parts of a run; each of them may be at work in its own thread meanwhile."""

    cluster: str
    database: Database
    intake: Intake
    fold: Fold
    outbox: Outbox
    link: Link
    tenure: Tenure
    watches: Sequence[tuple[Source, threading.Thread]] = ()

    def pages(self) -> Mapping[str, Callable[[], Answer]]:
        """Return what the probes' server answers."""
        return {"/healthz": self.healthz, "/readyz": self.readyz, "/metrics": self.metrics}

    def healthz(self) -> Answer:
        """Answer 503 where only a new start helps."""
        return _answer(self.stuck(), note=self._standing())

    def readyz(self) -> Answer:
        """Answer 503 as long as events cannot come in or cannot go out."""
        return _answer([*self.stuck(), *self.missing()])

    def metrics(self) -> Answer:
        """Answer with all figures."""
        return Answer(200, exposition(self._figures()), CONTENT_TYPE)

    def stuck(self) -> list[str]:
        """Return which threads do not make progress."""
        reasons = [
            f"{thread.name} has ended" if not thread.is_alive() else _late(thread.name, source.pulse)
            for source, thread in self.watches
        ]
        session = self.tenure.session
        reasons.append(_late("the MQTT session", session.pulse) if session is not None else "")
        return [reason for reason in reasons if reason]

    def missing(self) -> list[str]:
        """Return what keeps this producer from being of use just now."""
        reasons = [
            f"{thread.name} has not listed the Events yet"
            for source, thread in self.watches
            if not source.has_listed
        ]
        if not self.link.is_connected:
            reasons.append(self._standing() or f"no connection to the broker: {self._trouble()}")
        elif (refusal := self.link.refusal) is not None:
            reasons.append(f"the broker refuses {refusal}")
        if self.database.trouble is not None:
            reasons.append(f"the state cannot be written: {self.database.trouble}")
        return reasons

    def _standing(self) -> str:
        rival = self.link.superseded_by
        return "" if rival is None else f"superseded: another producer (boot {rival}) speaks for {self.cluster}"

    def _trouble(self) -> str:
        session = self.tenure.session
        return (session.trouble if session is not None else None) or "being made"

    def _figures(self) -> list[Metric]:
        return [*self._own(), *self._api_figures(), *self._outbox_figures(), *self._link_figures()]

    def _own(self) -> list[Metric]:
        info = {"version": __version__, "cluster": self.cluster}
        return [
            Metric("info", "gauge", "What this is; always 1.", {"": 1}, constant=info),
            gauge("boot", "Boot that statuses and events are told with.", self.link.status.boot),
        ]

    def _api_figures(self) -> list[Metric]:
        ages = [source.contact_seconds for source, _ in self.watches]
        known = [age for age in ages if age is not None]
        sums = self.intake.sums()
        return [
            gauge(
                "api_contact_age_seconds",
                "Since the API server said something, on the watch where that is longest ago.",
                max(known, default=None),
            ),
            counter("events_seen_total", "Event states that the API server told.", sum(sums.values())),
            Metric("events_total", "counter", "Event states by what became of them.", sums, label="outcome"),
        ]

    def _outbox_figures(self) -> list[Metric]:
        return [
            gauge("waiting", "Events that the broker has not acknowledged.", self.outbox.waiting),
            gauge("oldest_waiting_seconds", "How long the oldest of them has waited.", self._oldest_seconds()),
            gauge("folded", "Repeats held until they say more than the last that was told.", self.fold.held),
            gauge("held", "Of those waiting, how many may not go today.", self.link.status.held),
            gauge("outbox_bytes", "Room that they take up.", self.outbox.bytes),
            Metric("lost_total", "counter", "Events given up, by reason.", self.outbox.losses, label="reason"),
            gauge("state_failing", "1 while the state cannot be written.", self.database.trouble is not None),
        ]

    def _oldest_seconds(self) -> float | None:
        return self.outbox.oldest_seconds() if self.database.trouble is None else None

    def _link_figures(self) -> list[Metric]:
        counters = self.link.counters
        return [
            gauge("link_connected", "1 while the broker is connected.", self.link.is_connected),
            gauge("superseded", "1 while another producer speaks here.", self.link.superseded_by is not None),
            counter("published_total", "Events that the broker acknowledged.", counters.published),
            counter("refused_total", "Refusals of events by the broker.", counters.refused),
            counter("unheard_total", "Events that the broker took for nobody (MQTT 5).", counters.unheard),
            counter("reconnects_total", "Connections after the first.", max(0, counters.connections - 1)),
            counter("sent_bytes_total", "Topics and payloads handed to the broker.", counters.bytes),
            counter("traffic_bytes_total", "IP packets to and from the broker (Linux).", counters.traffic),
            gauge("budget_spent_bytes", "What today's budget has paid.", self.link.budget.spent),
        ]


def _late(name: str, pulse: Pulse) -> str:
    late = pulse.late_seconds
    return f"{name} is stuck: it should have been heard of {late:.0f} s ago" if late > LATE_SECONDS else ""


def _answer(reasons: Sequence[str], *, note: str = "") -> Answer:
    lines = reasons or ["ok", *([note] if note else [])]
    return Answer(503 if reasons else 200, "".join(f"{line}\n" for line in lines))
