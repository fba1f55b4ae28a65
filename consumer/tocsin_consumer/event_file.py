"""An event to try things on: a sample, a payload as it is on the wire, or an Event as Kubernetes has it."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.errors import EventFileError
from tocsin_consumer.notification import Notification
from tocsin_consumer.samples import samples
from tocsin_schemas.event import EventPayload

#: The cluster of an Event that comes without one.
EXAMPLE = "example"
#: Who reports as the node that it is on; the instances of others are host names.
_NODE_AGENT = "kubelet"


def find_event(
    name: str, *, clock: Clock = utc_now, on_clusterless: Callable[[], None] = lambda: None
) -> Notification:
    """Return the sample called `name`, or else the event in the file of that name, as if it came now.

    Args:
        name: of a sample or a file.
        clock: tells when it comes.
        on_clusterless: told if it names no cluster and is taken for one of `EXAMPLE`.

    Raises:
        EventFileError: there is no such sample or file, or it does not hold an event.
    """
    now = clock()
    known = samples(now)
    if name in known:
        return known[name]
    path = Path(name)
    value = _read(path, known)
    event = _event(path, value)
    if not _is_payload(value):
        on_clusterless()
    return Notification(event, now)


def _read(path: Path, known: Mapping[str, Notification]) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EventFileError(f"{path} is neither a file nor a sample; samples: {', '.join(known)}") from error
    except OSError as error:
        raise EventFileError(f"{path} cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventFileError(f"{path} is not JSON: {error}") from error
    except ValueError as error:
        raise EventFileError(f"{path} holds no event: {error}") from error
    if not isinstance(value, dict):
        raise EventFileError(f"{path} holds no event: expected an object")
    return value


def _event(path: Path, value: Mapping[str, Any]) -> EventPayload:
    if not _is_payload(value) and (isinstance(value.get("items"), list) or "regarding" in value):
        raise EventFileError(
            f"{path}: expected one Event of core/v1, as `kubectl get event NAME -o json` writes it"
        )
    try:
        return EventPayload.model_validate(value if _is_payload(value) else from_kubernetes(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise EventFileError(f"{path} holds no event: {where}: {first['msg']}") from error
    except (ValueError, OverflowError) as error:
        raise EventFileError(f"{path} holds no event: {error}") from error


def _is_payload(value: Mapping[str, Any]) -> bool:
    return "v" in value


def from_kubernetes(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wire's form of an Event of core/v1, or of the notification of a watch that holds one.

    It is what a producer makes of it, so that what is tried here is what would come.
    """
    event = _object(value, "object") or value
    metadata, involved, series = (_object(event, key) for key in ("metadata", "involvedObject", "series"))
    source = _object(event, "source")
    created = metadata.get("creationTimestamp")
    first, last, once = event.get("firstTimestamp"), event.get("lastTimestamp"), event.get("eventTime")
    fields = {
        "v": 1,
        "cluster": EXAMPLE,
        "type": event.get("type"),
        "reason": event.get("reason"),
        "kind": involved.get("kind"),
        "ns": involved.get("namespace") or None,
        "name": involved.get("name"),
        "field": involved.get("fieldPath") or None,
        "msg": event.get("message"),
        "count": series.get("count") or event.get("count") or 1,
        "first": _epoch(first or once or created),
        "last": _epoch(series.get("lastObservedTime") or last or once or first or created),
        "from": _component(event),
        "node": source.get("host") or _reporting_node(event, involved),
        "uid": metadata.get("uid"),
        "boot": 0,
        "seq": 0,
    }
    return {key: field for key, field in fields.items() if field is not None}


def _component(event: Mapping[str, Any]) -> Any:
    return event.get("reportingComponent") or _object(event, "source").get("component") or None


def _reporting_node(event: Mapping[str, Any], involved: Mapping[str, Any]) -> Any:
    """Return the node of an Event without a host: a kubelet reports as its node, and a Node is one."""
    if _component(event) == _NODE_AGENT and event.get("reportingInstance"):
        return event["reportingInstance"]
    return involved.get("name") if involved.get("kind") == "Node" else None


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _epoch(timestamp: Any) -> int | None:
    """Return the seconds of a timestamp.

    Raises:
        ValueError: it is none.
    """
    if timestamp is None:
        return None
    try:
        return int(datetime.fromisoformat(str(timestamp)).timestamp())
    except ValueError as error:
        raise ValueError(f"expected a time such as 2026-11-23T19:18:54Z, found {str(timestamp)[:40]!r}") from error
