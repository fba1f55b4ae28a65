"""Which receivers an event goes to: a tree that is walked from the top. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from tocsin_consumer.match import MatchSettings, Texts, match_of, match_texts
from tocsin_consumer.settings import RouteSettings
from tocsin_schemas.event import EventPayload


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one event goes: its receivers, each once, and the nodes of the tree that said so."""

    receivers: tuple[str, ...]
    routes: tuple[str, ...]


class Route:
    """A node of the routing tree.

    A node takes the events that match it. Of its children, the first that matches takes the event, and those
    behind it are asked only if it says `continue`; if none does, the node's own receivers are told. What a
    node drops goes to none of its receivers and children.
    """

    def __init__(self, settings: RouteSettings, *, inherited: tuple[str, ...] = (), name: str = "route") -> None:
        self.name = name
        self.receivers = inherited if settings.receivers is None else tuple(settings.receivers)
        self.goes_on = settings.continue_
        self.match = settings.match or MatchSettings()
        self.matches = match_of(self.match)
        self._drops = [match_of(drop) for drop in settings.drop]
        self._children = [
            Route(child, inherited=self.receivers, name=f"{name}.routes[{index}]")
            for index, child in enumerate(settings.routes)
        ]

    def decide(self, event: EventPayload) -> Decision:
        """Return where `event` goes."""
        taken = list(self._take(match_texts(event)))
        receivers = dict.fromkeys(receiver for _, told in taken for receiver in told)
        return Decision(tuple(receivers), tuple(name for name, _ in taken))

    def nodes(self) -> Iterator["Route"]:
        """Yield every node, each before those below it."""
        yield self
        for child in self._children:
            yield from child.nodes()

    def shadowed(self) -> Iterator[tuple["Route", "Route"]]:
        """Yield each child that is never asked, with the one before it that takes every event."""
        taker = None
        for child in self._children:
            if taker is not None:
                yield child, taker
            elif child.match == MatchSettings() and not child.goes_on:
                taker = child

    def _take(self, texts: Texts) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the nodes that take an event which matches this one, and whom they tell."""
        if any(drop(texts) for drop in self._drops):
            yield self.name, ()
            return
        children = list(self._matching_children(texts))
        if not children:
            yield self.name, self.receivers
        for child in children:
            yield from child._take(texts)  # noqa: SLF001 - a node of the same tree

    def _matching_children(self, texts: Texts) -> Iterator["Route"]:
        for child in self._children:
            if child.matches(texts):
                yield child
                if not child.goes_on:
                    return
