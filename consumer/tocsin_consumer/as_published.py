"""What a producer publishes of what an API server says, so that a recorded watch can be tried. Pure.

The rules are the defaults of the producer's `events` and `fold`, written down a second time, as neither side knows
the other. A test holds them to each other.
"""

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from tocsin_consumer.recording import Recorded
from tocsin_schemas.event import EventPayload
from tocsin_schemas.matching import Match

_INCLUDE: Final = (
    {"type": "Warning"},
    {
        "type": "Normal",
        "kind": "Node",
        "reason": (
            "NodeNotReady|NodeReady|NodeHas.*Pressure|NodeHasInsufficient.*|NodeHasSufficient.*|NodeHasNo.*"
            "|RemovingNode"
        ),
    },
)
_EXCLUDE: Final = ({"reason": "InvalidDiskCapacity|CgroupV1|PossibleMemoryBackedVolumesOnDisk"},)
_INTERVAL: Final = timedelta(minutes=30)
#: Conditions of nodes that are told whenever they change.
_CHANGE: Final = re.compile(r"Node((Not)?Ready|(Not)?Schedulable|Has(?!No)\w+Pressure|HasInsufficient\w+)")
_MESSAGE_LIMIT: Final = 1024


def as_published(recorded: Iterable[Recorded], *, filtered: bool = True) -> Iterator[Recorded]:
    """Yield what goes over the wire of what is recorded, in the order of time.

    What was on the wire already goes as it is. Without the filter, every Event goes that there is.
    """
    include, exclude = [list(map(Match, rules)) for rules in (_INCLUDE, _EXCLUDE)]
    fold = _Fold()
    for one in recorded:
        yield from fold.due(one.at)
        event = one.said
        if not one.is_watched or not isinstance(event, EventPayload):
            yield one
            continue
        texts = {"type": event.type, "kind": event.kind, "reason": event.reason}
        if filtered and (not _any(include, texts) or _any(exclude, texts)):
            continue
        yield from fold.put(replace(one, said=_cut(event)))
    yield from fold.due(None)


@dataclass(slots=True)
class _Known:
    """An Event: its highest count, the one that was told last, and when; and a repeat that is held, if one is."""

    count: int = 0
    told: int = 0
    told_at: datetime | None = None
    held: Recorded | None = None


@dataclass(slots=True)
class _Fold:
    """Holds repeats: told are the first, then what has doubled the count, and the newest after each interval."""

    known: dict[str, _Known] = field(default_factory=dict)
    #: When something that is held is due, and which Event; there may be others of an Event that no longer count.
    waits: list[tuple[datetime, str]] = field(default_factory=list)
    #: The reasons that were told of each node since any of its conditions changed.
    told_since: dict[str, set[str]] = field(default_factory=dict)

    def put(self, one: Recorded) -> Iterator[Recorded]:
        """Take the state of an Event, and yield it if it is to go now."""
        event = one.said
        if not isinstance(event, EventPayload):
            return
        known = self.known.setdefault(event.uid, _Known())
        if event.count <= known.count:
            return
        known.count = event.count
        told_at = known.told_at
        is_due = told_at is None or event.count >= 2 * known.told or one.at - told_at >= _INTERVAL
        if is_due or told_at is None or (_is_condition(event) and self._is_news(event)):
            self.known[event.uid] = _Known(event.count, event.count, one.at)
            if _is_condition(event):
                self._note_condition(event)
                yield from self._conditions(event.name, one.at)
            yield one
            return
        if known.held is None:
            heapq.heappush(self.waits, (told_at + _INTERVAL, event.uid))
        known.held = one

    def _is_news(self, event: EventPayload) -> bool:
        """Whether a condition changes, or may end what was told of its node."""
        is_change = _CHANGE.fullmatch(event.reason) is not None
        return is_change or event.reason not in self.told_since.get(event.name, ())

    def _note_condition(self, event: EventPayload) -> None:
        if _CHANGE.fullmatch(event.reason):
            self.told_since.pop(event.name, None)
        else:
            self.told_since.setdefault(event.name, set()).add(event.reason)

    def _conditions(self, node: str, now: datetime) -> Iterator[Recorded]:
        """Yield the conditions of `node` that are held: none of them is to come after a newer one."""
        for uid, known in self.known.items():
            said = known.held and known.held.said
            if known.held and isinstance(said, EventPayload) and _is_condition(said) and said.name == node:
                yield replace(known.held, at=now)
                self.known[uid] = _Known(known.count, known.count, now)

    def due(self, now: datetime | None) -> Iterator[Recorded]:
        """Yield what is held and due by `now`, or all of it."""
        while self.waits and (now is None or self.waits[0][0] <= now):
            at, uid = heapq.heappop(self.waits)
            known = self.known[uid]
            if known.held is None or known.told_at is None or known.told_at + _INTERVAL != at:
                continue
            yield replace(known.held, at=at)
            self.known[uid] = _Known(known.count, known.count, at)


def _is_condition(event: EventPayload) -> bool:
    return event.kind == "Node" and event.type == "Normal"


def _any(matches: Iterable[Match], texts: Mapping[str, str | None]) -> bool:
    return any(match(texts) for match in matches)


def _cut(event: EventPayload) -> EventPayload:
    if len(event.msg) <= _MESSAGE_LIMIT:
        return event
    return event.model_copy(update={"msg": event.msg[: _MESSAGE_LIMIT - 1] + "…"})
