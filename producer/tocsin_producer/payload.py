"""The compact JSON that goes over the link (pure)."""

import json
from typing import Any, Final

from tocsin_producer.event import EventState

_VERSION: Final = 1
_ELLIPSIS: Final = "…"
#: JSON without spaces, in UTF-8.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def event_payload(state: EventState, cluster: str, *, message_limit: int) -> str:
    """Return the payload of `state` but for `boot` and `seq`, which `numbered` adds when it is sent."""
    return _compact(
        {
            "v": _VERSION,
            "cluster": cluster,
            "type": state.type,
            "reason": state.reason,
            "kind": state.kind,
            "ns": state.namespace,
            "name": state.name,
            "field": state.field,
            "msg": _cut(state.message, message_limit),
            "count": state.count,
            "first": state.first,
            "last": state.last,
            "from": state.component,
            "node": state.node,
            "uid": state.uid,
        },
    )


def numbered(payload: str, *, boot: int, seq: int) -> bytes:
    """Return `payload` as it is published, with its place in the order of this boot."""
    return f'{payload[:-1]},"boot":{boot},"seq":{seq}}}'.encode()


def status_payload(cluster: str, state: str, **facts: str | int | None) -> bytes:
    """Return the status of the producer; facts that are None are left out."""
    return _compact({"v": _VERSION, "cluster": cluster, "state": state, **facts}).encode()


def _compact(fields: dict[str, Any]) -> str:
    """Return JSON with nothing where there is nothing."""
    return _encode({key: value for key, value in fields.items() if value is not None})


def _cut(message: str, limit: int) -> str:
    """Return at most `limit` characters, the last of which is an ellipsis if any were cut off."""
    return message if len(message) <= limit else message[: limit - 1] + _ELLIPSIS
