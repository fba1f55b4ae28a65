"""Of a configuration, what does nothing and what does everything is told; what may do something is left alone."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import event
from tocsin_consumer.match import match_texts
from tocsin_consumer.route import Route, Verdict
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.strict import findings, reach
from tocsin_consumer.strict_recording import recorded_findings


def settings(*routes: dict[str, Any], **sections: Any) -> ConsumerSettings:
    """Return settings with the receivers a, b and c, of which the top of the tree tells all."""
    route = {"receivers": ["a", "b", "c"], "routes": list(routes)} | sections.pop("route", {})
    return ConsumerSettings.model_validate(
        {
            "broker": {"url": "mqtt://localhost:1", "username": "ops"},
            "receivers": [{"name": name, "stdout": {}} for name in "abc"],
            "route": route,
            **sections,
        }
    )


def found(*routes: dict[str, Any], **sections: Any) -> list[tuple[str, str]]:
    """Return the places of what is found, and what is wrong there."""
    checked = settings(*routes, **sections)
    return [(".".join(map(str, one.location)), one.text) for one in findings(checked)]


def of_recording(*events: dict[str, Any], using: ConsumerSettings) -> list[tuple[str, str]]:
    recorded = [match_texts(event(**fields)) for fields in events]
    return [(".".join(map(str, one.location)), one.text) for one in recorded_findings(using, recorded)]


def test_repeats_that_never_come_so_soon_are_told_once_where_they_are_asked_for() -> None:
    hasty = "repeat_interval 1m is shorter than group_interval 5m, and nothing is told again any sooner than that"
    inheriting = {"match": {"kind": "Pod"}}
    assert found(inheriting, route={"repeat_interval": "1m"}) == [("route.repeat_interval", hasty)]
    patient = {"match": {"kind": "Pod"}, "group_interval": "1m"}
    assert found(patient, route={"repeat_interval": "1m"}) == [("route.repeat_interval", hasty)]
    slow = {"match": {"kind": "Pod"}, "group_interval": "5h"}
    [(place, said)] = found(slow)
    assert (place, "4h is shorter than group_interval 5h" in said) == ("route.routes.0.group_interval", True)
    assert found(route={"repeat_interval": "5m"}) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"kind": "Pod"}),
        ({"kind": "Pod"}, {"kind": "Pod"}),
        ({"kind": "Pod"}, {"kind": "Pod", "reason": "BackOff"}),
        ({"kind": ["Pod", "Node"]}, {"kind": "Node"}),
        ({"cluster": "edge-.*"}, {"cluster": ["edge-1", "edge-2"]}),
        ({"cluster": "edge-.*"}, {"cluster": "edge-.*"}),
        ({"cluster": ".*"}, {"kind": "Pod"}),
        ({"severity": "critical|warning|info|recovered"}, {"kind": "Pod"}),
    ],
)
def test_a_route_of_which_one_before_takes_all_is_never_reached(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    places = dict(found({"match": before, "receivers": ["a"]}, {"match": after, "receivers": ["b"]}))
    assert places["route.routes.1"] == "is never reached: route.routes[0] before it takes all that it would take"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"kind": "Pod"}, {"kind": "Node"}),
        ({"kind": "Pod", "reason": "BackOff"}, {"kind": "Pod"}),
        ({"cluster": "edge-.*"}, {"cluster": "edge-1.*"}),
        ({"cluster": "edge-.*"}, {"cluster": ["edge-1", "lab-1"]}),
        ({"node": ".+"}, {"kind": "Pod"}),
        ({"kind": "(?!Cluster\\Z).*"}, {"reason": "BackOff"}),
    ],
)
def test_a_route_of_which_one_before_may_leave_something_is_left_alone(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert found({"match": before, "receivers": ["a"]}, {"match": after, "receivers": ["b"]}) == []


def test_one_that_continues_leaves_everything_to_those_behind_it() -> None:
    first = {"match": {"kind": "Pod"}, "continue": True, "receivers": ["a"]}
    assert found(first, {"match": {"kind": "Pod"}, "receivers": ["b"]}) == []


@pytest.mark.parametrize(
    ("above", "below", "fields"),
    [
        ({"kind": "Pod"}, {"kind": "Node"}, "kind=Pod and kind=Node"),
        ({"cluster": "edge-.*"}, {"cluster": ["lab-1"]}, "cluster=edge-.* and cluster=lab-1"),
        ({"cluster": ["edge-1", "edge-2"]}, {"cluster": "lab.*"}, "cluster=edge-1|edge-2 and cluster=lab.*"),
        ({"severity": "critical|warning"}, {"severity": "in.*"}, "severity=critical|warning and severity=in.*"),
    ],
)
def test_a_route_that_contradicts_one_above_it_is_never_reached(
    above: dict[str, Any], below: dict[str, Any], fields: str
) -> None:
    tree = {"match": above, "routes": [{"routes": [{"match": below, "receivers": ["a"]}]}]}
    assert found(tree) == [
        (
            "route.routes.0.routes.0.routes.0",
            f"is never reached: nothing has {fields}, which it and the nodes above it ask for together",
        )
    ]


def test_two_expressions_may_have_something_in_common() -> None:
    assert found({"match": {"cluster": "edge-.*"}, "routes": [{"match": {"cluster": ".*-1"}}]}) == []


def test_a_route_all_of_which_is_dropped_above_it_is_never_reached() -> None:
    tree = {"match": {"cluster": "edge-.*"}, "routes": [{"match": {"kind": "Pod", "reason": ["BackOff"]}}]}
    places = found(tree, route={"drop": [{"kind": "Node"}, {"reason": "Back.*"}]})
    assert places == [
        ("route.routes.0.routes.0", "is never reached: route.drop[1] drops all that it would take"),
    ]


def test_what_drops_nothing_or_everything_is_told() -> None:
    tree = {"match": {"kind": "Pod"}, "drop": [{"kind": "Node"}, {"kind": "P.*"}, {"kind": "Pod", "reason": "A"}]}
    assert found(tree) == [
        ("route.routes.0.drop.0", "drops nothing: route.routes[0] takes nothing that has kind=Pod and kind=Node"),
        ("route.routes.0.drop.1", "drops everything that route.routes[0] takes"),
    ]


def test_a_receiver_that_no_route_tells_is_told() -> None:
    unused = "nobody uses the receiver c: no route tells it anything"
    assert found(route={"receivers": ["a", "b"]}) == [("receivers.2", unused)]
    shadowed = ({"receivers": ["a", "b"]}, {"match": {"kind": "Pod"}, "receivers": ["c"]})
    assert found(*shadowed, route={"receivers": []})[-1] == ("receivers.2", unused)


def test_a_receiver_of_a_node_whose_children_take_everything_is_told_of_nothing() -> None:
    places = found({"receivers": ["a", "b"], "continue": True})
    assert places == [("receivers.2", "nobody uses the receiver c: no route tells it anything")]
    assert found({"match": {"kind": "Pod"}, "receivers": ["a", "b"]}) == []


def test_a_receiver_that_is_only_inherited_is_used() -> None:
    assert found({"match": {}}, route={"receivers": ["a", "b", "c"]}) == []


def test_a_match_whose_fields_are_all_wild_is_told() -> None:
    places = found({"match": {"kind": ".*", "cluster": ".*"}}, inhibit=[{"source": {"kind": ".*"}, "target": {}}])
    assert places == [
        ("route.routes.0.match", "every field of it is .*: it takes everything; leave match out"),
        ("inhibit.0.source", "every field of it is .*: it holds for everything"),
    ]
    assert found({"match": {"kind": ".*", "cluster": "edge-1"}}) == []


_KINDS, _REASONS, _CLUSTERS = ("Pod", "Node", "Job"), ("BackOff", "Failed"), ("edge-1", "edge-2", "lab-1")
EVENTS = [event(kind=kind, reason=reason, cluster=c) for kind, reason, c in product(_KINDS, _REASONS, _CLUSTERS)]
_matches = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["Pod", "P.*", ".*", ["Pod", "Node"], ["Job"], "(?!Pod\\Z).*"]),
        "reason": st.sampled_from(["BackOff", ".*", ["Failed"], "Back.*|Fail.*"]),
        "cluster": st.sampled_from(["edge-.*", "edge-1", ["edge-2", "lab-1"], ".*-1"]),
        "severity": st.sampled_from(["warning", ["critical"], "warn.*|crit.*"]),
    },
)
_trees = st.recursive(
    st.fixed_dictionaries(
        {"match": _matches, "receivers": st.lists(st.sampled_from("abc"), unique=True)},
        optional={"continue": st.booleans(), "drop": st.lists(_matches, max_size=2)},
    ),
    lambda below: st.fixed_dictionaries(
        {"match": _matches, "routes": st.lists(below, max_size=3)},
        optional={"continue": st.booleans(), "drop": st.lists(_matches, max_size=1)},
    ),
    max_leaves=8,
)


@given(st.lists(_trees, max_size=4), st.lists(st.sampled_from("abc"), unique=True))
def test_whatever_is_told_is_true_in_any_tree(routes: list[dict[str, Any]], receivers: list[str]) -> None:
    checked = settings(*routes, route={"receivers": receivers})
    top, known = Route(checked.route, single="abc"), reach(checked)
    visits = [visit for said in EVENTS for visit in top.walk(match_texts(said))]
    taken = {visit.route.name for visit in visits if visit.verdict != Verdict.REFUSES}
    assert taken <= known.locations.keys()
    assert {name for said in EVENTS for name in top.decide(said).receivers} <= known.told
    dropping = {(visit.route.name, visit.drop) for visit in visits if visit.drop is not None}
    for one in known.findings:
        if one.text.startswith("drops nothing"):
            [name] = [name for name, place in known.locations.items() if place == one.location[:-2]]
            assert (name, one.location[-1]) not in dropping


def test_a_route_that_takes_nothing_of_a_recording_is_told() -> None:
    using = settings(
        {"match": {"kind": "Node"}, "routes": [{"match": {"reason": "NodeNotReady"}}]}, {"match": {"kind": "Pod"}}
    )
    assert of_recording({}, {"kind": "Job"}, using=using) == [
        ("route.routes.0", "takes none of the 2 events in the recording that reach it"),
        ("route.routes.0.routes.0", "none of the 2 events in the recording reaches it"),
    ]


def test_what_matches_everything_in_a_recording_is_told() -> None:
    using = settings({"match": {"cluster": "edge-.*"}, "drop": [{"type": "Warning"}]}, {"match": {"kind": "Job"}})
    assert of_recording({}, {"kind": "Node"}, using=using) == [
        ("route.routes.0.match", "matches every one of the 2 events in the recording"),
        ("route.routes.0.drop.0", "drops every one of the 2 events in the recording that come to it"),
        ("route.routes.1", "none of the 2 events in the recording reaches it"),
    ]


def test_a_drop_that_drops_nothing_of_a_recording_is_told() -> None:
    using = settings(route={"drop": [{"reason": "Noise"}, {"reason": "BackOff"}]})
    assert of_recording({}, {"reason": "Failed"}, using=using) == [
        ("route.drop.0", "drops none of the 2 events in the recording that come to it"),
    ]


def test_rules_of_inhibition_and_silences_are_held_to_a_recording() -> None:
    window = {"windows": [{"days": "mon-sun"}]}
    using = settings(
        inhibit=[
            {"source": {"kind": "Node"}, "target": {}},
            {"source": {"kind": "Pod"}, "target": {"kind": "Job"}},
        ],
        silences=[
            {"name": "all", "match": {"cluster": ".*"}, **window},
            {"name": "none", "match": {"kind": "Job"}, **window},
            {"name": "some", "match": {"kind": "Pod"}, **window},
        ],
    )
    assert of_recording({}, {"kind": "Node"}, using=using) == [
        ("inhibit.1.target", "matches none of the 2 events in the recording"),
        ("silences.0.match", "matches every one of the 2 events in the recording"),
        ("silences.1.match", "matches none of the 2 events in the recording"),
    ]


def test_the_built_in_rules_of_inhibition_are_not_held_to_a_recording() -> None:
    assert of_recording({}, using=settings()) == []


def test_what_is_never_reached_whatever_comes_is_not_told_twice() -> None:
    using = settings({"match": {"kind": "Pod"}}, {"match": {"kind": "Pod"}})
    assert of_recording({}, {"kind": "Job"}, using=using) == []
