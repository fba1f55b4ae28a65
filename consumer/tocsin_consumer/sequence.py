"""Notices events that a producer published and that never came. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tocsin_schemas.event import EventPayload

#: Clusters that are known: bounded, because anyone whom the broker lets publish can make up names.
CLUSTER_LIMIT: Final = 50_000


class Position(NamedTuple):
    """How far a cluster's producer had come: the number `seq` of its boot `boot`."""

    boot: int
    seq: int


def advance(
    known: Mapping[str, Position], events: Iterable[EventPayload]
) -> tuple[dict[str, Position], dict[str, int]]:
    """Return the positions that `events` move on, and how many events of which cluster are missing before them.

    `seq` rises by one per published event of a boot. What comes again, late, or from an older boot tells
    nothing new; the first number of a boot is not known, so a gap is only seen within one.
    """
    moved: dict[str, Position] = {}
    missing: dict[str, int] = {}
    for event in events:
        here = Position(event.boot, event.seq)
        last = moved.get(event.cluster) or known.get(event.cluster)
        if last is not None and here <= last:
            continue
        if last is not None and here.boot == last.boot and here.seq > last.seq + 1:
            missing[event.cluster] = missing.get(event.cluster, 0) + here.seq - last.seq - 1
        moved[event.cluster] = here
    return moved, missing


def merge(
    known: Mapping[str, Position], moved: Mapping[str, Position], *, limit: int = CLUSTER_LIMIT
) -> dict[str, Position]:
    """Return what is known now; of too many clusters, those that moved last."""
    merged = {cluster: at for cluster, at in known.items() if cluster not in moved} | dict(moved)
    return dict(list(merged.items())[-limit:])
