"""Which events are told: include rules, then exclude rules; and what the API server can filter for us (pure)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tocsin_producer.event import EventState
from tocsin_schemas.matching import Match, Pattern, literals
from tocsin_schemas.topics import CLUSTER_SCOPE

#: Rule field → label that the API server can select core/v1 Events by.
_LABELS: Final = {
    "type": "type",
    "reason": "reason",
    "kind": "involvedObject.kind",
    "namespace": "involvedObject.namespace",
    "name": "involvedObject.name",
}
_NODES, _WARNINGS = f"{_LABELS['kind']}=Node", f"{_LABELS['type']}=Warning"
_PLAIN_VALUE: Final = re.compile(r"[\w-]+(\.[\w-]+)*")


@dataclass(frozen=True, slots=True)
class Rule:
    """All patterns hold and the count has reached `min_count`; without patterns it matches every event."""

    patterns: Mapping[str, Pattern] = field(default_factory=dict)
    min_count: int = 1


class EventFilter:
    """Passes what any include rule matches and no exclude rule does."""

    def __init__(self, include: Sequence[Rule], exclude: Sequence[Rule]) -> None:
        self._include = [(Match(rule.patterns), rule.min_count) for rule in include]
        self._exclude = [(Match(rule.patterns), rule.min_count) for rule in exclude]

    def passes(self, state: EventState) -> bool:
        """Tell whether `state` is to be published."""
        texts = _texts(state)
        return _any_holds(self._include, texts, state.count) and not _any_holds(self._exclude, texts, state.count)


def _any_holds(rules: list[tuple[Match, int]], texts: Mapping[str, str | None], count: int) -> bool:
    return any(count >= min_count and match(texts) for match, min_count in rules)


def _texts(state: EventState) -> dict[str, str | None]:
    """Return what rules can match; a cluster-scoped object has the namespace that its topic has."""
    return {
        "type": state.type,
        "reason": state.reason,
        "kind": state.kind,
        "namespace": CLUSTER_SCOPE if state.namespace is None else state.namespace,
        "name": state.name,
        "component": state.component,
        "message": state.message,
    }


def field_selectors(include: Sequence[Rule]) -> list[str]:
    """Return the fewest field selectors that together let through all that `include` could match.

    The API server knows AND but no OR and no patterns, so a selector holds the rule's literal fields; what it
    lets through in excess, `EventFilter` drops. The empty selector watches everything.
    """
    wanted = _with_nodes_in_one([_constraints(rule) for rule in include])
    minimal = [
        constraints
        for index, constraints in enumerate(wanted)
        if not any(
            other < constraints or (other == constraints and position < index)
            for position, other in enumerate(wanted)
        )
    ]
    return [",".join(sorted(constraints)) for constraints in minimal]


def _with_nodes_in_one(wanted: list[frozenset[str]]) -> list[frozenset[str]]:
    """Let rules that name conditions of nodes share a selector: nobody keeps the order between two watches."""
    of_nodes = [constraints for constraints in wanted if _NODES in constraints and _WARNINGS not in constraints]
    if not of_nodes:
        return wanted
    shared = frozenset.intersection(*of_nodes)
    return [shared if constraints in of_nodes else constraints for constraints in wanted]


def _constraints(rule: Rule) -> frozenset[str]:
    constraints = set()
    for name, pattern in rule.patterns.items():
        values = literals(pattern)
        if name in _LABELS and values is not None and len(values) == 1 and _is_selectable(values[0]):
            constraints.add(f"{_LABELS[name]}={values[0]}")
    return frozenset(constraints)


def _is_selectable(value: str) -> bool:
    return value != CLUSTER_SCOPE and _PLAIN_VALUE.fullmatch(value) is not None
