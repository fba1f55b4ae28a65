"""The producer builds its JSON by hand, since pydantic is too large for it: here the models check it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.fakes.recording import read_recording
from tocsin_producer.event import EventState, read_event
from tocsin_producer.payload import event_payload, numbered, status_payload
from tocsin_producer.settings import MESSAGE_LIMIT
from tocsin_schemas.event import EventPayload
from tocsin_schemas.generate import json_schema
from tocsin_schemas.status import StatusPayload
from tocsin_schemas.topics import event_topic, parse

RECORDING = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"
LIMIT = 1024
#: What `mosquitto/` lets a packet be, less its header and the properties that go with it.
PACKET_LIMIT = 65_536 - 64
EVENT_SCHEMA, STATUS_SCHEMA = (Draft202012Validator(json_schema(name)) for name in ("event", "status"))
TEXT = st.none() | st.text(st.characters(), max_size=40)
MOMENT = st.tuples(st.datetimes(), st.sampled_from(["Z", "+14:00", "-12:00"]))
TIME = st.none() | MOMENT.map(lambda moment: f"{moment[0].isoformat()}{moment[1]}") | st.text(max_size=30)
#: Characters that grow most in UTF-8 and in JSON.
GREEDY = st.sampled_from(["\0", "\x1f", "€", "🚨", '"', "\\"]).map(lambda character: character * 100_000)
EVENTS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"uid": st.uuids().map(str), "creationTimestamp": TIME}),
        "involvedObject": st.fixed_dictionaries(
            {"kind": TEXT, "namespace": TEXT, "name": TEXT, "fieldPath": TEXT}
        ),
        "type": TEXT,
        "reason": TEXT,
        "message": st.none() | st.text(st.characters(), max_size=2 * LIMIT),
        "count": st.none() | st.integers(),
        "series": st.none() | st.fixed_dictionaries({"count": st.integers(), "lastObservedTime": TIME}),
        "source": st.fixed_dictionaries({"component": TEXT, "host": TEXT}),
        "reportingComponent": TEXT,
        "firstTimestamp": TIME,
        "lastTimestamp": TIME,
        "eventTime": TIME,
    },
)


def check(state: EventState) -> EventPayload:
    payload = numbered(event_payload(state, "edge-042", message_limit=LIMIT), boot=17, seq=812)
    event = EventPayload.model_validate_json(payload)
    EVENT_SCHEMA.validate(json.loads(payload))
    assert event.model_extra == {}
    assert event.model_dump_json(by_alias=True, exclude_unset=True).encode() == payload
    parse("k8s/v1", event_topic("k8s/v1", event.cluster, namespace=event.ns, kind=event.kind, reason=event.reason))
    return event


@given(EVENTS)
def test_what_the_producer_makes_of_any_event_is_a_payload_of_version_1(event: dict[str, Any]) -> None:
    state = read_event(event)
    payload = check(state)
    assert (payload.uid, payload.count, payload.first, payload.last) == (
        state.uid,
        state.count,
        state.first,
        state.last,
    )
    assert len(payload.msg) <= LIMIT


@given(GREEDY)
def test_no_event_is_larger_than_the_packets_that_the_broker_takes(text: str) -> None:
    """Else the broker hangs up on it, again and again, and nothing behind it ever arrives."""
    involved = {"kind": text, "namespace": text, "name": text, "fieldPath": text}
    source = {"component": text, "host": text}
    state = read_event(
        {
            "metadata": {"uid": "u" * 128},
            "involvedObject": involved,
            "source": source,
            **dict.fromkeys(("type", "reason", "message"), text),
        }
    )
    payload = numbered(event_payload(state, "c" * 63, message_limit=MESSAGE_LIMIT), boot=2**63 - 1, seq=2**63 - 1)
    topic = event_topic("k8s/v1", "c" * 63, namespace=state.namespace, kind=state.kind, reason=state.reason)
    assert len(payload) + len(topic.encode()) <= PACKET_LIMIT
    check(state)


def recorded() -> Iterator[EventState]:
    for notification in read_recording(RECORDING):
        if notification.type in ("ADDED", "MODIFIED"):
            yield read_event(notification.event)


def test_what_the_producer_makes_of_a_recorded_watch_is_of_version_1() -> None:
    assert len([check(state) for state in recorded()]) > 100


@given(st.sampled_from(["online", "offline"]), st.none() | st.text(max_size=40), st.integers(0, 2**63 - 1))
def test_what_the_producer_says_of_itself_is_of_version_1(state: str, k8s: str | None, number: int) -> None:
    payload = status_payload(
        "edge-042", state, boot=number, since=1795400000, version="0.1.0", k8s=k8s, waiting=number, lost=number
    )
    status = StatusPayload.model_validate_json(payload)
    STATUS_SCHEMA.validate(json.loads(payload))
    assert (status.state, status.k8s, status.boot, status.model_extra) == (state, k8s, number, {})
