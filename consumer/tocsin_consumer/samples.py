"""What to try templates, cards and receivers on: what clusters really say, and what an attacker might."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from tocsin_consumer.digest import BACKLOG, FLEET, Digest, Share, Top
from tocsin_consumer.incident_samples import incidents
from tocsin_consumer.notice import Facts, Notice, Reason
from tocsin_consumer.notification import Notification
from tocsin_consumer.wording import event_of
from tocsin_schemas.event import EventPayload

_NOW: Final = datetime(2026, 11, 23, 19, 18, 54, tzinfo=UTC)
_SCHEDULING: Final = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, "
    "2 Insufficient memory. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, "
    "2 No preemption victims found for incoming pod."
)
_HOSTILE: Final = (
    '<at id=all></at> <at user_id="all">everybody</at> **bold** [prize](https://evil.example) <b>x</b> '
    "<font color='red'>red</font> \x1b[31mred\x1b[0m \x07\x9b2J\x00 \u202eesrever\nsecond line {{ 7 * 7 }} "
    '```code``` <script>alert(1)</script> & &#60; \\ "quoted" $(reboot)'
)

#: Name → seconds from the first to the last occurrence, seconds from there to its arrival, fields of the event.
_SAMPLES: Final[dict[str, tuple[int, int, dict[str, Any]]]] = {
    "back-off": (
        5534,
        2,
        {
            "type": "Warning",
            "reason": "BackOff",
            "kind": "Pod",
            "ns": "production",
            "name": "api-7c9f6d5b8-x2x7p",
            "field": "spec.containers{api}",
            "msg": "Back-off restarting failed container api in pod api-7c9f6d5b8-x2x7p_production(6f1c0d8e)",
            "count": 14,
            "from": "kubelet",
            "node": "pi-3",
        },
    ),
    "node-not-ready": (
        0,
        1,
        {
            "type": "Normal",
            "reason": "NodeNotReady",
            "kind": "Node",
            "name": "pi-3",
            "msg": "Node pi-3 status is now: NodeNotReady",
            "count": 1,
            "from": "node-controller",
        },
    ),
    "node-ready": (
        0,
        1,
        {
            "type": "Normal",
            "reason": "NodeReady",
            "kind": "Node",
            "name": "pi-3",
            "msg": "Node pi-3 status is now: NodeReady",
            "count": 1,
            "from": "kubelet",
            "node": "pi-3",
        },
    ),
    "failed-scheduling": (
        920,
        3,
        {
            "type": "Warning",
            "reason": "FailedScheduling",
            "kind": "Pod",
            "ns": "production",
            "name": "billing-6d9f7c5d4b-q8wzn",
            "msg": _SCHEDULING,
            "count": 4,
            "from": "default-scheduler",
        },
    ),
    "image-pull": (
        66,
        1,
        {
            "type": "Warning",
            "reason": "Failed",
            "kind": "Pod",
            "ns": "sensors",
            "name": "gateway-0",
            "field": "spec.containers{gateway}",
            "msg": (
                'Failed to pull image "registry.example.com/iot/gateway:2.4.1": rpc error: code = NotFound '
                "desc = failed to pull and unpack image: not found"
            ),
            "count": 3,
            "from": "kubelet",
            "node": "pi-1",
        },
    ),
    "held-back": (
        0,
        7534,
        {
            "type": "Warning",
            "reason": "FailedMount",
            "kind": "Pod",
            "ns": "sensors",
            "name": "recorder-0",
            "msg": 'MountVolume.SetUp failed for volume "cfg" : configmap "recorder" not found',
            "count": 1,
            "from": "kubelet",
            "node": "pi-2",
        },
    ),
    "hostile": (
        0,
        1,
        {
            "type": "Warning",
            "reason": "Unhealthy",
            "kind": "Pod",
            "ns": "default",
            "name": "web-0",
            "msg": _HOSTILE,
            "count": 1,
            "from": "kubelet",
            "node": "pi-1",
            "added_later": {"by": "a newer producer"},
        },
    ),
    "year-9999": (
        0,
        0,
        {
            "type": "Warning",
            "reason": "BackOff",
            "kind": "Pod",
            "ns": "default",
            "name": "from-the-future-0",
            "msg": "The clock of this node is wrong, and the count is as high as it can be",
            "count": 2**63 - 1,
            "from": "kubelet",
            "node": "pi-1",
            "first": 0,
            "last": 253_402_300_799,
        },
    ),
    "long-message": (
        0,
        1,
        {
            "type": "Warning",
            "reason": "FailedCreatePodSandBox",
            "kind": "Pod",
            "ns": "kube-system",
            "name": "coredns-7b98449c4-8wxkz",
            "msg": ("Failed to create pod sandbox: " + "网络插件尚未就绪。" * 1200)[:10240],
            "count": 1,
            "from": "kubelet",
            "node": "pi-2",
        },
    ),
}


def samples(now: datetime = _NOW) -> Mapping[str, Notification]:
    """Return the samples by name, each as if it had arrived at `now` (aware)."""
    events = {name: _notification(name, number, now) for number, name in enumerate(_SAMPLES, start=1)}
    notices = {
        name: Notification(event_of(notice, uid=f"00000000-0000-4000-8000-{number:012}"), now)
        for number, (name, notice) in enumerate(_notices(now).items(), start=len(events) + 1)
    }
    digests = {name: Notification(one.event, now, one) for name, one in _digests(now).items()}
    return MappingProxyType({**events, **notices, **digests, **dict(incidents(now, _HOSTILE))})


def _notices(now: datetime) -> dict[str, Notice]:
    """Return what tocsin itself has to say about a cluster."""
    at = int(now.timestamp())
    offline = Facts(cause="status", offline_since=at - 300, last_heard=at - 1003)
    silent = Facts(cause="silence", offline_since=at - 9000, last_heard=at - 9000)
    online = Facts(offline_since=at - 8100, online_since=at - 60, away_seconds=8040, held=37, lost=0)
    told = {
        "cluster-offline": (Reason.OFFLINE, 300, offline),
        "cluster-silent": (Reason.OFFLINE, 9000, silent),
        "cluster-online": (Reason.ONLINE, 60, online),
        "cluster-never-seen": (Reason.NEVER_SEEN, 300, Facts(expected_since=at - 300)),
        "cluster-unstable": (Reason.UNSTABLE, 300, Facts(drops=4, hold_seconds=1800)),
        "events-lost": (
            Reason.LOST,
            60,
            Facts(lost_since=at - 60, lost=118, lost_in_outbox=100, lost_at_broker=18),
        ),
        "events-held": (Reason.HELD, 0, Facts(held=37)),
    }
    return {
        name: Notice(reason, "edge-042", 17, since=now - timedelta(seconds=ago), at=now, facts=facts)
        for name, (reason, ago, facts) in told.items()
    }


def _digests(now: datetime) -> dict[str, Digest]:
    """Return what is told when so much happens that nobody could read it one by one."""
    offline = Digest(
        storm="ops/*/1",
        receiver="ops",
        scope=FLEET,
        since=now - timedelta(minutes=25),
        ended_at=None,
        at=now,
        incidents=990,
        going_on=962,
        problems=1204,
        occurrences=1311,
        reasons=Top((Share("ClusterOffline", 970), Share("NodeNotReady", 14), Share("BackOff", 6)), 0),
        clusters=Top(tuple(Share(f"edge-{number:03}", 3 - number // 3) for number in range(1, 6)), 965),
        objects=Top((Share("pi-1", 9), Share("production/api", 6), Share("kube-system/coredns", 4)), 1021),
    )
    over = replace(offline, storm="ops/*/2", since=now - timedelta(hours=2), ended_at=now, going_on=3)
    merged = replace(
        offline, scope=BACKLOG, ended_at=now, incidents=212, going_on=80, problems=240, occurrences=512
    )
    return {"storm": offline, "storm-over": over, "merged": merged}


def _notification(name: str, number: int, now: datetime) -> Notification:
    lasting, delay, fields = _SAMPLES[name]
    last = now - timedelta(seconds=delay)
    event = EventPayload.model_validate(
        {
            "v": 1,
            "cluster": "edge-042",
            "first": int(last.timestamp()) - lasting,
            "last": int(last.timestamp()),
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "boot": 17,
            "seq": 800 + number,
            **fields,
        },
    )
    return Notification(event, now)
