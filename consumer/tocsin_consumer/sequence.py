"""Notices events that a producer published and that never came. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tocsin_schemas.event import EventPayload
from tocsin_schemas.status import StatusPayload

#: Clusters that are remembered: bounded, because anyone whom the broker lets publish can make up names.
CLUSTER_LIMIT: Final = 10_000


#: As many events a producer may have under way when its link breaks. It hands them over again with new numbers.
RENUMBERED: Final = 16


class Position(NamedTuple):
    """How far a cluster's producer had come: the number `seq` of its boot `boot`.

    `reconnected` is whether it has said since that it is online, as it does at each connection.
    """

    boot: int
    seq: int
    reconnected: bool = False


def advance(
    known: Mapping[str, Position], said: Iterable[EventPayload | StatusPayload]
) -> tuple[dict[str, Position], dict[str, int]]:
    """Return the positions that move on, and how many events of which cluster are missing before what was said.

    `seq` rises by one per published event of a boot. What comes again, late, or from an older boot tells
    nothing new; the first number of a boot is not known, so a gap is only seen within one. After a connection
    of the producer's, a gap that its renumbering explains is none.
    """
    moved: dict[str, Position] = {}
    missing: dict[str, int] = {}
    for one in said:
        last = moved.get(one.cluster) or known.get(one.cluster)
        if isinstance(one, StatusPayload):
            if last is not None and one.boot == last.boot and one.state == "online":
                moved[one.cluster] = last._replace(reconnected=True)
            continue
        if last is not None and (one.boot, one.seq) <= (last.boot, last.seq):
            continue
        if last is not None and one.boot == last.boot and (gap := _gap(last, one.seq)):
            missing[one.cluster] = missing.get(one.cluster, 0) + gap
        moved[one.cluster] = Position(one.boot, one.seq)
    return moved, missing


def _gap(last: Position, seq: int) -> int:
    """Return how many numbers are left out before `seq` without an explanation."""
    return max(0, seq - last.seq - 1 - (RENUMBERED if last.reconnected else 0))


def merge(
    known: Mapping[str, Position], moved: Mapping[str, Position], *, limit: int = CLUSTER_LIMIT
) -> dict[str, Position]:
    """Return what is known now; of too many clusters, those that moved last."""
    merged = {cluster: at for cluster, at in known.items() if cluster not in moved} | dict(moved)
    return dict(list(merged.items())[-limit:])
