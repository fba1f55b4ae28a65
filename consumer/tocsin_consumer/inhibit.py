"""Which problems are not told because another stands that explains them. Pure.

The rules are Alertmanager's (prometheus.io/docs/alerting/latest/configuration, "inhibit_rule"): a field that is
missing equals one that is empty, and what matches both sides of a rule is not inhibited by what does so as well.
What is inhibited or silenced itself inhibits all the same. Of two that inhibit each other, which would tell
neither, the one that stood first is told.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import Field, field_validator

from tocsin_consumer.match import MatchField, MatchSettings, Texts, match_of
from tocsin_consumer.notice import COMPONENT, KIND, Reason
from tocsin_schemas.configuration import Settings


class InhibitSettings(Settings):
    """While a problem stands that matches `source`, none is told that matches `target` and has the same `equal`.

    A field that an event lacks is empty, and equal to one that another lacks: where `equal` has `node`, let
    `source` say `node: ".+"`, or a source without a node inhibits all targets without one.
    """

    name: str | None = Field(default=None, min_length=1, description="What it is called where it is told.")
    source: MatchSettings = Field(description="What inhibits.")
    target: MatchSettings = Field(description="What it inhibits; `{}` is everything.")
    equal: list[MatchField] = Field(
        default=["cluster"], description="Fields in which both have to be equal; with `[]`, one inhibits all."
    )

    @field_validator("source")
    @classmethod
    def _check_source(cls, source: MatchSettings) -> MatchSettings:
        if source == MatchSettings():
            raise ValueError("expected at least one field; what everything inhibits is never told")
        return source


#: The rules where the configuration has none.
DEFAULT_RULES: Final = (
    InhibitSettings(
        name="cluster-offline",
        source=MatchSettings(kind=[KIND], reason=[Reason.OFFLINE.value], component=[COMPONENT]),
        target=MatchSettings(kind=rf"(?!{KIND}\Z).*"),
        equal=["cluster"],
    ),
    InhibitSettings(
        name="node-not-ready",
        source=MatchSettings(kind=["Node"], reason=["NodeNotReady"], node=".+"),
        target=MatchSettings(kind=["Pod"]),
        equal=["cluster", "node"],
    ),
    # The node controller and the taint manager say of no Pod on which node it is (Kubernetes 1.36).
    InhibitSettings(
        name="pods-of-nodes-not-ready",
        source=MatchSettings(kind=["Node"], reason=["NodeNotReady"]),
        target=MatchSettings(kind=["Pod"], reason=["NodeNotReady", "TaintManagerEviction"]),
        equal=["cluster"],
    ),
)


@dataclass(frozen=True, slots=True)
class Inhibition:
    """Why a problem is not told: the rule, and the problem that stands."""

    rule: str
    source: Hashable
    #: The fields of the source.
    texts: Texts

    def __str__(self) -> str:
        return f"{self.texts.get('reason')} of {self.texts.get('kind')} {self.texts.get('name')} ({self.rule})"


def named(rules: Iterable[InhibitSettings]) -> Iterator[tuple[str, InhibitSettings]]:
    """Yield rules with what they are called: one without a name, after its place in the list."""
    return ((rule.name or f"inhibit[{index}]", rule) for index, rule in enumerate(rules))


class Inhibitor:
    """Knows which problems stand that inhibit others.

    Args:
        rules: of several that hold, the first is told.
    """

    def __init__(self, rules: Sequence[InhibitSettings]) -> None:
        self._rules = [_Rule(rule, name) for name, rule in named(rules)]
        #: The sources that stand, in the order in which they came.
        self._turns: dict[Hashable, int] = {}
        self._last_turn = 0

    def is_source(self, texts: Texts) -> bool:
        """Tell whether what has these texts inhibits others while it stands."""
        return any(rule.is_source(texts) for rule in self._rules)

    def stand(self, key: Hashable, texts: Texts) -> None:
        """Note that a problem stands, with these texts from now on."""
        if key not in self._turns and self.is_source(texts):
            self._last_turn += 1
            self._turns[key] = self._last_turn
        for rule in self._rules:
            rule.stand(key, texts)

    def end(self, key: Hashable) -> None:
        """Note that a problem is over, if it stood."""
        self._turns.pop(key, None)
        for rule in self._rules:
            rule.end(key)

    def inhibited_by(self, texts: Texts, key: Hashable) -> Inhibition | None:
        """Return what inhibits the problem `key`, which nothing does by itself."""
        found = (one for rule in self._rules for one in rule.inhibiting(texts, key))
        return next((one for one in found if not self._is_before(key, texts, one)), None)

    def _is_before(self, key: Hashable, texts: Texts, found: Inhibition) -> bool:
        """Tell whether the problem stood before what inhibits it, and inhibits that as well."""
        turn = self._turns.get(key)
        if turn is None or turn > self._turns[found.source]:
            return False
        return any(rule.inhibits(texts, found.texts) for rule in self._rules)


#: The values of the fields that have to be equal, and whether the source matches the target's side as well.
_Bucket = tuple[tuple[str, ...], bool]


class _Rule:
    """One rule with the sources that stand, in the order in which they came.

    They are found by their equal fields, so that a question costs the same however many there are.
    """

    def __init__(self, settings: InhibitSettings, name: str) -> None:
        self._name = name
        self._equal = tuple(settings.equal)
        self.is_source = match_of(settings.source)
        self._is_target = match_of(settings.target)
        self._sources: dict[_Bucket, dict[Hashable, Texts]] = {}
        self._buckets: dict[Hashable, _Bucket] = {}

    def stand(self, key: Hashable, texts: Texts) -> None:
        bucket = (self._values(texts), self._is_target(texts)) if self.is_source(texts) else None
        if bucket != self._buckets.get(key):
            self.end(key)
        if bucket is not None:
            self._buckets[key] = bucket
            self._sources.setdefault(bucket, {})[key] = texts

    def end(self, key: Hashable) -> None:
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            return
        del self._sources[bucket][key]
        if not self._sources[bucket]:
            del self._sources[bucket]

    def inhibits(self, source: Texts, target: Texts) -> bool:
        is_of_both = self.is_source(target) and self._is_target(source)
        is_of_rule = self.is_source(source) and self._is_target(target) and not is_of_both
        return is_of_rule and self._values(source) == self._values(target)

    def inhibiting(self, texts: Texts, key: Hashable) -> Iterator[Inhibition]:
        """Yield what inhibits the problem `key`, and not itself."""
        if not self._is_target(texts):
            return
        for matches_both in (False,) if self.is_source(texts) else (False, True):
            sources = self._sources.get((self._values(texts), matches_both), {})
            for source, said in sources.items():
                if source != key:
                    yield Inhibition(self._name, source, said)

    def _values(self, texts: Texts) -> tuple[str, ...]:
        return tuple(texts.get(field) or "" for field in self._equal)
