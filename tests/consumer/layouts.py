"""Routing trees of one level, and where events belong in them, without the code that is tested."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from tocsin_consumer.dispatch import Timing
from tocsin_consumer.incident import Incident
from tocsin_consumer.route import Route
from tocsin_consumer.settings import RouteSettings
from tocsin_schemas.event import EventPayload

GROUP_BY: Final = ("cluster", "namespace", "reason")


@dataclass(frozen=True)
class Way:
    """A node of the tree: what it takes, whom it tells, when, and what it puts together: all of a problem."""

    receivers: tuple[str, ...]
    timing: Timing
    group_by: tuple[str, ...] = GROUP_BY
    #: Fields and their values; all have to match.
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    goes_on: bool = False

    def takes(self, event: EventPayload) -> bool:
        return all(fields_of(event)[name] in values for name, values in self.match.items())

    def group_of(self, event: EventPayload) -> tuple[tuple[str, str], ...]:
        """Return what the events of one incident have in common."""
        return tuple((name, fields_of(event)[name]) for name in self.group_by)

    def settings(self) -> dict[str, Any]:
        """Return what a configuration file says of it."""
        match = {name: list(values) for name, values in self.match.items()}
        said = {"receivers": list(self.receivers), "group_by": list(self.group_by), **options(self.timing)}
        return {**said, **({"match": match, "continue": self.goes_on} if match else {})}


class Claim(NamedTuple):
    """A way that takes an event, and whom that tells who is not told by one before it."""

    way: Way
    receivers: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """A tree: the first way below that takes an event has it, and those behind it only if it goes on."""

    top: Way
    below: tuple[Way, ...] = ()

    def settings(self) -> RouteSettings:
        """Return the tree as it is configured."""
        routes = [way.settings() for way in self.below]
        return RouteSettings.model_validate({**self.top.settings(), "routes": routes})

    def claims(self, event: EventPayload) -> list[Claim]:
        """Return where an event belongs."""
        found: list[Claim] = []
        for way in self.below:
            if way.takes(event):
                known = {name for claim in found for name in claim.receivers}
                found.append(Claim(way, tuple(name for name in way.receivers if name not in known)))
                if not way.goes_on:
                    return found
        return found or [Claim(self.top, self.top.receivers)]

    def way_of(self, incident: Incident) -> Way:
        """Return the way that an incident belongs to, whether that tells of it or it only inhibits others."""
        keys = [node.key for node in Route(self.settings()).nodes()]
        return (self.top, *self.below)[keys.index(incident.route.removesuffix("!"))]


def fields_of(event: EventPayload) -> dict[str, str]:
    """Return what ways ask for."""
    node = event.name if event.kind == "Node" else event.node or ""
    names = {"kind": event.kind, "node": node, "reason": event.reason}
    return {"cluster": event.cluster, "namespace": event.ns or "_cluster", **names}


def options(timing: Timing) -> dict[str, Any]:
    """Return what a configuration file says of it."""
    spans = ("group_wait", "group_interval", "repeat_interval", "quiet_after")
    seconds = {name: f"{getattr(timing, name).total_seconds():.0f}s" for name in spans}
    return {**seconds, "send_recovered": timing.send_recovered, "send_quiet": timing.send_quiet}


def plain(timing: Timing) -> Layout:
    return Layout(Way(("ops", "boss"), timing))


def one_of_all(timing: Timing) -> Layout:
    return Layout(Way(("ops", "boss"), replace(timing, send_recovered=False), ()))


def by_node(timing: Timing) -> Layout:
    top = Way(("ops", "team"), replace(timing, send_quiet=True), ("cluster", "node", "reason"))
    often = replace(top.timing, repeat_interval=3 * timing.group_interval)
    return Layout(top, (replace(top, timing=often, match={"reason": ("BackOff",)}),))


def twice(timing: Timing) -> Layout:
    """One event in two incidents that are grouped by the same."""
    slow = replace(timing, group_interval=timing.group_interval + timedelta(minutes=1))
    pods = {"kind": ("Pod",)}
    return Layout(
        Way(("ops",), timing), (Way(("team",), timing, match=pods, goes_on=True), Way(("boss",), slow, match=pods))
    )


def overlapping(timing: Timing) -> Layout:
    """The later of two ways tells whom the earlier has not told, of some events only."""
    calm = replace(timing, send_recovered=False)
    return Layout(
        Way(("ops",), calm),
        (
            Way(("team", "ops"), calm, ("cluster",), {"namespace": ("shop",)}, goes_on=True),
            Way(("boss", "ops"), calm, (), {"kind": ("Pod",)}),
        ),
    )


def teams(timing: Timing) -> Layout:
    """Some events are for nobody, and some of those who are told want to know what goes quiet."""
    team = replace(timing, send_recovered=False, send_quiet=True, group_interval=timedelta(minutes=1))
    return Layout(
        Way(("ops",), timing),
        (
            Way((), timing, match={"reason": ("Evicted",)}),
            Way(("ops", "boss"), timing, ("cluster",), {"kind": ("Node",)}),
            Way(("team",), team, match={"namespace": ("shop",)}, goes_on=True),
            Way(("ops", "team"), timing, ("namespace", "reason"), {"kind": ("Pod",)}),
        ),
    )


LAYOUTS: Final[tuple[Callable[[Timing], Layout], ...]] = (
    plain,
    one_of_all,
    by_node,
    twice,
    overlapping,
    teams,
)
