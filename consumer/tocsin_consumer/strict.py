"""What a configuration says that does nothing, or that does everything. Pure.

What is found is certain: where a regular expression could match anything or nothing, it is left alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tocsin_consumer.inhibit import InhibitSettings
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.route import Route
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.severity import Severity
from tocsin_schemas.configuration import Location
from tocsin_schemas.matching import Pattern, compile_pattern, literals

#: Field → all patterns that what comes to a place in the tree has matched.
Passed = Mapping[str, tuple[Pattern, ...]]

_EVERYTHING: Final = ".*"
#: Fields that have no other values.
_VALUES: Final = {"severity": tuple(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with what stands at a place of the file."""

    location: Location
    text: str


@dataclass(frozen=True, slots=True)
class Reach:
    """What can be said of the routes without an event."""

    findings: list[Finding] = field(default_factory=list)
    #: Where the nodes stand that can be reached, by their names.
    locations: dict[str, Location] = field(default_factory=dict)
    #: Receivers that a node tells which can be reached.
    told: set[str] = field(default_factory=set)


class _Place(NamedTuple):
    """A node in the tree, with what comes to it, and what the nodes above it drop."""

    node: Route
    location: Location
    passed: Passed
    drops: Sequence[tuple[str, MatchSettings]]


def findings(settings: ConsumerSettings) -> Iterator[Finding]:
    """Yield what does nothing or everything."""
    found = reach(settings)
    yield from found.findings
    for index, receiver in enumerate(settings.receivers):
        if receiver.name not in found.told:
            yield Finding(
                ("receivers", index), f"nobody uses the receiver {receiver.name}: no route tells it anything"
            )
    for index, rule in own_rules(settings):
        for side in ("source", "target"):
            yield from _wild(getattr(rule, side), ("inhibit", index, side), "it holds for everything")


def own_rules(settings: ConsumerSettings) -> Iterator[tuple[int, InhibitSettings]]:
    """Yield the rules of inhibition with their places in the file; the built-in ones have none."""
    return enumerate(settings.inhibit if "inhibit" in settings.model_fields_set else ())


def reach(settings: ConsumerSettings) -> Reach:
    """Return which routes can be reached, and what is wrong with the others."""
    found = Reach()
    top = Route(settings.route, single=settings.single)
    _visit(_Place(top, ("route",), {}, ()), found)
    return found


def _visit(place: _Place, found: Reach) -> None:
    node, location, passed, above = place
    found.locations[node.name] = location
    found.findings.extend(_wild(node.match, (*location, "match"), "it takes everything; leave match out"))
    found.findings.extend(_drop_findings(node, location, passed))
    if overhasty := node.overhasty():
        option, text = overhasty
        found.findings.append(Finding((*location, option), text))
    drops = [*above, *((f"{node.name}.drop[{index}]", drop) for index, drop in enumerate(node.settings.drop))]
    if not any(covers(drop, passed) for _, drop in drops) and not any(
        covers(child.match, passed) for child in node.children
    ):
        found.told.update(node.receivers)
    for index, child in enumerate(node.children):
        at, reaching = (*location, "routes", index), narrowed(passed, child.match)
        why = _unreachable(node.children[:index], reaching, drops)
        if why is None:
            _visit(_Place(child, at, reaching, drops), found)
        else:
            found.findings.append(Finding(at, f"is never reached: {why}"))


def _unreachable(
    before: Iterable[Route], passed: Passed, drops: Iterable[tuple[str, MatchSettings]]
) -> str | None:
    """Return why nothing that has `passed` comes to a node behind others; None if something may."""
    if contradicted := contradiction(passed):
        return f"nothing has {contradicted}, which it and the nodes above it ask for together"
    for name, drop in drops:
        if covers(drop, passed):
            return f"{name} drops all that it would take"
    for sibling in before:
        if not sibling.goes_on and covers(sibling.match, passed):
            return f"{sibling.name} before it takes all that it would take"
    return None


def _drop_findings(node: Route, location: Location, passed: Passed) -> Iterator[Finding]:
    for index, drop in enumerate(node.settings.drop):
        at = (*location, "drop", index)
        if contradicted := contradiction(narrowed(passed, drop)):
            yield Finding(at, f"drops nothing: {node.name} takes nothing that has {contradicted}")
        elif covers(drop, passed):
            yield Finding(at, f"drops everything that {node.name} takes")


def _wild(match: MatchSettings, location: Location, what: str) -> Iterator[Finding]:
    patterns = match.model_dump(exclude_none=True)
    if patterns and all(pattern == _EVERYTHING for pattern in patterns.values()):
        yield Finding(location, f"every field of it is {_EVERYTHING}: {what}")


def narrowed(passed: Passed, match: MatchSettings) -> Passed:
    """Return what of `passed` has matched `match` as well."""
    patterns: dict[str, Pattern] = match.model_dump(exclude_none=True)
    return {**passed, **{name: (*passed.get(name, ()), pattern) for name, pattern in patterns.items()}}


def contradiction(passed: Passed) -> str | None:
    """Return a field, with the patterns that no value of it matches, if there is one."""
    for name, patterns in passed.items():
        if _possible(name, patterns) == frozenset():
            return " and ".join(f"{name}={'|'.join(one) if isinstance(one, list) else one}" for one in patterns)
    return None


def covers(match: MatchSettings, passed: Passed) -> bool:
    """Tell whether all that has `passed` is certain to match."""
    patterns: dict[str, Pattern] = match.model_dump(exclude_none=True)
    return all(_covers(pattern, name, passed.get(name, ())) for name, pattern in patterns.items())


def _covers(pattern: Pattern, name: str, patterns: tuple[Pattern, ...]) -> bool:
    if pattern == _EVERYTHING or pattern in patterns:
        return True
    possible = _possible(name, patterns)
    return possible is not None and all(map(compile_pattern(pattern), possible))


def _possible(name: str, patterns: tuple[Pattern, ...]) -> frozenset[str] | None:
    """Return the only values that match all of `patterns`; None if those cannot be told."""
    known = [values for pattern in patterns if (values := literals(pattern)) is not None]
    candidates = known[0] if known else _VALUES.get(name)
    if candidates is None:
        return None
    tests = [compile_pattern(pattern) for pattern in patterns]
    return frozenset(value for value in candidates if all(test(value) for test in tests))
