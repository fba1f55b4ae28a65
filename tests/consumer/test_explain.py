from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import event
from tests.consumer.test_route import trees
from tocsin_consumer.explain import DEFAULT, Explanation, Step, explain, fields_of
from tocsin_consumer.explain_text import explanation_lines, explanation_object
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.match import MatchSettings, match_of, match_texts
from tocsin_consumer.route import Route, Verdict
from tocsin_consumer.settings import RouteSettings

SHOP: dict[str, Any] = {
    "receivers": ["ops", "log"],
    "group_wait": "30s",
    "routes": [
        {"match": {"severity": "critical"}, "receivers": ["pager"], "continue": True},
        {
            "match": {"namespace": "shop"},
            "drop": [{"kind": "Node"}, {"reason": ["Noise"], "kind": "Pod"}],
            "routes": [{"match": {"kind": "Job"}, "repeat_interval": "1h"}, {"match": {"kind": "Pod|Job"}}],
        },
        {"receivers": ["rest"]},
    ],
}


def explained(tree: dict[str, Any] = SHOP, **fields: Any) -> Explanation:
    route = Route(RouteSettings.model_validate(tree), single=["log"])
    return explain(route, event(**fields), DEFAULT_RULES)


def step(name: str, **fields: Any) -> Step:
    [found] = [one for one in explained(**fields).steps if one.route.name == name]
    return found


def text(**fields: Any) -> str:
    return "\n".join(explanation_lines(explained(**fields)))


@given(st.lists(trees, max_size=4), st.sampled_from(["Pod", "Node", "Job"]))
def test_what_is_explained_is_what_happens_in_any_tree(routes: list[dict[str, Any]], kind: str) -> None:
    route = Route(RouteSettings.model_validate({"receivers": ["root"], "routes": routes}), single=["a"])
    said = event(kind=kind)
    found, decision = explain(route, said), route.decide(said)
    ends = [one for one in found.steps if one.verdict in (Verdict.TAKES, Verdict.DROPS)]
    assert tuple(one.route.name for one in ends) == decision.routes
    assert tuple(share.taken for share in found.shares) == decision.taken
    assert {name for one in ends if one.verdict == Verdict.TAKES for name in one.route.receivers} == set(
        decision.receivers
    )


@given(st.lists(trees, max_size=4), st.sampled_from(["Pod", "Node", "Job"]))
def test_a_node_refuses_just_if_one_of_its_fields_does_not_hold(routes: list[dict[str, Any]], kind: str) -> None:
    route = Route(RouteSettings.model_validate({"receivers": ["root"], "routes": routes}))
    for one in explain(route, event(kind=kind)).steps:
        if one.verdict is None:
            assert one.taken_by is not None
        else:
            assert (one.verdict == Verdict.REFUSES) == (not all(field.holds for field in one.fields))
        assert one.verdict != Verdict.DROPS or all(field.holds for field in one.drop_fields)


@given(st.lists(trees, max_size=4))
def test_every_node_is_told_unless_one_above_it_refuses_drops_or_is_not_asked(
    routes: list[dict[str, Any]],
) -> None:
    route = Route(RouteSettings.model_validate({"receivers": ["root"], "routes": routes}))
    told = {one.route.name: one.verdict for one in explain(route, event()).steps}
    for node in route.nodes():
        is_open = node.above is None or told.get(node.above.name) in (Verdict.TAKES, Verdict.PASSES_ON)
        assert (node.name in told) == is_open


@given(st.lists(trees, max_size=4))
def test_an_option_is_the_one_of_the_node_that_it_is_said_to_come_from(routes: list[dict[str, Any]]) -> None:
    tree = {"receivers": ["root"], "quiet_after": "2h", "routes": routes}
    route = Route(RouteSettings.model_validate(tree))
    nodes = {node.name: node for node in route.nodes()}
    for share in explain(route, event()).shares:
        [quiet_after] = [option for option in share.options if option.name == "quiet_after"]
        assert (quiet_after.value, quiet_after.origin) == (timedelta(hours=2), "route")
        assert nodes[share.receivers_origin].settings.receivers == list(share.taken.route.receivers)


