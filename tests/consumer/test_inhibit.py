from collections.abc import Hashable
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import event
from tests.fakes.apiserver_exchange import NODE_FAILURES
from tests.fakes.recording import read_recording
from tocsin_consumer.event_file import from_kubernetes
from tocsin_consumer.inhibit import DEFAULT_RULES, Inhibition, Inhibitor, InhibitSettings
from tocsin_consumer.match import MatchSettings, Texts, match_of, match_texts
from tocsin_schemas.event import EventPayload

OFFLINE = {"kind": "Cluster", "reason": "ClusterOffline", "name": "edge-1", "ns": None, "from": "tocsin"}
NOT_READY = {"kind": "Node", "reason": "NodeNotReady", "name": "pi-3", "ns": None, "type": "Normal"}


def texts(**fields: Any) -> Texts:
    return match_texts(event(**fields))


def rule(source: dict[str, Any], target: dict[str, Any], *equal: str, name: str | None = None) -> InhibitSettings:
    values = {"source": source, "target": target, "equal": list(equal), "name": name}
    return InhibitSettings.model_validate(values)


def by_default(*standing: dict[str, Any]) -> Inhibitor:
    inhibitor = Inhibitor(DEFAULT_RULES)
    for number, fields in enumerate(standing):
        inhibitor.stand(number, texts(**fields))
    return inhibitor


def rule_that_inhibits(inhibitor: Inhibitor, **fields: Any) -> str | None:
    found = inhibitor.inhibited_by(texts(**fields), "another")
    return found.rule if found else None


def test_a_problem_is_inhibited_as_long_as_a_source_with_equal_fields_stands() -> None:
    inhibitor = Inhibitor([rule({"reason": "Down"}, {"reason": "Slow"}, "cluster", "name", name="down")])
    slow = texts(reason="Slow", name="api")
    assert inhibitor.inhibited_by(slow, 1) is None
    down = texts(reason="Down", name="api")
    inhibitor.stand(2, texts(reason="Down", name="web"))
    inhibitor.stand(3, texts(reason="Down", name="api", cluster="edge-2"))
    assert inhibitor.inhibited_by(slow, 1) is None
    inhibitor.stand(4, down)
    assert inhibitor.inhibited_by(slow, 1) == Inhibition("down", 4, down)
    inhibitor.end(4)
    inhibitor.end(4)
    assert inhibitor.inhibited_by(slow, 1) is None


def test_what_stands_may_be_said_again_and_ends_once() -> None:
    inhibitor = by_default(NOT_READY)
    for message in ("one", "two"):
        inhibitor.stand(0, texts(**NOT_READY, msg=message))
    assert rule_that_inhibits(inhibitor, node="pi-3") == "node-not-ready"
    inhibitor.end(0)
    assert rule_that_inhibits(inhibitor, node="pi-3") is None


def test_a_source_whose_fields_change_inhibits_by_what_it_is_now() -> None:
    inhibitor = by_default(NOT_READY)
    inhibitor.stand(0, texts(**{**NOT_READY, "name": "pi-4"}))
    assert rule_that_inhibits(inhibitor, node="pi-3") is None
    assert rule_that_inhibits(inhibitor, node="pi-4") == "node-not-ready"
    inhibitor.stand(0, texts(**{**NOT_READY, "reason": "NodeReady"}))
    assert rule_that_inhibits(inhibitor, node="pi-4") is None


def test_of_several_sources_the_one_that_has_stood_longest_is_told() -> None:
    inhibitor = by_default(NOT_READY, {**NOT_READY, "from": "kubelet"})
    inhibitor.stand(0, texts(**NOT_READY, msg="again"))
    found = inhibitor.inhibited_by(texts(node="pi-3"), "another")
    assert found is not None
    assert found.source == 0
    assert str(found) == "NodeNotReady of Node pi-3 (node-not-ready)"


def test_a_rule_without_a_name_is_told_by_its_place() -> None:
    inhibitor = Inhibitor([rule({"reason": "A"}, {"reason": "B"}), rule({"reason": "C"}, {"reason": "B"})])
    inhibitor.stand(1, texts(reason="C"))
    assert rule_that_inhibits(inhibitor, reason="B") == "inhibit[1]"


def test_nothing_inhibits_itself() -> None:
    inhibitor = Inhibitor([rule({"kind": "Pod"}, {"reason": "BackOff"})])
    inhibitor.stand(1, texts(reason="Failed"))
    assert inhibitor.inhibited_by(texts(reason="BackOff"), 1) is None
    assert inhibitor.inhibited_by(texts(reason="BackOff"), 2) is not None


def test_what_matches_both_sides_is_inhibited_only_by_what_does_not() -> None:
    inhibitor = Inhibitor([rule({"kind": "Pod|Node"}, {"kind": "Pod|Job"})])
    inhibitor.stand(1, texts(kind="Pod"))
    assert inhibitor.inhibited_by(texts(kind="Pod"), 2) is None
    assert inhibitor.inhibited_by(texts(kind="Job"), 2) is not None
    inhibitor.stand(3, texts(kind="Node"))
    found = inhibitor.inhibited_by(texts(kind="Pod"), 2)
    assert found is not None
    assert found.source == 3


