import pytest

from tocsin_consumer.labels import LABELS
from tocsin_consumer.severity import Severity, severity
from tocsin_schemas.event import EventPayload

_FIELDS = {"v": 1, "cluster": "c", "name": "x", "msg": "m", "count": 1, "first": 1, "last": 1, "uid": "u"}


def _severity(kind: str, type_: str, reason: str) -> Severity:
    return severity(
        EventPayload.model_validate(
            {**_FIELDS, "boot": 1, "seq": 1, "kind": kind, "type": type_, "reason": reason}
        )
    )


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("Normal", "NodeNotReady"),
        ("Normal", "NodeHasDiskPressure"),
        ("Normal", "NodeHasInsufficientMemory"),
        ("Normal", "NodeHasInsufficientPID"),
        ("Normal", "Shutdown"),
        ("Warning", "SystemOOM"),
        ("Warning", "EvictionThresholdMet"),
        ("Warning", "KernelOops"),
    ],
)
def test_a_node_in_danger_is_critical_whatever_the_type_of_its_event(type_: str, reason: str) -> None:
    assert _severity("Node", type_, reason) is Severity.CRITICAL


def test_the_pods_of_a_node_that_is_not_ready_are_no_more_than_a_warning() -> None:
    assert _severity("Pod", "Warning", "NodeNotReady") is Severity.WARNING


@pytest.mark.parametrize(
    "reason",
    ["NodeReady", "NodeHasNoDiskPressure", "NodeHasSufficientMemory", "NodeHasSufficientPID", "NodeSchedulable"],
)
def test_a_node_whose_condition_is_as_it_should_be_has_recovered(reason: str) -> None:
    assert _severity("Node", "Normal", reason) is Severity.RECOVERED


@pytest.mark.parametrize("reason", ["BackOff", "CIDRNotAvailable", "TaintManagerEviction"])
def test_trouble_that_kubernetes_calls_normal_is_a_warning(reason: str) -> None:
    assert _severity("Pod", "Normal", reason) is Severity.WARNING


def test_a_warning_and_a_type_that_nobody_knows_are_warnings() -> None:
    assert _severity("Pod", "Warning", "FailedMount") is Severity.WARNING
    assert _severity("Pod", "Panic", "Scheduled") is Severity.WARNING


def test_whatever_else_is_normal_is_information() -> None:
    assert _severity("Pod", "Normal", "Scheduled") is Severity.INFO
    assert _severity("Deployment", "Normal", "NodeReady") is Severity.INFO


def test_every_severity_has_a_word_in_every_language() -> None:
    assert all(level in words for level in Severity for words in LABELS.values())