@pytest.mark.parametrize(
    "match", [{}, {"kind": "Pod"}, {"kind": "Pod", "node": "x"}, {"node": ""}, {"name": ["a"]}]
)
def test_a_match_holds_just_if_all_of_its_fields_do(match: dict[str, Any]) -> None:
    settings, texts = MatchSettings.model_validate(match), match_texts(event())
    assert all(field.holds for field in fields_of(settings, texts)) == match_of(settings)(texts)


def test_a_node_that_refuses_says_by_which_field_and_what_was_found() -> None:
    assert "route.routes[0] refuses: expected severity=critical, found 'warning'" in text()


def test_what_drops_is_named() -> None:
    assert "drops it: drop[1] has reason=Noise ('Noise'), kind=Pod ('Pod')" in text(ns="shop", reason="Noise")


def test_a_node_that_is_not_asked_names_the_one_that_has_taken_the_event() -> None:
    assert step("route.routes[2]", ns="shop").taken_by == "route.routes[1]"
    assert "route.routes[2] is not asked: route.routes[1] has taken it" in text(ns="shop")


def test_a_node_that_continues_lets_those_behind_it_be_asked() -> None:
    fields = {"reason": "NodeNotReady", "kind": "Node", "ns": None, "type": "Normal"}
    assert step("route.routes[0]", **fields).verdict == Verdict.TAKES
    assert step("route.routes[2]", **fields).verdict == Verdict.TAKES
    assert "takes it, and those behind it are asked as well" in text(**fields)


def test_options_say_which_node_they_come_from() -> None:
    [share] = explained(ns="shop", kind="Job").shares
    origins = {option.name: option.origin for option in share.options}
    assert origins["repeat_interval"] == "route.routes[1].routes[0]"
    assert origins["group_wait"] == "route"
    assert origins["quiet_after"] == origins["group_by"] == DEFAULT
    said = text(ns="shop", kind="Job")
    assert "option      repeat_interval 1 h (from route.routes[1].routes[0])" in said
    assert "option      group_wait 30 s (inherited from route)" in said


def test_receivers_say_whether_they_are_told_of_the_incident_or_of_the_event() -> None:
    said = text(ns="shop")
    assert "told        ops, told of the incident (inherited from route)" in said
    assert "told        log, told of each event as it comes (inherited from route)" in said
    assert "group       cluster='edge-1', namespace='shop', reason='BackOff'" in said


def test_a_receiver_that_a_node_before_tells_is_not_told_twice() -> None:
    tree = {"receivers": [], "routes": [{"receivers": ["ops"], "continue": True}, {"receivers": ["ops"]}]}
    assert [share.told_before for share in explained(tree).shares] == [(), ("ops",)]


def test_a_recovery_names_what_it_ends_and_no_receiver_of_this_route() -> None:
    said = text(reason="NodeReady", kind="Node", ns=None, name="pi-3", type="Normal")
    assert "it ends NodeNotReady of Node pi-3, NodeNotReady of every Pod of edge-1, where that goes on" in said
    assert "told of the incident" not in said


def test_rules_of_inhibition_that_concern_it_are_named() -> None:
    found = explained(reason="NodeNotReady", kind="Node", ns=None, name="pi-3", type="Normal")
    assert found.source_of == ("node-not-ready", "pods-of-nodes-not-ready")
    assert found.target_of == ("cluster-offline",)
    assert explained().target_of == ("cluster-offline", "node-not-ready")


def test_nothing_that_a_cluster_wrote_acts_on_a_terminal() -> None:
    said = text(name="a\x1b[2J", reason="R\u202e", ns="shop\n")
    assert not set("\x1b\u202e") & set(said)
    assert all(line.split()[0].isalpha() for line in said.splitlines())


def test_the_object_names_each_step_with_its_verdict() -> None:
    found = explanation_object(explained(ns="shop"))
    assert [(one["route"], one["verdict"]) for one in found["steps"]] == [
        ("route", "passes on"),
        ("route.routes[0]", "refuses"),
        ("route.routes[1]", "passes on"),
        ("route.routes[1].routes[0]", "refuses"),
        ("route.routes[1].routes[1]", "takes"),
        ("route.routes[2]", "not asked"),
    ]
    assert found["told"][0]["options"]["group_wait"] == {"value": 30.0, "from": "route"}
