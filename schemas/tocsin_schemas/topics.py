"""The topics of the wire, version 1.

`<root>/<cluster>/event/<namespace>/<kind>/<reason>` carries events, `<root>/<cluster>/status` the status of
a producer. The producer imports this module in a process that has to stay small: standard library only.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

DEFAULT_ROOT: Final = "k8s/v1"

#: The namespace level of objects that live in no namespace, such as Nodes.
CLUSTER_SCOPE: Final = "_cluster"

#: A cluster's name is a topic level, the MQTT user name and part of the client id: lower case, no dots.
CLUSTER_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

# MQTT forbids + # and NUL and separates by /; brokers that map topics to routing keys (RabbitMQ, NATS) give
# a meaning to . * > and refuse spaces; Mosquitto refuses control characters, surrogates and non-characters.
_UNSAFE: Final = re.compile(
    r"[/+#.*>\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|[^\x00-\uffff]",
)
_LEVEL_LIMIT: Final = 253


class TopicError(ValueError):
    """A topic that this version of the wire does not know."""


@dataclass(frozen=True, slots=True)
class EventTopic:
    """Where one cluster publishes the events of one namespace, kind and reason; each level is safe."""

    cluster: str
    namespace: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class StatusTopic:
    """Where one cluster's producer tells, retained, whether it is online."""

    cluster: str


@lru_cache(maxsize=64)
def safe_level(text: str) -> str:
    """Return `text` as one topic level: what is unsafe becomes `_`, and so does nothing at all."""
    return _UNSAFE.sub("_", text)[:_LEVEL_LIMIT] or "_"


def event_topic(root: str, cluster: str, *, namespace: str | None, kind: str, reason: str) -> str:
    """Return the topic of an event; `namespace` is None for a cluster-scoped object."""
    scope = CLUSTER_SCOPE if namespace is None else safe_level(namespace)
    return f"{root}/{cluster}/event/{scope}/{safe_level(kind)}/{safe_level(reason)}"


def status_topic(root: str, cluster: str) -> str:
    """Return the topic of a producer's status."""
    return f"{root}/{cluster}/status"


def event_filter(root: str, cluster: str = "+") -> str:
    """Return the topic filter of all events of `cluster`, by default of every cluster."""
    return f"{root}/{cluster}/event/#"


def parse(root: str, topic: str) -> EventTopic | StatusTopic:
    """Tell what `topic` is for.

    Raises:
        TopicError: it is not below `root`, its cluster is not a cluster's name, a level is not safe, or its
            form is unknown.
    """
    prefix = f"{root}/"
    if not topic.startswith(prefix):
        raise TopicError(f"topic is not below {root}")
    match topic.removeprefix(prefix).split("/"):
        case [cluster, *_] if not CLUSTER_PATTERN.fullmatch(cluster):
            raise TopicError("topic names no valid cluster")
        case [cluster, "status"]:
            return StatusTopic(cluster)
        case [cluster, "event", *levels] if any(level != safe_level(level) for level in levels):
            raise TopicError("topic has a level that no producer writes")
        case [cluster, "event", namespace, kind, reason]:
            return EventTopic(cluster, namespace, kind, reason)
    raise TopicError("topic is neither <cluster>/event/<namespace>/<kind>/<reason> nor <cluster>/status")
