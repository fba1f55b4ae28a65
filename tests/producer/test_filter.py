import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.producer.conftest import event
from tocsin_producer.event import read_event
from tocsin_producer.filter import EventFilter, Rule, field_selectors

POD = read_event(event())
NODE = read_event(event(involvedObject={"kind": "Node", "name": "pi-1"}, type="Normal", reason="NodeNotReady"))


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        (Rule({"type": "Warning"}), True),
        (Rule({"type": "Warn"}), False),
        (Rule({"type": "Warn.*", "reason": "BackOff|Failed"}), True),
        (Rule({"type": "Warning", "reason": "Failed"}), False),
        (Rule({"reason": ["BackOff", "Failed"]}), True),
        (Rule({"reason": ["Back.*"]}), False),
        (Rule({"namespace": "shop", "name": "api-.*", "component": "kubelet"}), True),
        (Rule({"message": "restarting"}), False),
        (Rule({"message": ".*restarting.*"}), True),
        (Rule({"type": "Warning"}, min_count=3), True),
        (Rule({"type": "Warning"}, min_count=4), False),
        (Rule(), True),
    ],
)
def test_a_rule_matches_when_all_its_fields_match_the_whole_text(rule: Rule, passes: bool) -> None:
    assert EventFilter([rule], []).passes(POD) is passes


def test_a_message_of_several_lines_is_matched_as_one_text() -> None:
    state = read_event(event(message="first\nsecond"))
    assert EventFilter([Rule({"message": "first.*second"})], []).passes(state)


def test_an_exclude_rule_wins_over_every_include_rule() -> None:
    assert not EventFilter([Rule(), Rule({"reason": "BackOff"})], [Rule({"reason": "BackOff"})]).passes(POD)


def test_an_object_without_a_namespace_has_the_namespace_of_its_topic() -> None:
    assert EventFilter([Rule({"namespace": "_cluster"})], []).passes(NODE)
    assert not EventFilter([Rule({"namespace": "_cluster"})], []).passes(POD)


@pytest.mark.parametrize(
    ("include", "selectors"),
    [
        (
            [Rule({"type": "Warning"}), Rule({"type": "Normal", "kind": "Node", "reason": "Node.*"})],
            ["type=Warning", "involvedObject.kind=Node,type=Normal"],
        ),
        ([Rule({"type": "Warning"}), Rule({"type": "Warning", "kind": "Pod"})], ["type=Warning"]),
        ([Rule({"type": "Warning"}), Rule({"type": "Warning"})], ["type=Warning"]),
        ([Rule({"type": "Warning"}), Rule()], [""]),
        ([Rule({"reason": "A|B"})], [""]),
        ([Rule({"reason": ["A", "B"]})], [""]),
        (
            [Rule({"reason": ["BackOff"], "namespace": "kube-system"})],
            ["involvedObject.namespace=kube-system,reason=BackOff"],
        ),
        ([Rule({"name": "web.example", "kind": "Pod"})], ["involvedObject.kind=Pod"]),
        ([Rule({"name": ["a,type=Normal"]})], [""]),
        ([Rule({"namespace": "_cluster", "type": "Warning"})], ["type=Warning"]),
    ],
)
def test_the_server_filters_for_what_is_literal_in_the_include_rules(
    include: list[Rule], selectors: list[str]
) -> None:
    assert field_selectors(include) == selectors


def test_one_watch_tells_all_conditions_of_nodes_whatever_many_rules_name_them() -> None:
    nodes = [
        Rule({"kind": "Node", "type": "Normal", "reason": reason}) for reason in ("NodeNotReady", "NodeReady")
    ]
    assert field_selectors([Rule({"type": "Warning"}), *nodes]) == [
        "type=Warning",
        "involvedObject.kind=Node,type=Normal",
    ]
    assert field_selectors([*nodes, Rule({"kind": "Node", "name": "pi-1"})]) == ["involvedObject.kind=Node"]
    warnings = Rule({"kind": "Node", "type": "Warning"})
    assert field_selectors([nodes[0], warnings]) == [
        "involvedObject.kind=Node,reason=NodeNotReady,type=Normal",
        "involvedObject.kind=Node,type=Warning",
    ]


_RULES = st.builds(
    Rule,
    st.dictionaries(
        st.sampled_from(["type", "kind", "reason"]),
        st.sampled_from(["Warning", "Normal", "Node", "Pod", "A", "A|B", "Node.*", ".*"]),
    ),
)


@given(
    include=st.lists(_RULES, min_size=1, max_size=4),
    texts=st.tuples(*[st.sampled_from(["Warning", "Normal", "Node", "Pod", "A", "B"])] * 3),
)
def test_no_selector_hides_what_the_filter_would_pass(include: list[Rule], texts: tuple[str, str, str]) -> None:
    type_, kind, reason = texts
    state = read_event(event(type=type_, reason=reason, involvedObject={"kind": kind, "name": "x"}))
    labels = {"type": type_, "involvedObject.kind": kind, "reason": reason}
    served = any(
        all(labels[part.partition("=")[0]] == part.partition("=")[2] for part in selector.split(",") if part)
        for selector in field_selectors(include)
    )
    assert served or not EventFilter(include, []).passes(state)
