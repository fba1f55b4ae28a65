"""From a topic and a payload to what it says, or to why it says nothing that we know. Pure."""

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from tocsin_consumer.inert import one_line
from tocsin_schemas import topics
from tocsin_schemas.event import EventPayload
from tocsin_schemas.status import StatusPayload

#: The largest payload that is looked into; a producer's are below 64 KiB.
PAYLOAD_LIMIT: Final = 256 * 1024
_VERSION_LIMIT: Final = 10**9


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message is a dead letter; one short line that repeats nothing of its content but numbers."""

    reason: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A retained status was cleared, which MQTT does by an empty payload: the cluster is no more."""

    cluster: str


Said = EventPayload | StatusPayload | Forgotten


def decode(topic: str, payload: bytes, *, root: str) -> Said | Rejection:
    """Return what a message says; whatever a sender may think of sending, this never raises.

    The topic has to be the one that the payload belongs to: brokers let a cluster publish below its own name
    only, so the topic is the part that cannot be forged.
    """
    if len(payload) > PAYLOAD_LIMIT:
        return Rejection(f"payload is larger than {PAYLOAD_LIMIT // 1024} KiB")
    try:
        place = topics.parse(root, topic)
        if isinstance(place, topics.StatusTopic):
            return _status(place, payload)
        return _event(topic, payload, root=root)
    except topics.TopicError as error:
        return Rejection(str(error))
    except ValidationError as error:
        return Rejection(_why(error, payload))


def _status(place: topics.StatusTopic, payload: bytes) -> StatusPayload | Forgotten | Rejection:
    if not payload:
        return Forgotten(place.cluster)
    status = StatusPayload.model_validate_json(payload)
    if status.cluster != place.cluster:
        return Rejection("payload names another cluster than its topic")
    return status


def _event(topic: str, payload: bytes, *, root: str) -> EventPayload | Rejection:
    event = EventPayload.model_validate_json(payload)
    if topic == topics.event_topic(root, event.cluster, namespace=event.ns, kind=event.kind, reason=event.reason):
        return event
    return Rejection(f"payload names another {_difference(event, topics.parse(root, topic))} than its topic")


def _difference(event: EventPayload, place: topics.EventTopic | topics.StatusTopic) -> str:
    if event.cluster != place.cluster or isinstance(place, topics.StatusTopic):
        return "cluster"
    if topics.safe_level(event.kind) != place.kind:
        return "kind"
    return "reason" if topics.safe_level(event.reason) != place.reason else "namespace"


def _why(error: ValidationError, payload: bytes) -> str:
    """Reduce what pydantic found to the first thing that a person would fix."""
    details = error.errors(include_url=False)
    for detail in details:
        if detail["loc"] == ("v",) and detail["type"] == "literal_error":
            return _unknown_version(detail["input"])
    first = details[0]
    if first["type"] == "json_invalid":
        return _why_not_json(first["msg"], payload)
    if not first["loc"]:
        return "payload is not a JSON object"
    return one_line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _unknown_version(version: object) -> str:
    """Name the version if it is a number of a sensible size; of any other, a sender could make what it likes."""
    known = type(version) is int and abs(version) < _VERSION_LIMIT
    return f"version {version} is not known" if known else "v: expected the version, a small whole number"


def _why_not_json(message: str, payload: bytes) -> str:
    if not payload:
        return "payload is empty"
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"payload is not UTF-8 (byte {error.start})"
    return f"payload is not JSON ({message.removeprefix('Invalid JSON: ')})"
