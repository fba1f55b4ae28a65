"""What a receiver of incidents has to have been told, against the Events that came to the consumer. Pure.

What is demanded:

* Every Event that is routed there is named by some notification, and nothing is named that never came.
* Events that belong together are told as one incident, whatever was killed meanwhile.
* Occurrences add up: those of the lines are those of the incident, which never get fewer, and what is told to be
  new is what the one before had not told. In the end they are no more than there were.
* No notification comes sooner than `group_interval` after the one before of the same incident, and none without
  news: while nothing is repeated yet, each names something that none before it has named.

A notification that was taken just before its consumer was killed, or just before its receiver broke off, cannot
have been noted as made. The next one comes as if that had never been, sooner and with all that it told.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.ledger import Violation, Window

#: Clocks of two processes, and a notification that takes a moment to be read.
_TOLERANCE_SECONDS = 0.05


@dataclass(frozen=True)
class Telling:
    """A notification of an incident as it came."""

    incident: int
    #: What its Events have in common.
    group: str
    at: float
    #: Occurrences of all, and those that are said to be new.
    count: int
    new_count: int
    #: Occurrences of each line.
    lines: tuple[int, ...]
    #: The objects that are named.
    names: frozenset[str]


@dataclass(frozen=True)
class IncidentLedger:
    """Everything that the demands depend on.

    Args:
        known: group → object → its occurrences, as far as they came to the consumer.
        tellings: what the receiver got, in order.
        windows: in which it may have taken what nobody could note any more.
    """

    known: Mapping[str, Mapping[str, int]]
    tellings: Sequence[Telling]
    group_interval_seconds: float
    windows: Sequence[Window] = ()

    def violations(self) -> Iterator[Violation]:
        """Yield each demand that is not met."""
        incidents: defaultdict[int, list[Telling]] = defaultdict(list)
        for telling in self.tellings:
            incidents[telling.incident].append(telling)
        yield from self._named()
        yield from self._split()
        for tellings in incidents.values():
            yield from self._added_up(tellings)
            yield from self._in_time(tellings)

    def _named(self) -> Iterator[Violation]:
        for group, objects in self.known.items():
            told = {name for telling in self.tellings if telling.group == group for name in telling.names}
            for name in sorted(objects.keys() - told):
                yield Violation("not told", f"{name} of {group}")
        for telling in self.tellings:
            for name in sorted(telling.names - self.known.get(telling.group, {}).keys()):
                yield Violation("invented", f"{name} of {telling.group}")

    def _split(self) -> Iterator[Violation]:
        ids: defaultdict[str, set[int]] = defaultdict(set)
        for telling in self.tellings:
            ids[telling.group].add(telling.incident)
        for group, found in ids.items():
            if len(found) > 1:
                yield Violation("split", f"{group} is told as {len(found)} incidents")

    def _added_up(self, tellings: Sequence[Telling]) -> Iterator[Violation]:
        for telling in tellings:
            if sum(telling.lines) != telling.count:
                yield _violation("sum", telling, f"its lines have {sum(telling.lines)}")
        there_are = sum(self.known.get(tellings[0].group, {}).values())
        if tellings[-1].count > there_are:
            yield _violation("sum", tellings[-1], f"there are {there_are}")

    def _in_time(self, tellings: Sequence[Telling]) -> Iterator[Violation]:
        """Hold each against the one before it, or those before it as far as that may not have been noted."""
        for index, telling in enumerate(tellings):
            earlier = list(self._last_noted(tellings[:index]))
            if index and telling.count < tellings[index - 1].count:
                yield _violation("backwards", telling, tellings[index - 1].count)
            if telling.count - telling.new_count not in [one.count if one else 0 for one in earlier]:
                yield _violation("sum", telling, f"{telling.new_count} of them are said to be new")
            if not any(self._may_follow(telling, one) for one in earlier):
                yield _violation("too soon", telling, telling.at - tellings[index - 1].at)
            if not any(one is None or telling.names - one.names for one in earlier):
                yield _violation("without news", telling)

    def _last_noted(self, before: Sequence[Telling]) -> Iterator[Telling | None]:
        """Yield what may have been noted last: the last, and while that may not have been, the one before it."""
        for telling in reversed(before):
            yield telling
            if not any(window.begins_at <= telling.at <= window.ends_at for window in self.windows):
                return
        yield None

    def _may_follow(self, telling: Telling, before: Telling | None) -> bool:
        return before is None or telling.at - before.at >= self.group_interval_seconds - _TOLERANCE_SECONDS


def _violation(kind: str, telling: Telling, *more: object) -> Violation:
    said = (f"incident {telling.incident}", telling.group, telling.count, *more)
    return Violation(kind, " ".join(map(str, said)))
