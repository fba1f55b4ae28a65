import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.recording import Notification
from tests.producer.conftest import OLD_STYLE, event
from tocsin_producer.errors import MalformedEventError
from tocsin_producer.event import read_event

# As written through events.k8s.io/v1 and read through core/v1: the old fields are empty or null.
NEW_STYLE: dict[str, Any] = {
    "metadata": {"uid": "uid-2", "creationTimestamp": "2026-11-23T09:56:57Z"},
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "early-bird"},
    "type": "Warning",
    "reason": "FailedScheduling",
    "message": "0/1 nodes are available",
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": "2026-11-23T09:56:56.999715Z",
    "reportingComponent": "default-scheduler",
    "reportingInstance": "default-scheduler-vm",
}


def test_an_event_of_the_old_style_is_read() -> None:
    state = read_event(OLD_STYLE)
    assert (state.uid, state.count, state.type, state.reason) == ("uid-1", 3, "Warning", "BackOff")
    assert (state.namespace, state.kind, state.name) == ("shop", "Pod", "api-7c9")
    assert (state.field, state.component, state.node) == ("spec.containers{api}", "kubelet", "pi-3")
    assert (state.first, state.last) == (1795428000, 1795428300)


def test_an_event_of_the_new_style_takes_its_time_and_reporter_from_the_new_fields() -> None:
    state = read_event(NEW_STYLE)
    assert (state.count, state.component, state.node) == (1, "default-scheduler", None)
    assert (state.first, state.last) == (1795427816, 1795427816)


def test_a_series_tells_the_count_and_the_last_time() -> None:
    series = {"count": 9, "lastObservedTime": "2026-11-23T10:30:00.000001Z"}
    state = read_event({**NEW_STYLE, "series": series, "count": 2})
    assert (state.count, state.first, state.last) == (9, 1795427816, 1795429800)


def test_an_event_without_any_time_of_its_own_has_its_creation_time() -> None:
    state = read_event(event(firstTimestamp=None, lastTimestamp="not a time"))
    assert state.first == state.last == 1795428000


def test_an_event_never_ends_before_it_began() -> None:
    state = read_event(event(lastTimestamp="2026-11-23T09:00:00Z"))
    assert state.first == state.last == 1795424400


def test_a_cluster_scoped_object_has_no_namespace_and_is_its_own_node() -> None:
    state = read_event(
        event(involvedObject={"kind": "Node", "name": "pi-1"}, source={"component": "node-controller"})
    )
    assert (state.namespace, state.node) == (None, "pi-1")


def test_kubelet_is_at_home_on_the_node_that_it_reports_from() -> None:
    state = read_event(event(source={}, reportingComponent="kubelet", reportingInstance="pi-2"))
    assert state.node == "pi-2"


def test_half_a_character_becomes_one_that_utf8_can_carry() -> None:
    assert read_event(event(message="bad \ud800 end")).message == "bad ? end"


@pytest.mark.parametrize("count", [None, 0, -4, True, "7", 2.5])
def test_an_odd_count_is_one_occurrence(count: object) -> None:
    assert read_event(event(count=count)).count == 1


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("text", "expected an object, found str"),
        (None, "expected an object, found NoneType"),
        ({}, "metadata.uid: expected a uid"),
        ({"metadata": []}, "metadata: expected an object, found list"),
        ({"metadata": {"uid": 7}}, "uid: expected a string, found int"),
        ({"metadata": {"uid": "x" * 129}}, "metadata.uid: expected a uid"),
        (event(reason={"a": 1}), "reason: expected a string, found dict"),
    ],
)
def test_what_is_no_event_is_refused_with_the_field_that_is_wrong(value: object, why: str) -> None:
    with pytest.raises(MalformedEventError, match=f"^{why}$"):
        read_event(value)


def test_every_recorded_event_can_be_read(recording: list[Notification]) -> None:
    states = [read_event(notification.event) for notification in recording]
    assert all(state.first and state.reason and state.kind and state.component for state in states)
    assert {state.node for state in states if state.component == "kubelet"} == {"pi-1"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    path=st.sampled_from([*OLD_STYLE, "series", "metadata.uid", "involvedObject.kind", "source.host"]), odd=_JSON
)
def test_an_odd_field_is_read_or_refused_but_never_a_crash(path: str, odd: object) -> None:
    value = copy.deepcopy(OLD_STYLE)
    holder, _, key = path.rpartition(".")
    (value[holder] if holder else value)[key] = odd
    try:
        state = read_event(value)
    except MalformedEventError:
        return
    assert state.count >= 1
    assert 0 <= state.first <= state.last
    state.message.encode()
