"""What happens in the cluster during a round: Events come, grow and go. Pure, from a random number generator."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any, Final

#: How often something happens.
_PAUSES_SECONDS: Final = (0.02, 0.25)
#: A critical Event is a card in a group, which takes 100 a minute.
_MOST_CRITICAL: Final = 6


class Kind(Enum):
    """What an Event is about, and whether the filter that is the default lets it pass."""

    POD = "pod"
    NODE = "node"
    ORDINARY = "ordinary"
    NOISE = "noise"

    @property
    def passes(self) -> bool:
        """Whether it is published."""
        return self in (Kind.POD, Kind.NODE)


_FIELDS: Final[dict[Kind, dict[str, Any]]] = {
    Kind.POD: {"type": "Warning", "reason": "BackOff", "involvedObject": {"kind": "Pod", "namespace": "shop"}},
    Kind.NODE: {"type": "Normal", "reason": "NodeNotReady", "involvedObject": {"kind": "Node"}},
    Kind.ORDINARY: {"type": "Normal", "reason": "Pulled", "involvedObject": {"kind": "Pod", "namespace": "shop"}},
    Kind.NOISE: {"type": "Warning", "reason": "InvalidDiskCapacity", "involvedObject": {"kind": "Node"}},
}


@dataclass(frozen=True)
class Step:
    """At `at` seconds an Event gets this count, or is deleted (a count of 0)."""

    at: float
    uid: str
    kind: Kind
    count: int

    @property
    def is_deletion(self) -> bool:
        """Whether the Event goes."""
        return self.count == 0

    @property
    def object(self) -> str:
        """The name of the involved object, which is nobody's replica."""
        return f"{self.uid}-{self.kind.value}"

    def event(self, moment: str) -> dict[str, Any]:
        """Return the Event as the API server has it; `moment` is its last time, as RFC 3339."""
        fields = _FIELDS[self.kind]
        return {
            **fields,
            "metadata": {"name": self.uid, "namespace": "default", "uid": self.uid, "creationTimestamp": moment},
            "involvedObject": {**fields["involvedObject"], "name": self.object},
            "message": f"{self.kind.value} {self.uid} has occurred {self.count} times",
            "source": {"component": "kubelet", "host": "pi-3"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": self.count,
        }


class Cluster:
    """The Events that there are, and what may become of them."""

    def __init__(self, random: Random, *, prefix: str) -> None:
        self._random = random
        self._prefix = prefix
        self._made = self._critical = 0
        self._alive: list[Step] = []

    def next(self, at: float, *, only_new: bool) -> Step:
        """Return what happens at `at`."""
        chance = 0.0 if only_new else self._random.random()
        if self._alive and chance > 0.94:
            return self._delete(at)
        if self._alive and chance > 0.6:
            return self._grow(at)
        return self._create(at)

    def _create(self, at: float) -> Step:
        kind = self._random.choices(list(Kind), weights=(70, 10, 12, 8))[0]
        if kind is Kind.NODE:
            self._critical += 1
            kind = kind if self._critical <= _MOST_CRITICAL else Kind.POD
        self._made += 1
        step = Step(at, f"{self._prefix}-{self._made}", kind, self._random.choice((1, 1, 3)))
        self._alive.append(step)
        return step

    def _grow(self, at: float) -> Step:
        index = self._random.randrange(len(self._alive))
        before = self._alive[index]
        self._alive[index] = Step(at, before.uid, before.kind, before.count + self._random.choice((1, 1, 2, 40)))
        return self._alive[index]

    def _delete(self, at: float) -> Step:
        gone = self._alive.pop(self._random.randrange(len(self._alive)))
        return Step(at, gone.uid, gone.kind, 0)


def story(random: Random, *, prefix: str, seconds: float, only_new: bool = False) -> Iterator[Step]:
    """Return what happens in `seconds`; with `only_new` every Event has one state and stays."""
    cluster = Cluster(random, prefix=prefix)
    at = random.uniform(*_PAUSES_SECONDS)
    while at < seconds:
        yield cluster.next(at, only_new=only_new)
        at += random.uniform(*_PAUSES_SECONDS)
