"""Which receivers an event goes to: a tree that is walked from the top. Pure."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tocsin_consumer.dispatch import Timing
from tocsin_consumer.match import MatchSettings, Texts, match_of, match_texts
from tocsin_consumer.settings import GROUP_BY, RouteSettings
from tocsin_schemas.event import EventPayload
from tocsin_schemas.fields import duration_text

#: No key of a route ends like this, see `_key`.
_UNTOLD: Final = "!"


@dataclass(frozen=True, slots=True)
class Taken:
    """A node of the tree that takes an event, and whom it tells: each receiver is told by one node only."""

    route: "Route"
    #: Receivers that are told of incidents.
    grouped: tuple[str, ...]
    #: Receivers that are told of each event as it comes.
    single: tuple[str, ...]

    @property
    def key(self) -> str:
        """What its incidents are known by: those that only inhibit others are others than those that are told."""
        return self.route.key if self.grouped else self.route.key + _UNTOLD


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one event goes: the nodes of the tree that take it, in their order."""

    taken: tuple[Taken, ...]

    @property
    def receivers(self) -> tuple[str, ...]:
        """All who are told, each once."""
        return tuple(name for node in self.taken for name in (*node.grouped, *node.single))

    @property
    def routes(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return tuple(node.route.name for node in self.taken)

    @property
    def single(self) -> tuple[str, ...]:
        """Those who are told of each event as it comes."""
        return tuple(name for node in self.taken for name in node.single)


class Verdict(StrEnum):
    """What a node of the tree does with an event that it is asked about."""

    #: Its match does not hold.
    REFUSES = "refuses"
    #: One of its patterns for what it drops holds.
    DROPS = "drops"
    #: A node below it has taken the event.
    PASSES_ON = "passes on"
    TAKES = "takes"


@dataclass(frozen=True, slots=True)
class Visit:
    """A node that is asked about an event, and what it does with it."""

    route: "Route"
    verdict: Verdict
    #: Which of its patterns for what it drops holds.
    drop: int | None = None


class Route:
    """A node of the routing tree.

    A node takes the events that match it. Of its children, the first that matches takes the event, and those
    behind it are asked only if it says `continue`; if none does, the node's own receivers are told. What a
    node drops goes to none of its receivers and children.

    Args:
        settings: the node as it is configured.
        single: names of the receivers that are told of each event as it comes, and not of incidents.
        above: the node above, from which it has what its settings do not say.
        position: which of the nodes below that one it is.
        twins: how many of the nodes before it there match the same.
    """

    def __init__(
        self,
        settings: RouteSettings,
        *,
        single: Collection[str] = (),
        above: "Route | None" = None,
        position: int = 0,
        twins: int = 0,
    ) -> None:
        self.settings = settings
        self.above = above
        self.name: str = f"{above.name}.routes[{position}]" if above else "route"
        self.key: str = _key(settings, above, twins)
        self.receivers: tuple[str, ...] = (
            (above.receivers if above else ()) if settings.receivers is None else tuple(settings.receivers)
        )
        self.group_by: tuple[str, ...] = _group_by(settings, above)
        self.timing: Timing = settings.timing(above.timing if above else Timing())
        self.goes_on = settings.continue_
        self.match = settings.match or MatchSettings()
        self.matches = match_of(self.match)
        self._drops = [match_of(drop) for drop in settings.drop]
        self._single = frozenset(single)
        #: Receivers that are told of incidents.
        self.grouped = tuple(name for name in self.receivers if name not in self._single)
        self.children = [
            Route(child, single=single, above=self, position=index, twins=_twins(settings.routes[:index], child))
            for index, child in enumerate(settings.routes)
        ]

    def decide(self, event: EventPayload) -> Decision:
        """Return where `event` goes."""
        return Decision(tuple(self._told_once(self.walk(match_texts(event)))))

    def _told_once(self, visits: Iterable[Visit]) -> Iterator[Taken]:
        """Yield the nodes at which the walk ends; one that drops tells nobody."""
        known: set[str] = set()
        for visit in visits:
            if visit.verdict not in (Verdict.TAKES, Verdict.DROPS):
                continue
            receivers = visit.route.receivers if visit.verdict == Verdict.TAKES else ()
            news = [name for name in receivers if name not in known]
            known.update(news)
            yield Taken(
                visit.route,
                tuple(name for name in news if name not in self._single),
                tuple(name for name in news if name in self._single),
            )

    def by_key(self) -> dict[str, "Route"]:
        """Return every node by what its incidents are known by."""
        return {key: node for node in self.nodes() for key in (node.key, node.key + _UNTOLD)}

    def nodes(self) -> Iterator["Route"]:
        """Yield every node, each before those below it."""
        yield self
        for child in self.children:
            yield from child.nodes()

    def all_grouped(self) -> frozenset[str]:
        """Return all who are told of incidents, by this node or those below it."""
        return frozenset(name for node in self.nodes() for name in node.grouped)

    def shadowed(self) -> Iterator[tuple["Route", "Route"]]:
        """Yield each child that is never asked, with the one before it that takes every event."""
        taker = None
        for child in self.children:
            if taker is not None:
                yield child, taker
            elif child.match == MatchSettings() and not child.goes_on:
                taker = child

    def overhasty(self) -> tuple[str, str] | None:
        """Return which option of the node asks for repeats that never come so soon, and what is wrong with it.

        A node that says neither has both from above, where that is told.
        """
        said = [name for name in ("repeat_interval", "group_interval") if getattr(self.settings, name) is not None]
        repeat, group = self.timing.repeat_interval, self.timing.group_interval
        if not said or repeat >= group:
            return None
        shown = f"repeat_interval {duration_text(repeat)} is shorter than group_interval {duration_text(group)}"
        return said[0], f"{shown}, and nothing is told again any sooner than that"

    def walk(self, texts: Texts) -> Iterator[Visit]:
        """Yield this node, whose match holds, and every node below it that is asked, each before its own."""
        drop = next((index for index, drops in enumerate(self._drops) if drops(texts)), None)
        if drop is not None:
            yield Visit(self, Verdict.DROPS, drop)
            return
        below = list(self._walk_below(texts))
        is_taken = any(visit.verdict != Verdict.REFUSES for visit in below)
        yield Visit(self, Verdict.PASSES_ON if is_taken else Verdict.TAKES)
        yield from below

    def _walk_below(self, texts: Texts) -> Iterator[Visit]:
        for child in self.children:
            if not child.matches(texts):
                yield Visit(child, Verdict.REFUSES)
                continue
            yield from child.walk(texts)
            if not child.goes_on:
                return


def _group_by(settings: RouteSettings, above: Route | None) -> tuple[str, ...]:
    if settings.group_by is not None:
        return tuple(settings.group_by)
    return above.group_by if above else GROUP_BY


def _key(settings: RouteSettings, above: Route | None, twins: int) -> str:
    """Return what a node is known by in the store: what it matches, and not where it stands among others.

    So an incident stays with its node when others are added before it. Only nodes that match the same are counted.
    """
    match = settings.match.model_dump(exclude_none=True) if settings.match else {}
    text = json.dumps(match, sort_keys=True, ensure_ascii=False)
    return (above.key if above else "") + "/" + text + (f"#{twins + 1}" if twins else "")


def _twins(before: Sequence[RouteSettings], settings: RouteSettings) -> int:
    return sum((one.match or MatchSettings()) == (settings.match or MatchSettings()) for one in before)
