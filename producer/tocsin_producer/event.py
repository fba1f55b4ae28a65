"""One state of one Kubernetes Event, read from the object that the API server gives (pure).

Events come in two styles through core/v1: the old one has `source`, `firstTimestamp`, `lastTimestamp` and
`count`; the one written through events.k8s.io/v1 has `reportingComponent`, `eventTime` and `series`, with the
old fields empty or null.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tocsin_producer.errors import MalformedEventError

_NOTHING: Final[Mapping[str, Any]] = {}
_COUNT_LIMIT: Final = 2**63 - 1
_UID_LIMIT: Final = 128
#: The longest name of Kubernetes; what writes an Event may put in more, and the wire needs a bound.
_TEXT_LIMIT: Final = 253
#: The end of the year 9999, in seconds.
_TIME_LIMIT: Final = 253_402_300_799
#: A node-level agent reports as the node itself; the instances of controllers are host names.
_NODE_AGENT: Final = "kubelet"


@dataclass(frozen=True, slots=True)
class EventState:
    """What the wire tells of an Event. Times are UTC epoch seconds; what an Event does not have is None."""

    uid: str
    count: int
    type: str
    reason: str
    kind: str
    name: str
    namespace: str | None
    field: str | None
    message: str
    component: str | None
    node: str | None
    first: int
    last: int


def read_event(value: object) -> EventState:
    """Read an Event object of core/v1.

    Raises:
        MalformedEventError: it has no uid, or a field of a type that Kubernetes never sends.
    """
    if not isinstance(value, dict):
        raise MalformedEventError(f"expected an object, found {type(value).__name__}")
    metadata, involved = _object(value, "metadata"), _object(value, "involvedObject")
    first, last = _times(value, metadata)
    return EventState(
        uid=_uid(metadata),
        count=_count(value),
        type=_text(value, "type") or "Normal",
        reason=_text(value, "reason") or "",
        kind=_text(involved, "kind") or "",
        name=_text(involved, "name") or "",
        namespace=_text(involved, "namespace"),
        field=_text(involved, "fieldPath"),
        message=_text(value, "message", limit=None) or "",
        component=_component(value),
        node=_node(value, involved),
        first=first,
        last=last,
    )


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    if found is None:
        return _NOTHING
    if not isinstance(found, dict):
        raise MalformedEventError(f"{key}: expected an object, found {type(found).__name__}")
    return found


def _text(value: Mapping[str, Any], key: str, *, limit: int | None = _TEXT_LIMIT) -> str | None:
    """Return up to `limit` characters that UTF-8 can carry, or None for what is absent, null or empty."""
    found = value.get(key)
    if not found:
        return None
    if not isinstance(found, str):
        raise MalformedEventError(f"{key}: expected a string, found {type(found).__name__}")
    text = found[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()  # JSON can spell half a character


def _uid(metadata: Mapping[str, Any]) -> str:
    uid = _text(metadata, "uid", limit=None)
    if uid is None or len(uid) > _UID_LIMIT:
        raise MalformedEventError("metadata.uid: expected a uid")
    return uid


def _count(value: Mapping[str, Any]) -> int:
    for found in (_object(value, "series").get("count"), value.get("count")):
        if type(found) is int and found > 0:
            return min(found, _COUNT_LIMIT)
    return 1


def _times(value: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[int, int]:
    """Return the first and the last occurrence, each from the best source that is there."""
    created = metadata.get("creationTimestamp")
    first, last, event = value.get("firstTimestamp"), value.get("lastTimestamp"), value.get("eventTime")
    observed = _object(value, "series").get("lastObservedTime")
    latest = _first_time(observed, last, event, first, created)
    return min(latest, _first_time(first, event, created, last)), latest


def _first_time(*timestamps: object) -> int:
    """Return the first of `timestamps` that is one, or the epoch itself."""
    for timestamp in timestamps:
        if isinstance(timestamp, str):
            try:
                moment = datetime.fromisoformat(timestamp)
                seconds = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
                return min(max(0, seconds), _TIME_LIMIT)
            except (ValueError, OverflowError):
                continue
    return 0


def _component(value: Mapping[str, Any]) -> str | None:
    return _text(value, "reportingComponent") or _text(_object(value, "source"), "component")


def _node(value: Mapping[str, Any], involved: Mapping[str, Any]) -> str | None:
    host = _text(_object(value, "source"), "host")
    if host is None and _component(value) == _NODE_AGENT:
        host = _text(value, "reportingInstance")
    if host is None and _text(involved, "kind") == "Node":
        host = _text(involved, "name")
    return host