def test_a_field_that_is_missing_equals_one_that_is_empty() -> None:
    inhibitor = Inhibitor([rule({"reason": "A"}, {"reason": "B"}, "node", "field")])
    inhibitor.stand(1, texts(reason="A", node="", field=None))
    assert rule_that_inhibits(inhibitor, reason="B", node=None, field="") == "inhibit[0]"
    assert rule_that_inhibits(inhibitor, reason="B", node="pi-3") is None


def test_what_is_inhibited_itself_inhibits_all_the_same() -> None:
    inhibitor = by_default(OFFLINE, NOT_READY)
    assert rule_that_inhibits(inhibitor, **NOT_READY) == "cluster-offline"
    inhibitor.end(0)
    assert rule_that_inhibits(inhibitor, **NOT_READY) is None
    assert rule_that_inhibits(inhibitor, node="pi-3") == "node-not-ready"


@pytest.mark.parametrize(("fields", "is_source"), [(OFFLINE, True), (NOT_READY, True), ({}, False)])
def test_only_what_matches_a_source_may_inhibit(fields: dict[str, Any], is_source: bool) -> None:
    assert Inhibitor(DEFAULT_RULES).is_source(texts(**fields)) == is_source
    assert not Inhibitor([]).is_source(texts(**fields))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "Pod"}, "cluster-offline"),
        ({"kind": "Node", "reason": "NodeNotReady", "name": "pi-1"}, "cluster-offline"),
        ({"kind": "ClusterIssuer"}, "cluster-offline"),
        ({**OFFLINE, "reason": "EventsLost"}, None),
        (OFFLINE, None),
        ({"kind": "Pod", "cluster": "edge-2"}, None),
    ],
)
def test_a_cluster_that_is_offline_inhibits_all_in_it_but_what_is_said_of_clusters(
    fields: dict[str, Any], expected: str | None
) -> None:
    assert rule_that_inhibits(by_default(OFFLINE), **fields) == expected


def test_a_cluster_does_not_go_offline_because_something_in_it_says_so() -> None:
    assert rule_that_inhibits(by_default({**OFFLINE, "from": "kubelet"})) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reason": "Unhealthy", "node": "pi-3"}, "node-not-ready"),
        ({"reason": "Unhealthy", "node": "pi-4"}, None),
        ({"reason": "Unhealthy", "node": "pi-3", "cluster": "edge-2"}, None),
        ({"reason": "NodeNotReady", "from": "node-controller"}, "pods-of-nodes-not-ready"),
        ({"reason": "TaintManagerEviction", "from": "taint-eviction-controller"}, "pods-of-nodes-not-ready"),
        ({"reason": "NodeNotReady", "cluster": "edge-2"}, None),
        ({"reason": "FailedScheduling"}, None),  # on no node, and a problem of its own
        ({"kind": "Node", "reason": "NodeHasDiskPressure", "name": "pi-3", "node": "pi-3"}, None),
    ],
)
def test_a_node_that_is_not_ready_inhibits_its_pods(fields: dict[str, Any], expected: str | None) -> None:
    assert rule_that_inhibits(by_default(NOT_READY), **fields) == expected


def test_of_a_recorded_node_failure_what_is_said_of_its_pods_is_inhibited() -> None:
    """The node is not ready from 590 s, 913 s and 1485 s on, and ready again at 657 s, 943 s and 1883 s."""
    inhibitor, held, told = Inhibitor(DEFAULT_RULES), [], []
    for at, said in recorded():
        if said.kind == "Node" and said.reason in ("NodeNotReady", "NodeReady"):
            key = said.name
            inhibitor.end(key) if said.reason == "NodeReady" else inhibitor.stand(key, match_texts(said))
        elif inhibitor.inhibited_by(match_texts(said), said.uid):
            held.append((at, said))
        else:
            told.append((at, said))
    assert [said for _, said in told if said.kind == "Pod" and said.reason == "NodeNotReady"] == []
    assert {said.kind for _, said in held} == {"Pod"}
    assert all(590 < at < 658 or 913 < at < 944 or 1485 < at < 1884 for at, _ in held)
    assert {said.reason for _, said in held} >= {"NodeNotReady", "TaintManagerEviction", "BackOff"}


def recorded() -> list[tuple[float, EventPayload]]:
    """Return the events of a recording, each with the second of its coming."""
    return [
        (line.at_seconds, EventPayload.model_validate(from_kubernetes(line.event)))
        for line in read_recording(NODE_FAILURES)
        if line.type != "DELETED"
    ]


