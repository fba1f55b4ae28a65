"""Which events say that a problem is over, and which problems wait for one: pure."""

from typing import Any

import pytest

from tests.consumer.messages import event
from tocsin_consumer.notice import COMPONENT, KIND
from tocsin_consumer.recovery import Ended, ended_by, is_recovery, stands

NODE: dict[str, Any] = {"kind": "Node", "ns": None, "name": "pi-1", "type": "Normal"}
OURS: dict[str, Any] = {"kind": KIND, "ns": None, "name": "edge-1", "from": COMPONENT}


def test_a_node_that_is_ready_ends_that_it_was_not_and_that_of_the_pods_of_its_cluster() -> None:
    assert list(ended_by(event(**NODE, reason="NodeReady"))) == [
        Ended("edge-1", "Node", "NodeNotReady", ("", "pi-1")),
        Ended("edge-1", "Pod", "NodeNotReady", None),
    ]
    assert len(list(ended_by(event(**NODE, reason="NodeHasNoDiskPressure")))) == 1


def test_a_cluster_that_is_online_ends_all_that_was_said_of_its_link() -> None:
    ended = list(ended_by(event(**OURS, type="Normal", reason="ClusterOnline")))
    assert [one.reason for one in ended] == ["ClusterOffline", "ClusterNeverSeen", "ClusterUnstable"]
    assert {one.object for one in ended} == {("", "edge-1")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (NODE | {"reason": "NodeReady"}, True),
        (NODE | {"reason": "NodeReady", "type": "Warning"}, False),
        (NODE | {"reason": "Rebooted"}, False),
        ({"reason": "NodeReady", "type": "Normal"}, False),  # of a Pod
        (OURS | {"reason": "ClusterOnline", "type": "Normal"}, True),
        (OURS | {"reason": "ClusterOnline", "type": "Normal", "from": "somebody"}, False),
        (OURS | {"reason": "ClusterOffline", "type": "Normal"}, False),
        (NODE | {"reason": "ClusterOnline", "from": COMPONENT}, False),
    ],
)
def test_a_recovery_is_a_normal_event_of_the_kind_that_says_so(fields: dict[str, Any], *, expected: bool) -> None:
    assert is_recovery(event(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (NODE | {"reason": "NodeNotReady"}, True),
        (NODE | {"reason": "Rebooted"}, False),
        ({"reason": "NodeNotReady"}, False),  # of a Pod
        (OURS | {"reason": "ClusterOffline"}, True),
        (OURS | {"reason": "ClusterLossy"}, False),
        (OURS | {"reason": "NodeNotReady", "kind": "Node"}, True),
        (OURS | {"reason": "ClusterOffline", "from": "somebody"}, False),
    ],
)
def test_conditions_of_nodes_and_of_our_links_stand_until_their_end_is_said(
    fields: dict[str, Any], *, expected: bool
) -> None:
    assert stands(event(**fields)) == expected
