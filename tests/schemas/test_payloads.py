import json
from typing import Any

import pytest
from pydantic import ValidationError

from tocsin_schemas.event import EventPayload
from tocsin_schemas.status import StatusPayload

EVENT: dict[str, Any] = {
    "v": 1,
    "cluster": "edge-042",
    "type": "Warning",
    "reason": "BackOff",
    "kind": "Pod",
    "ns": "production",
    "name": "api-7c9",
    "msg": "Back-off",
    "count": 14,
    "first": 1795420000,
    "last": 1795425534,
    "from": "kubelet",
    "uid": "5b9e",
    "boot": 17,
    "seq": 812,
}
STATUS: dict[str, Any] = {
    "v": 1,
    "cluster": "edge-042",
    "state": "online",
    "boot": 17,
    "since": 1795400000,
    "version": "0.1.0",
}


def event(**changes: Any) -> EventPayload:
    return EventPayload.model_validate_json(json.dumps(EVENT | changes))


def status(**changes: Any) -> StatusPayload:
    return StatusPayload.model_validate_json(json.dumps(STATUS | changes))


def test_a_payload_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        event().count = 15  # type: ignore[misc] # mypy knows it too


def test_fields_that_are_not_known_are_kept_and_dumped_again() -> None:
    later = {"severity": "critical", "related": {"kind": "Node", "labels": [1, None, 0.5]}, "seen": None}
    dumped = event(**later).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert dumped == EVENT | later


def test_the_component_is_from_on_the_wire() -> None:
    assert event().from_ == "kubelet"
    assert json.loads(event().model_dump_json(by_alias=True))["from"] == "kubelet"


@pytest.mark.parametrize("major", [0, 2, 10**30, -1, "1", None, [1]])
def test_an_unknown_major_version_is_refused(major: object) -> None:
    for read in (event, status):
        with pytest.raises(ValidationError) as error:
            read(v=major)
        assert [detail["loc"] for detail in error.value.errors()] == [("v",)]


@pytest.mark.parametrize("field", sorted(EVENT.keys() - {"ns", "from"}))
def test_an_event_without_a_required_field_is_refused(field: str) -> None:
    fields = {key: value for key, value in EVENT.items() if key != field}
    with pytest.raises(ValidationError, match=field):
        EventPayload.model_validate_json(json.dumps(fields))


@pytest.mark.parametrize("field", sorted(STATUS))
def test_a_status_without_a_required_field_is_refused(field: str) -> None:
    fields = {key: value for key, value in STATUS.items() if key != field}
    with pytest.raises(ValidationError, match=field):
        StatusPayload.model_validate_json(json.dumps(fields))


@pytest.mark.parametrize(
    "changes",
    [
        {"count": "14"},
        {"count": 14.0},
        {"count": True},
        {"count": 0},
        {"count": -1},
        {"count": 2**63},
        {"seq": -1},
        {"boot": 2**63},
        {"first": -1},
        {"last": 253_402_300_800},
        {"last": "2026-11-23T10:05:34Z"},
        {"last": 1795425534.5},
        {"type": ""},
        {"ns": ""},
        {"uid": ""},
        {"uid": "u" * 129},
        {"name": 7},
        {"msg": None},
        {"msg": ["a"]},
        {"cluster": ""},
        {"cluster": "Edge"},
        {"cluster": "-edge"},
        {"cluster": "edge\n"},
        {"cluster": "a" * 64},
        {"cluster": "edge.one"},
    ],
)
def test_an_event_whose_field_is_of_a_wrong_type_or_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        event(**changes)
    assert {detail["loc"] for detail in error.value.errors()} == {tuple(changes)}


@pytest.mark.parametrize(
    "changes",
    [{"count": 1}, {"count": 2**63 - 1}, {"first": 0, "last": 253_402_300_799}, {"uid": "u" * 128}, {"msg": ""}],
)
def test_an_event_at_its_bounds_is_accepted(changes: dict[str, Any]) -> None:
    assert event(**changes).model_dump(by_alias=True, exclude_unset=True) == EVENT | changes


@pytest.mark.parametrize(
    "changes",
    [{"state": "asleep"}, {"boot": -1}, {"since": -1}, {"waiting": -1}, {"lost": 0.5}, {"version": 1}, {"k8s": 1}],
)
def test_a_status_whose_field_is_of_a_wrong_type_or_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        status(**changes)
    assert {detail["loc"] for detail in error.value.errors()} == {tuple(changes)}


def test_a_status_counts_nothing_where_nothing_is_said() -> None:
    assert (status().waiting, status().lost, status().k8s) == (0, 0, None)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"1", b'{"v":1', b"\xff", b'{"v":1,"msg":"\\ud800"}'])
def test_what_is_not_an_object_in_json_and_utf_8_is_refused(payload: bytes) -> None:
    for model in (EventPayload, StatusPayload):
        with pytest.raises(ValidationError):
            model.model_validate_json(payload)
