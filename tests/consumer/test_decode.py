import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import ROOT, event, payload, topic
from tocsin_consumer.decode import PAYLOAD_LIMIT, Forgotten, Rejection, decode
from tocsin_schemas.event import EventPayload
from tocsin_schemas.status import StatusPayload

TOPIC = f"{ROOT}/edge-1/event/production/Pod/BackOff"


def reason(data: bytes, at: str = TOPIC) -> str:
    rejection = decode(at, data, root=ROOT)
    assert isinstance(rejection, Rejection)
    return rejection.reason


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(payload(event())) | fields).encode()


def test_an_event_is_what_its_payload_says() -> None:
    assert decode(TOPIC, payload(event()), root=ROOT) == event()


def test_an_event_about_a_cluster_scoped_object_comes_from_the_cluster_level() -> None:
    node = event(kind="Node", ns=None, name="pi-1")
    assert decode(topic(node), payload(node), root=ROOT) == node
    assert "/_cluster/" in topic(node)


def test_a_reason_that_no_topic_can_hold_is_compared_in_its_safe_form() -> None:
    odd = event(reason="a/b+c.d")
    assert isinstance(decode(topic(odd), payload(odd), root=ROOT), EventPayload)


def test_fields_that_a_newer_producer_added_are_kept() -> None:
    said = decode(TOPIC, changed(added={"by": "newer"}), root=ROOT)
    assert isinstance(said, EventPayload)
    assert (said.model_extra or {})["added"] == {"by": "newer"}


def test_a_status_is_decoded_from_the_status_topic() -> None:
    data = b'{"v":1,"cluster":"edge-1","state":"online","boot":3,"since":9,"version":"0.1.0"}'
    assert isinstance(decode(f"{ROOT}/edge-1/status", data, root=ROOT), StatusPayload)
    assert reason(data, f"{ROOT}/edge-2/status") == "payload names another cluster than its topic"


def test_an_empty_status_is_how_mqtt_clears_a_retained_one() -> None:
    assert decode(f"{ROOT}/edge-1/status", b"", root=ROOT) == Forgotten("edge-1")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "payload is empty"),
        (b"\xff\xfe", "payload is not UTF-8 (byte 0)"),
        (b"hello", "payload is not JSON (expected value at line 1 column 1)"),
        (b'"text"', "payload is not a JSON object"),
        (b"[]", "payload is not a JSON object"),
        (b"{}", "v: Field required"),
        (changed(v=2), "version 2 is not known"),
        (changed(v="1"), "v: expected the version, a small whole number"),
        (changed(v="\x1b[2J\nFAKE ERROR"), "v: expected the version, a small whole number"),
        (changed(v=True), "v: expected the version, a small whole number"),
        (changed(v=10**15), "v: expected the version, a small whole number"),
        (changed(count=0), "count: Input should be greater than or equal to 1"),
        (changed(count="3"), "count: Input should be a valid integer"),
        (changed(uid=""), "uid: String should have at least 1 character"),
        (changed(cluster="edge-2"), "payload names another cluster than its topic"),
        (changed(ns="default"), "payload names another namespace than its topic"),
        (changed(kind="Node"), "payload names another kind than its topic"),
        (changed(reason="Failed"), "payload names another reason than its topic"),
        (b" " * (PAYLOAD_LIMIT + 1), "payload is larger than 256 KiB"),
    ],
)
def test_a_payload_that_is_not_an_event_of_its_topic_is_rejected_with_the_reason(data: bytes, why: str) -> None:
    assert reason(data) == why


@pytest.mark.parametrize(
    "at", ["other/edge-1/status", f"{ROOT}/Edge/status", f"{ROOT}/edge-1", f"{ROOT}/edge-1/event/a/b/c/d", ""]
)
def test_a_topic_that_the_wire_does_not_know_is_rejected(at: str) -> None:
    assert reason(payload(event()), at).startswith("topic ")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"v":1,"x":' + b"9" * 10_000 + b"}",
        b'{"v":1,"x":1e999}',
        b'{"v":NaN}',
        b'{"v":1,"v":2}',
        b'{"v":1,"cluster":"\\ud800"}',
        b'{"v":true}',
    ],
)
def test_json_made_to_break_readers_is_rejected(data: bytes) -> None:
    assert reason(data)


@given(st.text(max_size=60), st.binary(max_size=200))
def test_whatever_is_sent_decoding_never_raises_and_says_why_in_one_short_line(at: str, data: bytes) -> None:
    why = reason(data, at)
    assert "\n" not in why
    assert len(why) < 200


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(json.loads(payload(event())))), _json)
def test_a_field_of_any_shape_gives_an_event_or_a_reason(name: str, value: Any) -> None:
    said = decode(TOPIC, changed(**{name: value}), root=ROOT)
    assert isinstance(said, EventPayload | Rejection)
