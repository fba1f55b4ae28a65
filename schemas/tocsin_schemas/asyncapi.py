"""The AsyncAPI 3.0 document of the wire: where what travels, in which direction and with which guarantees."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.connection import CONTENT_TYPE, EXPIRY_SECONDS
from tocsin_schemas.topics import CLUSTER_SCOPE, DEFAULT_ROOT, event_topic, status_topic

#: Of the wire and not of the package: it rises when a payload or a topic changes.
WIRE_VERSION: Final = "1.0.0"
_BINDING: Final = {"bindingVersion": "0.2.0"}
_LEVEL: Final = "Unsafe characters and nothing at all are `_`."

#: What a producer publishes, as an example for each message.
EXAMPLES: Final[Mapping[str, Mapping[str, dict[str, Any]]]] = {
    "event": {
        "backOff": {
            "v": 1,
            "cluster": "edge-042",
            "type": "Warning",
            "reason": "BackOff",
            "kind": "Pod",
            "ns": "production",
            "name": "api-7c9",
            "field": "spec.containers{api}",
            "msg": "Back-off restarting failed container api in pod "
            "api-7c9_production(0d5e3f1c-7d24-4b8e-9c55-6d1f0a8b2e10)",
            "count": 14,
            "first": 1795420000,
            "last": 1795425534,
            "from": "kubelet",
            "node": "pi-3",
            "uid": "5b9e2c1a-3f64-4d0e-8a77-1c2d3e4f5a6b",
            "boot": 17,
            "seq": 812,
        },
        "nodeNotReady": {
            "v": 1,
            "cluster": "edge-042",
            "type": "Normal",
            "reason": "NodeNotReady",
            "kind": "Node",
            "name": "pi-3",
            "msg": "Node pi-3 status is now: NodeNotReady",
            "count": 1,
            "first": 1795425600,
            "last": 1795425600,
            "from": "node-controller",
            "node": "pi-3",
            "uid": "c7a1f0de-55aa-4f1b-b0c3-9a8b7c6d5e4f",
            "boot": 17,
            "seq": 813,
        },
    },
    "status": {
        "online": {
            "v": 1,
            "cluster": "edge-042",
            "state": "online",
            "boot": 17,
            "since": 1795400000,
            "version": "0.1.0",
            "k8s": "v1.32.1+k3s1",
            "waiting": 0,
            "lost": 0,
        },
        "offline": {
            "v": 1,
            "cluster": "edge-042",
            "state": "offline",
            "boot": 17,
            "since": 1795400000,
            "version": "0.1.0",
            "k8s": "v1.32.1+k3s1",
            "waiting": 3,
            "lost": 2,
        },
    },
}


def asyncapi(schemas: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the document; `schemas` are the JSON Schemas of the messages `event` and `status`."""
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": CONTENT_TYPE,
        "servers": {"broker": _server()},
        "channels": {"event": _event_channel(), "status": _status_channel()},
        "operations": {
            "publishEvent": _operation("send", "event", "A producer tells one state of one Kubernetes Event."),
            "publishStatus": _operation("send", "status", "A producer tells that it is there, or leaves."),
            "receiveEvent": _operation("receive", "event", "A consumer takes events in a durable session."),
            "receiveStatus": _operation("receive", "status", "A consumer learns who is there."),
        },
        "components": {
            "messages": {name: _message(name) for name in schemas},
            "schemas": {name: _embedded(schema) for name, schema in schemas.items()},
            "securitySchemes": {
                "account": {
                    "type": "userPassword",
                    "description": "A producer's account has the name of its cluster, so that one line of the "
                    "broker's access list keeps every site below its own name.",
                },
                "certificate": {"type": "X509", "description": "Mutual TLS, where the broker asks for it."},
            },
        },
    }


