"""Which Normal events say that a problem is over. Pure.

Kubernetes says so of few: of a node's conditions, and of what had to be done once and is done. That a container
runs, a probe succeeds or an image was pulled says nothing, since it happens in every round of a crash loop.
Whether a producer publishes what is beyond a node's conditions is for its `events.include` to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tocsin_consumer.notice import COMPONENT, Reason
from tocsin_consumer.notice import KIND as CLUSTER
from tocsin_schemas.event import EventPayload

NODE: Final = "Node"
POD: Final = "Pod"
_NOT_READY: Final = "NodeNotReady"

_NODE_CONDITIONS: Final = {
    "NodeReady": ("NodeNotReady",),
    "NodeHasNoDiskPressure": ("NodeHasDiskPressure",),
    "NodeHasSufficientMemory": ("NodeHasInsufficientMemory",),
    "NodeHasSufficientPID": ("NodeHasInsufficientPID",),
    "NodeSchedulable": ("NodeNotSchedulable",),
}
#: (kind, reason) → reasons of problems of the same object that it ends.
_ENDS: Final = {
    **{(NODE, reason): ended for reason, ended in _NODE_CONDITIONS.items()},
    # The node is no longer one of the cluster's, and nothing more will be said of it.
    (NODE, "RemovingNode"): tuple(reason for ended in _NODE_CONDITIONS.values() for reason in ended),
    (POD, "Scheduled"): ("FailedScheduling",),
    (POD, "SuccessfulAttachVolume"): ("FailedAttachVolume",),
    # A container that starts has a node, a network and its volumes.
    (POD, "Started"): (
        "FailedScheduling",
        "FailedAttachVolume",
        "FailedMount",
        "FailedCreatePodSandBox",
        "NetworkNotReady",
    ),
    **{
        (kind, "SuccessfulCreate"): ("FailedCreate",) for kind in ("ReplicaSet", "DaemonSet", "StatefulSet", "Job")
    },
    ("PersistentVolumeClaim", "ProvisioningSucceeded"): ("ProvisioningFailed",),
    ("Addon", "AppliedManifest"): (
        "ReadManifestFailed",
        "ParseManifestFailed",
        "ValidateManifestFailed",
        "ApplyManifestFailed",
    ),
}
#: Of our own, about a whole cluster.
_CLUSTER_ENDS: Final = (Reason.OFFLINE.value, Reason.NEVER_SEEN.value, Reason.UNSTABLE.value)
_STANDING: Final = frozenset(reason for ended in _NODE_CONDITIONS.values() for reason in ended)


@dataclass(frozen=True, slots=True)
class Ended:
    """Problems that are over: those of one reason in a cluster, of one object or of all of a kind."""

    cluster: str
    kind: str
    reason: str
    #: Of objects of this namespace and name; None for every one.
    object: tuple[str, str] | None


def ended_by(event: EventPayload) -> Iterator[Ended]:
    """Yield the problems that `event` ends, whether there are such or not."""
    for reason in _reasons_ended(event):
        yield Ended(event.cluster, event.kind, reason, (event.ns or "", event.name))
    if (event.kind, event.reason) == (NODE, "NodeReady"):  # of pods it is said without their node
        yield Ended(event.cluster, POD, _NOT_READY, None)


def is_recovery(event: EventPayload) -> bool:
    """Tell whether `event` says that something is over, and nothing besides."""
    return event.type == "Normal" and bool(_reasons_ended(event))


def stands(event: EventPayload) -> bool:
    """Tell whether what `event` says goes on until its end is said, however long nothing more is heard of it."""
    if _is_ours(event):
        return event.reason in _CLUSTER_ENDS
    return event.kind == NODE and event.reason in _STANDING


def _reasons_ended(event: EventPayload) -> tuple[str, ...]:
    if _is_ours(event):
        return _CLUSTER_ENDS if event.reason == Reason.ONLINE else ()
    return _ENDS.get((event.kind, event.reason), ())


def _is_ours(event: EventPayload) -> bool:
    return event.kind == CLUSTER and event.from_ == COMPONENT