class Counted(str):
    """A key that counts how often one is compared."""

    __slots__ = ()
    compared: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        Counted.compared += 1
        return super().__ne__(other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("node", ["pi-{}", "pi"])
def test_a_question_looks_at_few_sources_however_many_stand(node: str) -> None:
    inhibitor = Inhibitor(DEFAULT_RULES)
    for number in range(10_000):
        inhibitor.stand(Counted(number), texts(**{**NOT_READY, "name": node.format(number)}))
    Counted.compared = 0
    found = inhibitor.inhibited_by(texts(node=node.format(7000)), Counted("another"))
    assert found is not None
    assert Counted.compared <= 2


def test_of_what_has_ended_nothing_is_kept() -> None:
    inhibitor = by_default(*(NOT_READY for _ in range(100)))
    for number in range(100):
        inhibitor.end(number)
    assert all(not rule._sources and not rule._buckets for rule in inhibitor._rules)


FIELDS = ("kind", "reason", "node", "cluster")
some_texts = st.fixed_dictionaries(dict.fromkeys(FIELDS, st.sampled_from(["", "a", "b"])))
patterns = st.sampled_from(["a", "b", "a|b"])
some_rule = st.builds(
    rule,
    st.dictionaries(st.sampled_from(FIELDS), patterns, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(FIELDS), patterns, max_size=2),
    st.sampled_from(FIELDS),
)
steps = st.tuples(st.integers(0, 5), st.none() | some_texts)


def holds(one: InhibitSettings, source: Texts, target: Texts) -> bool:
    """Tell whether a rule inhibits, in the words of Alertmanager's documentation."""
    on_source, on_target = match_of(one.source), match_of(one.target)
    both = on_source(target) and on_source(source) and on_target(source)
    equal = all(source.get(field) == target.get(field) for field in one.equal)
    return on_source(source) and on_target(target) and equal and not both


@given(st.lists(some_rule, max_size=3), st.lists(steps, max_size=12), some_texts, st.integers(0, 5))
def test_what_is_inhibited_is_what_the_documentation_of_alertmanager_says(
    rules: list[InhibitSettings], changes: list[tuple[int, dict[str, str] | None]], said: Texts, key: int
) -> None:
    inhibitor, standing = Inhibitor(rules), dict[Hashable, Texts]()
    for changed, fields in changes:
        standing.pop(changed, None)
        if fields is None:
            inhibitor.end(changed)
        else:
            inhibitor.stand(changed, fields)
            standing[changed] = fields
    sources = [source for other, source in standing.items() if other != key]
    found = inhibitor.inhibited_by(said, key)
    assert found is None or standing[found.source] == found.texts
    if found is None:
        inhibiting = [source for source in sources if any(holds(one, source, said) for one in rules)]
        assert all(any(holds(one, said, source) for one in rules) for source in inhibiting)
        assert key in standing or not inhibiting
    else:
        assert any(holds(one, found.texts, said) for one in rules)


@given(st.lists(some_rule, max_size=3), st.lists(some_texts, min_size=2, max_size=6))
def test_of_those_that_inhibit_each_other_one_is_told(rules: list[InhibitSettings], said: list[Texts]) -> None:
    inhibitor = Inhibitor(rules)
    for key, one in enumerate(said):
        inhibitor.stand(key, one)
    for key, one in enumerate(said):
        found = inhibitor.inhibited_by(one, key)
        if found is not None and any(holds(rule, one, found.texts) for rule in rules):
            assert said.index(found.texts) < key


def test_of_two_that_inhibit_each_other_the_one_that_stood_first_is_told() -> None:
    inhibitor = Inhibitor([rule({"reason": "A"}, {"reason": "B"}), rule({"reason": "B"}, {"reason": "A"})])
    inhibitor.stand(1, texts(reason="A"))
    inhibitor.stand(2, texts(reason="B"))
    inhibitor.stand(1, texts(reason="A", name="said-again"))
    assert inhibitor.inhibited_by(texts(reason="A"), 1) is None
    assert inhibitor.inhibited_by(texts(reason="B"), 2) is not None
    inhibitor.end(1)
    inhibitor.stand(1, texts(reason="A"))
    assert inhibitor.inhibited_by(texts(reason="B"), 2) is None
    assert inhibitor.inhibited_by(texts(reason="A"), 1) is not None


SLOW, DOWN, BOTH = {"reason": "Slow"}, {"reason": "Down"}, {"reason": "Slow|Down"}


@pytest.mark.parametrize(
    ("back", "is_told"),
    [
        (rule(SLOW, DOWN, "cluster"), True),
        (rule(BOTH, DOWN, "cluster"), True),
        (rule(SLOW, BOTH, "cluster"), True),
        (rule(BOTH, BOTH, "cluster"), False),  # what matches both sides is not inhibited by what does so as well
        (rule(SLOW, DOWN, "name"), False),
        (rule(SLOW, {"reason": "Other"}, "cluster"), False),
        (rule({"reason": "Other"}, DOWN, "cluster"), False),
    ],
)
def test_what_stood_first_is_told_only_if_it_inhibits_what_inhibits_it(
    back: InhibitSettings, *, is_told: bool
) -> None:
    inhibitor = Inhibitor([rule(DOWN, SLOW, "cluster"), back, rule(SLOW, {"reason": "Else"})])
    slow, down = texts(reason="Slow", name="api"), texts(reason="Down", name="db")
    inhibitor.stand(1, slow)
    inhibitor.stand(2, down)
    assert (inhibitor.inhibited_by(slow, 1) is None) == is_told


def test_a_source_that_matches_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one field"):
        InhibitSettings(source=MatchSettings(), target=MatchSettings())