def _info() -> dict[str, Any]:
    return {
        "title": "tocsin",
        "version": WIRE_VERSION,
        "description": "Kubernetes warnings from clusters at the edge, over MQTT. Version 1 of the wire: MQTT "
        "3.1.1 is enough; with MQTT 5 a status also has a content type, and an event an expiry. Readers accept "
        "and keep fields that they do not know, and refuse a major version `v` that they do not know. An event "
        "may come more than once: (cluster, uid, count) is the same for the same state.",
        "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    }


def _server() -> dict[str, Any]:
    return {
        "host": "broker.example.com:8883",
        "protocol": "mqtts",
        "protocolVersion": "5.0",
        "description": "The one address that a site connects to; mqtt, ws and wss are possible as well.",
        "security": [{"$ref": "#/components/securitySchemes/account"}],
        "bindings": {
            "mqtt": {
                "clientId": "tocsin-producer-edge-042",
                "cleanSession": False,
                "lastWill": {
                    "topic": status_topic(DEFAULT_ROOT, "edge-042"),
                    "qos": 1,
                    "message": "The status in its offline form, with the boot that it belongs to.",
                    "retain": True,
                },
                "keepAlive": int(_default("keepalive").total_seconds()),
                "sessionExpiryInterval": int(_default("session_expiry").total_seconds()),
                **_BINDING,
            },
        },
    }


def _default(key: str) -> timedelta:
    """Return what a key of `broker` is where nothing is said."""
    default: timedelta = BrokerSettings.model_fields[key].default
    return default


def _event_channel() -> dict[str, Any]:
    return {
        # The address is what the producer builds, with its levels as parameters.
        "address": event_topic(
            DEFAULT_ROOT, "{cluster}", namespace="{namespace}", kind="{kind}", reason="{reason}"
        ),
        "title": "Events of a cluster",
        "description": f"Not retained. The root {DEFAULT_ROOT} is configurable. Filters: `+/event/#` below the "
        "root for everything, `+/event/production/#` for a namespace, `+/event/+/+/BackOff` for a reason.",
        "messages": {"event": {"$ref": "#/components/messages/event"}},
        "parameters": {
            "cluster": _cluster_parameter(),
            "namespace": {
                "description": f"Namespace of the involved object, `{CLUSTER_SCOPE}` where it has none. {_LEVEL}",
                "examples": ["production", CLUSTER_SCOPE],
            },
            "kind": {"description": f"Kind of the involved object. {_LEVEL}", "examples": ["Pod", "Node"]},
            "reason": {"description": f"Reason of the event. {_LEVEL}", "examples": ["BackOff", "NodeNotReady"]},
        },
    }


def _status_channel() -> dict[str, Any]:
    return {
        "address": status_topic(DEFAULT_ROOT, "{cluster}"),
        "title": "Status of a cluster's producer",
        "description": "Retained. When a producer breaks off, its will publishes the offline form; an offline of "
        "an older boot than the last online is stale.",
        "messages": {"status": {"$ref": "#/components/messages/status"}},
        "parameters": {"cluster": _cluster_parameter()},
    }


def _cluster_parameter() -> dict[str, Any]:
    return {
        "description": "Name of the cluster and of its account: `[a-z0-9][a-z0-9-]{0,62}`.",
        "examples": ["edge-042"],
        "location": "$message.payload#/cluster",
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    binding: dict[str, Any] = {"qos": 1}
    if action == "send":
        binding["retain"] = channel == "status"
        if channel == "event":
            binding["messageExpiryInterval"] = EXPIRY_SECONDS
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{channel}"}],
        "bindings": {"mqtt": {**binding, **_BINDING}},
    }


def _message(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"mqtt": {**({"contentType": CONTENT_TYPE} if name == "status" else {}), **_BINDING}},
        "examples": [{"name": key, "payload": payload} for key, payload in EXAMPLES[name].items()],
    }


def _embedded(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema as a part of the document: the same, but for what makes it a document of its own."""
    return {key: value for key, value in schema.items() if not key.startswith("$")}
