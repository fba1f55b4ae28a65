"""What a round has to come to: what had to arrive of every Event, against what each receiver got. Pure.

What is promised, and so what is demanded:

* The newest state of every Event that passes the filter reaches every receiver that it is routed to. An older one
  may be skipped, since a newer one takes its place while it waits.
* A receiver never gets a state twice, and never a count below one that it had.
* Nothing arrives that the filter drops, and nothing that the API server never had.
* What is missing was told: by the producer, as `lost` in its status; by the consumer, as a gap in the producer's
  numbers or as a dead letter. Neither is told for nothing.

Two repeats are nobody's fault, and are counted apart: a delivery that was taken just before its consumer was
killed, or just before its receiver broke off, cannot have been noted as made.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class State:
    """An Event with so many occurrences."""

    uid: str
    count: int


@dataclass(frozen=True)
class Delivery:
    """What a receiver got, and when."""

    state: State
    at: float


@dataclass(frozen=True)
class Window:
    """A span of time in which a receiver may have taken what nobody could note any more."""

    receiver: str
    begins_at: float
    ends_at: float


@dataclass(frozen=True)
class Expectation:
    """An Event of the story.

    Args:
        states: all counts that the API server had, in order.
        receivers: who has to get the last of them; nobody for what the filter drops.
        is_excused: it was deleted, or its producer killed with all that it remembered, before it had to be known.
    """

    uid: str
    states: tuple[int, ...]
    receivers: frozenset[str]
    is_excused: bool = False


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was said to be missing.

    Args:
        lost: how many messages the outbox gave up.
        doubtful: how many of these may have come all the same, their acknowledgement having been lost.
        gap: how many messages the consumer knows to have been published and never come.
        gap_limit: how many of these a killed broker may have taken with it.
        dead: deliveries that were given up, by receiver.
    """

    lost: int = 0
    doubtful: int = 0
    gap: int = 0
    gap_limit: int = 0
    dead: Mapping[str, frozenset[State]] = field(default_factory=dict)


@dataclass(frozen=True)
class Violation:
    """A promise that was broken."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True)
class Balance:
    """What a round came to."""

    violations: tuple[Violation, ...]
    totals: Counter[str]


@dataclass(frozen=True)
class Ledger:
    """Everything that a balance depends on; deliveries are by receiver and in order."""

    expectations: Sequence[Expectation]
    deliveries: Mapping[str, Sequence[Delivery]]
    told: Told = Told()
    windows: Sequence[Window] = ()

    def balance(self) -> Balance:
        """Hold what arrived against what had to."""
        missing = list(self.missing())
        gone = self._gone(missing)
        partly = [miss for miss in missing if miss[1].uid not in gone and not self._is_dead(*miss)]
        repeats = list(self._repeats())
        excused = [repeat for repeat in repeats if self._is_excused(*repeat)]
        violations = (
            *self._uninvited(),
            *self._backwards(),
            *(_violation("repeated", *repeat) for repeat in repeats if repeat not in excused),
            *(_violation("missing", *miss) for miss in partly),
            *self._untold(sorted(gone)),
        )
        return Balance(violations, self._totals(len(gone), len(excused)))

    def missing(self) -> Iterator[tuple[str, State]]:
        """Return each newest state that a receiver has not got, with the receiver."""
        highest = {receiver: _highest(deliveries) for receiver, deliveries in self.deliveries.items()}
        for expectation in self.expectations:
            newest = State(expectation.uid, expectation.states[-1])
            for receiver in sorted(expectation.receivers):
                if not expectation.is_excused and highest[receiver].get(newest.uid, 0) < newest.count:
                    yield receiver, newest

    def _gone(self, missing: Sequence[tuple[str, State]]) -> set[str]:
        """Return the Events whose newest state came to no receiver at all: it never came to the consumer."""
        times = Counter(state.uid for _, state in missing)
        return {one.uid for one in self.expectations if one.receivers and times[one.uid] == len(one.receivers)}

    def _is_dead(self, receiver: str, state: State) -> bool:
        return state in self.told.dead.get(receiver, frozenset())

    def _untold(self, gone: Sequence[str]) -> Iterator[Violation]:
        """Hold what never came against what was told to be lost."""
        told = self.told
        untold = len(gone) - told.lost - min(told.gap, told.gap_limit)
        if untold > 0:
            said = f"told are {told.lost} lost and a gap of {told.gap} (at most {told.gap_limit} of it is excused)"
            yield Violation("missing", f"{len(gone)} everywhere: {' '.join(gone)}; {said}")
        if told.lost > len(gone) + told.doubtful:
            yield Violation("lost", f"told are {told.lost}, missing are {len(gone)}")
        if told.gap > told.gap_limit:
            yield Violation("gap", f"told are {told.gap}, of which at most {told.gap_limit} can be")

    def _uninvited(self) -> Iterator[Violation]:
        known = {one.uid: one for one in self.expectations}
        for receiver, state, _ in self._each():
            expectation = known.get(state.uid)
            if expectation is None or state.count not in expectation.states:
                yield _violation("invented", receiver, state)
            elif receiver not in expectation.receivers:
                yield _violation("uninvited", receiver, state)

    def _backwards(self) -> Iterator[Violation]:
        highest: dict[tuple[str, str], int] = {}
        for receiver, state, _ in self._each():
            key = receiver, state.uid
            if state.count < highest.get(key, 0):
                yield _violation("backwards", receiver, state, highest[key])
            highest[key] = max(state.count, highest.get(key, 0))

    def _repeats(self) -> Iterator[tuple[str, State, float]]:
        """Return each state that a receiver got again, and when it had got it before."""
        got: dict[tuple[str, State], float] = {}
        for receiver, state, at in self._each():
            if (receiver, state) in got:
                yield receiver, state, got[receiver, state]
            got[receiver, state] = at

    def _is_excused(self, receiver: str, _state: State, at: float) -> bool:
        return any(
            window.receiver == receiver and window.begins_at <= at <= window.ends_at for window in self.windows
        )

    def _each(self) -> Iterator[tuple[str, State, float]]:
        for receiver, deliveries in self.deliveries.items():
            for delivery in deliveries:
                yield receiver, delivery.state, delivery.at

    def _totals(self, gone: int, repeated: int) -> Counter[str]:
        passed = [one for one in self.expectations if one.receivers]
        return Counter(
            {
                "served": sum(len(one.states) for one in self.expectations),
                "passed": sum(len(one.states) for one in passed),
                "events": len(passed),
                "excused": sum(one.is_excused for one in passed),
                "delivered": sum(map(len, self.deliveries.values())),
                "missing": gone,
                "lost told": self.told.lost,
                "gap told": self.told.gap,
                "dead": sum(map(len, self.told.dead.values())),
                "repeated in a window": repeated,
            }
        )


def _highest(deliveries: Sequence[Delivery]) -> dict[str, int]:
    """Return the highest count of each Event."""
    highest: dict[str, int] = {}
    for delivery in deliveries:
        highest[delivery.state.uid] = max(delivery.state.count, highest.get(delivery.state.uid, 0))
    return highest


def _violation(kind: str, receiver: str, state: State, *more: object) -> Violation:
    return Violation(kind, " ".join(map(str, (receiver, state.uid, state.count, *more))))
