"""What becomes of incidents that were stored when the routes are others now. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tocsin_consumer.incident import Incident
from tocsin_consumer.route import Route, Taken


def rerouted(stored: Iterable[Incident], top: Route, now: datetime) -> Iterator[Incident]:
    """Yield each incident with the route that it belongs to now, and whom that tells of what goes on in it.

    One that no route takes any more, or several do, goes on with those of its receivers that there still are.
    Where it is for others than before, it is due at once.
    """
    live = list(stored)
    groups = {(one.route, one.group) for one in live}
    for one in live:
        events = [problem.event for problem in one.problems.values() if problem.goes_on]
        taken = [{node.key: node for node in top.decide(event).taken} for event in events]
        route = _route_of(one, taken)
        if route != one.route and (route, one.group) not in groups:
            groups.add((route, one.group))
            one = replace(one, route=route)  # noqa: PLW2901 - the same one, elsewhere
        receivers = _receivers_of(one, [nodes[one.route] for nodes in taken if one.route in nodes], top)
        is_for_others = set(receivers) != set(one.receivers)
        yield replace(one, receivers=receivers, due_at=now) if is_for_others else one


def _route_of(one: Incident, taken: Sequence[Mapping[str, Taken]]) -> str:
    """Return the route that an incident belongs to: its own, or else the only one that takes all of it as it is.

    So what goes on is not told anew when the match of a route is changed.

    Args:
        one: the incident.
        taken: by what each event that goes on in it is taken now, by key.
    """
    if not taken or any(one.route in nodes for nodes in taken):
        return one.route
    names = tuple(name for name, _ in one.group)
    keys = [key for key, node in taken[0].items() if node.route.group_by == names]
    common = [key for key in keys if all(key in nodes for nodes in taken)]
    return common[0] if len(common) == 1 else one.route


def _receivers_of(one: Incident, nodes: Sequence[Taken], top: Route) -> tuple[str, ...]:
    """Return whom an incident is for, of which `nodes` take what goes on; what has ended may be for others."""
    told = [name for node in nodes for name in node.grouped]
    if nodes and all(problem.goes_on for problem in one.problems.values()):
        return tuple(dict.fromkeys(told))
    may_stay = nodes[0].route.grouped if nodes else top.all_grouped()
    return tuple(dict.fromkeys((*told, *(name for name in one.receivers if name in may_stay))))
