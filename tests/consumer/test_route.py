from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import event
from tocsin_consumer.match import MatchSettings, match_texts
from tocsin_consumer.route import Decision, Route
from tocsin_consumer.settings import RouteSettings


def where(tree: dict[str, Any], **fields: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return whom the tree tells, and which of its nodes."""
    decision = decide(tree, **fields)
    return decision.receivers, decision.routes


def decide(tree: dict[str, Any], **fields: Any) -> Decision:
    return Route(RouteSettings.model_validate(tree)).decide(event(**fields))


def test_an_event_that_no_child_matches_goes_to_the_nodes_own_receivers() -> None:
    tree = {"receivers": ["ops"], "routes": [{"match": {"reason": "OOM"}, "receivers": ["pager"]}]}
    assert where(tree) == (("ops",), ("route",))


def test_the_first_child_that_matches_takes_the_event() -> None:
    tree = {
        "receivers": ["ops"],
        "routes": [
            {"match": {"kind": "Node"}, "receivers": ["a"]},
            {"match": {"kind": "Pod"}, "receivers": ["b"]},
            {"match": {"kind": "Pod"}, "receivers": ["c"]},
        ],
    }
    assert where(tree) == (("b",), ("route.routes[1]",))


def test_a_child_that_continues_lets_those_behind_it_match_as_well() -> None:
    tree = {
        "receivers": ["ops"],
        "routes": [
            {"match": {"kind": "Pod"}, "receivers": ["a"], "continue": True},
            {"match": {"kind": "Node"}, "receivers": ["b"], "continue": True},
            {"match": {"kind": "Pod"}, "receivers": ["c"]},
            {"receivers": ["d"]},
        ],
    }
    assert decide(tree).receivers == ("a", "c")


def test_a_child_that_continues_and_is_the_last_to_match_still_takes_the_event_from_its_parent() -> None:
    tree = {"receivers": ["ops"], "routes": [{"receivers": ["a"], "continue": True}]}
    assert decide(tree).receivers == ("a",)


def test_a_node_without_receivers_has_those_of_the_node_above() -> None:
    tree = {
        "receivers": ["ops"],
        "routes": [{"match": {"kind": "Pod"}, "routes": [{"match": {"type": "Warning"}}]}],
    }
    assert where(tree) == (("ops",), ("route.routes[0].routes[0]",))


def test_an_empty_list_of_receivers_drops() -> None:
    tree = {"receivers": ["ops"], "routes": [{"match": {"reason": ["BackOff"]}, "receivers": []}]}
    decision = decide(tree)
    assert decision.receivers == ()
    assert decision.routes == ("route.routes[0]",)


def test_what_a_node_drops_goes_neither_to_its_receivers_nor_to_its_children() -> None:
    tree = {
        "receivers": ["ops"],
        "routes": [
            {"receivers": ["a"], "drop": [{"kind": "Node"}, {"kind": "Pod"}], "routes": [{"receivers": ["b"]}]},
            {"receivers": ["c"]},
        ],
    }
    assert where(tree) == ((), ("route.routes[0]",))


def test_a_node_that_drops_and_continues_leaves_the_event_to_those_behind_it() -> None:
    tree = {
        "receivers": ["ops"],
        "routes": [{"receivers": ["a"], "drop": [{}], "continue": True}, {"receivers": ["c"]}],
    }
    assert decide(tree).receivers == ("c",)


def test_a_receiver_named_by_several_routes_gets_an_event_once() -> None:
    tree = {
        "receivers": ["ops"],
        "routes": [{"receivers": ["a", "b"], "continue": True}, {"receivers": ["b", "c"]}],
    }
    assert decide(tree).receivers == ("a", "b", "c")


def test_all_fields_of_a_match_have_to_hold() -> None:
    tree = {"receivers": [], "routes": [{"match": {"kind": "Pod", "reason": "Failed"}, "receivers": ["a"]}]}
    assert decide(tree).receivers == ()
    assert decide(tree, reason="Failed").receivers == ("a",)


@pytest.mark.parametrize(
    ("match", "fields"),
    [
        ({"cluster": "edge-.*"}, {}),
        ({"namespace": "prod.*"}, {}),
        ({"namespace": "_cluster"}, {"ns": None, "kind": "Node"}),
        ({"type": "Warning"}, {}),
        ({"name": "api-\\d"}, {}),
        ({"component": "kubelet"}, {"from": "kubelet"}),
        ({"component": ""}, {}),
        ({"node": "pi-3"}, {"node": "pi-3"}),
        ({"node": "pi-3"}, {"kind": "Node", "name": "pi-3", "node": None}),
        ({"message": ".*container"}, {}),
        ({"field": "spec.containers\\{api\\}"}, {"field": "spec.containers{api}"}),
        ({"severity": "critical"}, {"kind": "Node", "reason": "NodeNotReady", "type": "Normal"}),
    ],
)
def test_a_match_sees_each_field_of_an_event(match: dict[str, str], fields: dict[str, Any]) -> None:
    assert decide({"receivers": [], "routes": [{"match": match, "receivers": ["a"]}]}, **fields).receivers


def test_every_field_that_settings_know_is_one_that_a_match_sees() -> None:
    assert MatchSettings.model_fields.keys() == match_texts(event()).keys()


_matches = st.fixed_dictionaries(
    {}, optional={"kind": st.sampled_from(["Pod", "Node"]), "type": st.just("Warning")}
)
_receivers = st.lists(st.sampled_from("abc"), unique=True, max_size=3)
trees = st.recursive(
    st.fixed_dictionaries(
        {"match": _matches}, optional={"receivers": _receivers, "continue": st.booleans(), "drop": st.just([{}])}
    ),
    lambda below: st.fixed_dictionaries(
        {"match": _matches, "routes": st.lists(below, max_size=3)}, optional={"continue": st.booleans()}
    ),
    max_leaves=8,
)


@given(st.lists(trees, max_size=4), st.sampled_from(["Pod", "Node", "Job"]))
def test_in_any_tree_some_node_takes_the_event_and_each_receiver_gets_it_at_most_once(
    routes: list[dict[str, Any]], kind: str
) -> None:
    decision = decide({"receivers": ["root"], "routes": routes}, kind=kind)
    assert decision.routes
    assert len(set(decision.receivers)) == len(decision.receivers)
    assert len(set(decision.routes)) == len(decision.routes)
    assert ("root" in decision.receivers) or "route" not in decision.routes
