"""What goes wrong in a round, and when. Pure: the seed says it all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos.story import Step, story

#: How long things go wrong.
SECONDS: Final = 4.5
#: Between two faults of one part: what one of them upset must not be taken for the work of the other.
_REST_SECONDS: Final = 0.8
_LONGEST_SECONDS: Final = 2.5

#: What may go wrong, by the part that it happens to; a kind that stands twice comes twice as often.
Kinds = Mapping[str, Sequence[str]]


@dataclass(frozen=True, order=True)
class Fault:
    """Something that goes wrong with a part from `at` for some seconds."""

    at: float
    seconds: float
    part: str
    kind: str

    @property
    def ends_at(self) -> float:
        """When it is over."""
        return self.at + self.seconds

    def __str__(self) -> str:
        return f"{self.part} {self.kind} {self.at:.2f}-{self.ends_at:.2f}"


@dataclass(frozen=True)
class Plan:
    """A round.

    Args:
        has_state: whether the producer has a state file.
        is_storm: the outbox is much too small, and every Event has one state.
    """

    seed: int
    has_state: bool
    is_storm: bool
    steps: tuple[Step, ...]
    faults: tuple[Fault, ...]


def plan(seed: int, kinds: Kinds) -> Plan:
    """Return the round that `seed` stands for."""
    random = Random(seed)  # noqa: S311 - it has to be the same again, not unpredictable
    is_storm = random.random() < 0.15
    has_state = is_storm or random.random() < 0.8
    steps = tuple(story(random, prefix=f"r{seed}", seconds=SECONDS, only_new=is_storm))
    faults = _faults(random, kinds)
    return Plan(seed, has_state, is_storm, steps, tuple(sorted(faults)))


def _faults(random: Random, kinds: Kinds) -> list[Fault]:
    faults: list[Fault] = []
    for _ in range(random.randint(3, 7)):
        part = random.choice(sorted(kinds))
        fault = Fault(
            round(random.uniform(0.0, SECONDS - 0.5), 2),
            round(random.uniform(0.1, _LONGEST_SECONDS), 2),
            part,
            random.choice(kinds[part]),
        )
        if not any(_is_too_close(fault, other) for other in faults):
            faults.append(fault)
    return faults


def _is_too_close(one: Fault, other: Fault) -> bool:
    apart = max(one.at - other.ends_at, other.at - one.ends_at)
    return one.part == other.part and apart < _REST_SECONDS
