"""Where an event would go, step by step, and why. Pure.

The steps are those of `Route.walk`, by which events are routed, so that what is explained is what happens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

from tocsin_consumer.dispatch import Timing
from tocsin_consumer.inhibit import InhibitSettings, named
from tocsin_consumer.match import MatchSettings, Texts, match_of, match_texts
from tocsin_consumer.notice import is_digest
from tocsin_consumer.recovery import Ended, ended_by, is_recovery, stands
from tocsin_consumer.route import Route, Taken, Verdict, Visit
from tocsin_schemas.event import EventPayload
from tocsin_schemas.matching import Pattern, compile_pattern

#: Where an option comes from that no node says.
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a match: what it has to be, what it is, and whether that holds."""

    name: str
    pattern: Pattern
    value: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the tree: what it does with the event, and by which fields of its match, or of what it drops."""

    route: Route
    #: None of a node that is not asked, since `taken_by` has taken the event.
    verdict: Verdict | None
    fields: tuple[Field, ...] = ()
    drop: int | None = None
    drop_fields: tuple[Field, ...] = ()
    taken_by: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a route, and where it comes from: the name of a node, or `DEFAULT`."""

    name: str
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Share:
    """What a node that takes the event does with it."""

    taken: Taken
    #: Receivers of the node that a node before it tells already.
    told_before: tuple[str, ...]
    receivers_origin: str
    #: What the events of the incident have in common.
    group: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where one event would go."""

    event: EventPayload
    texts: Texts
    steps: tuple[Step, ...]
    shares: tuple[Share, ...]
    #: Whether it says only that something is over; and the problems that it ends, if there are such.
    is_recovery: bool
    ends: tuple[Ended, ...]
    #: Whether it goes on until its end is said.
    stands: bool
    #: The rules of inhibition in which it holds others, and those in which others may hold it.
    source_of: tuple[str, ...]
    target_of: tuple[str, ...]
    #: Whether it is a digest, which goes to its receiver: no node is asked.
    is_digest: bool = False


def explain(route: Route, event: EventPayload, rules: Sequence[InhibitSettings] = ()) -> Explanation:
    """Return where `event` would go from the top of the tree, and why."""
    texts = match_texts(event)
    if is_digest(event):
        return _of_digest(event, texts)
    told: set[str] = set()
    shares = []
    for taken in route.decide(event).taken:
        shares.append(_share(taken, texts, told))
        told.update((*taken.grouped, *taken.single))
    return Explanation(
        event,
        texts,
        tuple(_steps(route, texts)),
        tuple(shares),
        is_recovery(event),
        tuple(ended_by(event)),
        stands(event),
        source_of=tuple(name for name, rule in named(rules) if match_of(rule.source)(texts)),
        target_of=tuple(name for name, rule in named(rules) if match_of(rule.target)(texts)),
    )


def _of_digest(event: EventPayload, texts: Texts) -> Explanation:
    return Explanation(
        event,
        texts,
        steps=(),
        shares=(),
        is_recovery=False,
        ends=(),
        stands=False,
        source_of=(),
        target_of=(),
        is_digest=True,
    )


def fields_of(match: MatchSettings, texts: Texts) -> tuple[Field, ...]:
    """Return what each field of `match` says to these texts; all hold where the match does."""
    patterns: dict[str, Pattern] = match.model_dump(exclude_none=True)
    return tuple(
        Field(name, pattern, texts.get(name) or "", compile_pattern(pattern)(texts.get(name) or ""))
        for name, pattern in patterns.items()
    )


def origin(route: Route, option: str) -> str:
    """Return where a node has an option from: the nearest that says it, itself included."""
    node: Route | None = route
    while node is not None:
        if getattr(node.settings, option) is not None:
            return node.name
        node = node.above
    return DEFAULT


def _steps(route: Route, texts: Texts) -> Iterator[Step]:
    """Yield every node in the order of the file: those that are asked, and those that are not."""
    visits = {visit.route.name: visit for visit in route.walk(texts)}
    return _steps_below(route, visits, texts)


def _steps_below(node: Route, visits: dict[str, Visit], texts: Texts) -> Iterator[Step]:
    visit = visits[node.name]
    drop = None if visit.drop is None else node.settings.drop[visit.drop]
    yield Step(
        node,
        visit.verdict,
        fields_of(node.match, texts),
        visit.drop,
        fields_of(drop, texts) if drop is not None else (),
    )
    if visit.verdict not in (Verdict.TAKES, Verdict.PASSES_ON):
        return
    taker = None
    for child in node.children:
        asked = visits.get(child.name)
        if asked is None:
            yield Step(child, None, taken_by=taker)
            continue
        yield from _steps_below(child, visits, texts)
        taker = taker if asked.verdict == Verdict.REFUSES or child.goes_on else child.name


def _share(taken: Taken, texts: Texts, told: set[str]) -> Share:
    node = taken.route
    news = {*taken.grouped, *taken.single}
    group_by = tuple((name, texts.get(name) or "") for name in node.group_by)
    values = {"group_by": ", ".join(node.group_by)} | {
        option.name: getattr(node.timing, option.name) for option in fields(Timing)
    }
    return Share(
        taken,
        told_before=tuple(name for name in node.receivers if name in told - news),
        receivers_origin=origin(node, "receivers"),
        group=group_by,
        options=tuple(Option(name, value, origin(node, name)) for name, value in values.items()),
    )
