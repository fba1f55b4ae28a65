"""How bad an event is. Its type alone does not tell: a node that goes down is of type Normal.

Source of the reasons: the kubelet, the node controller, node-problem-detector's kernel monitor (Kubernetes 1.32).
"""

from enum import StrEnum
from typing import Final

from tocsin_consumer.notice import Reason, facts_of
from tocsin_schemas.event import EventPayload


class Severity(StrEnum):
    """What a person does about it: get up, look, know, breathe again."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    RECOVERED = "recovered"


#: About a Node, of whatever type: everything on it is in danger.
_CRITICAL_ON_NODES: Final = frozenset(
    {
        "NodeNotReady",
        "NodeHasDiskPressure",
        "NodeHasInsufficientMemory",
        "NodeHasInsufficientPID",
        "SystemOOM",
        "EvictionThresholdMet",
        "FreeDiskSpaceFailed",
        "KubeletSetupFailed",
        "OOMKilling",
        "KernelOops",
        "Ext4Error",
        "IOError",
        "Shutdown",
    },
)
#: About a Node, of type Normal: a condition that is as it should be (again).
_RECOVERED_ON_NODES: Final = frozenset(
    {
        "NodeReady",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientMemory",
        "NodeHasSufficientPID",
        "NodeSchedulable",
    },
)
#: Of our own, about a whole cluster (notice.py).
_ABOUT_CLUSTERS: Final = {
    Reason.OFFLINE: Severity.CRITICAL,
    Reason.NEVER_SEEN: Severity.CRITICAL,
    Reason.UNSTABLE: Severity.WARNING,
    Reason.LOST: Severity.WARNING,
    Reason.HELD: Severity.WARNING,
    Reason.ONLINE: Severity.RECOVERED,
    Reason.STORM: Severity.CRITICAL,
    Reason.CALM: Severity.RECOVERED,
    Reason.BACKLOG: Severity.WARNING,
}
#: Of type Normal, and trouble all the same: an image that cannot be pulled, addresses that run out, evictions.
_NORMAL_BUT_WARNING: Final = frozenset(
    {
        "BackOff",
        "CIDRNotAvailable",
        "CIDRAssignmentFailed",
        "FailedBinding",
        "NodeControllerEviction",
        "Preempted",
        "TaintManagerEviction",
    },
)


def severity(event: EventPayload) -> Severity:
    """Return how bad `event` is."""
    notice = facts_of(event)
    if notice is not None:
        return _ABOUT_CLUSTERS[notice[0]]
    if event.kind == "Node" and event.reason in _CRITICAL_ON_NODES:
        return Severity.CRITICAL
    if event.type != "Normal" or event.reason in _NORMAL_BUT_WARNING:
        return Severity.WARNING
    if event.kind == "Node" and event.reason in _RECOVERED_ON_NODES:
        return Severity.RECOVERED
    return Severity.INFO
