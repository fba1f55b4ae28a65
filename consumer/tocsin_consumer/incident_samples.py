"""Incidents to try templates, cards and receivers on: groups large and small, at each turn of their lives."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from tocsin_consumer.dispatch import Cause
from tocsin_consumer.incident import OBJECT_LIMIT, End, State
from tocsin_consumer.notice import Facts, Notice, Reason
from tocsin_consumer.notification import Notification
from tocsin_consumer.report import Line, Report
from tocsin_consumer.severity import Severity, severity
from tocsin_consumer.wording import event_of
from tocsin_schemas.event import EventPayload

_MINUTE: Final = 60
_HOUR: Final = 3600
_PULL: Final = 'Back-off pulling image "registry.example.com/shop/checkout:2.4.1"'
_STATES: Final = {Cause.RECOVERED: State.RECOVERED, Cause.QUIET: State.QUIET}
_REPLICAS: Final = tuple(f"api-7c9f6d5b8-{suffix}" for suffix in ("x2x7p", "4kq9z", "8wxkz", "b5j2m", "c7d4n"))


def incidents(now: datetime, hostile: str) -> Iterator[tuple[str, Notification]]:
    """Yield samples with their names, each as it is at `now` (aware); `hostile` is what an attacker might say."""
    at = int(now.timestamp())
    back = _ended(_node("pi-3", at - 34 * _MINUTE), _ready("pi-3", at - 2))
    quiet = _ended(_back_off(at - _HOUR, "billing", "billing-6d9f7c5d4b-q8wzn", count=7, lasting=300))
    goes_on = _node("pi-3", at - 4 * _HOUR - 12, is_news=False)
    known = replace(next(_offline(at - 4 * _HOUR)), is_news=False)
    yield "incident-replicas", _told(now, [_back_off(at - 2, "api", *_REPLICAS, count=57, lasting=1300)])
    yield "incident-group", _told(now, _group(at), Cause.NEWS, ago=5 * _MINUTE, since=31)
    yield "incident-long", _told(now, list(_long(at)), muted=2, beyond=12)
    yield "incident-repeat", _told(now, [goes_on], Cause.REPEAT, ago=4 * _HOUR)
    yield "incident-recovered", _told(now, [back], Cause.RECOVERED, ago=33 * _MINUTE)
    yield "incident-partly-recovered", _told(now, [*_two_nodes(at), back], Cause.NEWS, ago=9 * _MINUTE)
    yield "incident-quiet", _told(now, [quiet], Cause.QUIET, ago=2 * _HOUR, since=4)
    yield "incident-mixed-end", _told(now, [back, quiet], Cause.RECOVERED, ago=30 * _MINUTE, since=2)
    yield "incident-clusters", _told(now, list(_offline(at)))
    yield "incident-cluster-repeat", _told(now, [known], Cause.REPEAT, ago=4 * _HOUR)
    yield "incident-cluster-back", _told(now, [_back_online(at)], Cause.RECOVERED, ago=2 * _HOUR)
    yield (
        "incident-hostile",
        _told(now, list(_hostile(at, hostile)), Cause.NEWS, ago=_HOUR, since=1, group={"node": hostile}),
    )


def _group(at: int) -> list[Line]:
    """Return several owners: two that are new, one that goes on, one that has gone quiet."""
    return [
        _back_off(
            at - 2, "checkout", *(f"checkout-5d8c7b9f4-{end}" for end in ("j8s2k", "q7w3e")), msg=_PULL, count=9
        ),
        _back_off(at - 20, "ledger", "ledger-0", kind="StatefulSet", count=2),
        _back_off(at - 44, "api", *_REPLICAS, count=114, lasting=5534, is_news=False),
        _ended(_back_off(at - 3700, "billing", "billing-6d9f7c5d4b-q8wzn", count=7, lasting=300)),
    ]


def _long(at: int) -> Iterator[Line]:
    """Yield sixty owners, the first with more objects than are told apart."""
    names = [f"shelf-agent-{number:05x}" for number in range(OBJECT_LIMIT)]
    yield _back_off(at - 2, "shelf-agent", *names, kind="DaemonSet", count=4210, lasting=9000, has_more=True)
    for number in range(1, 60):
        name = f"store-{number:03}"
        yield _back_off(at - 3 * number, name, f"{name}-0", kind="StatefulSet", count=61 - number)


def _two_nodes(at: int) -> Iterator[Line]:
    for name, ago in (("pi-1", 36), ("pi-2", 35)):
        yield _node(name, at - ago * _MINUTE, is_news=False)


def _offline(at: int) -> Iterator[Line]:
    """Yield clusters that are offline: one that its link says so of, and two of which nothing is heard."""
    for cluster, ago in (("edge-042", 303), ("edge-117", 9000), ("edge-118", 9060)):
        cause: Literal["status", "silence"] = "status" if ago < _HOUR else "silence"
        facts = Facts(cause=cause, offline_since=at - ago, last_heard=at - ago - 700)
        yield _line(_notice(Reason.OFFLINE, cluster, facts, since=at - ago, at=at))


def _back_online(at: int) -> Line:
    facts = Facts(offline_since=at - 8100, online_since=at - 60, away_seconds=8040, held=37, lost=0)
    return _ended(next(_offline(at - 7800)), _notice(Reason.ONLINE, "edge-042", facts, since=at - 60, at=at))


def _hostile(at: int, text: str) -> Iterator[Line]:
    """Yield problems whose every text is hostile: what is new, what is known, what is over."""
    said = {"type": text, "reason": text, "kind": text, "ns": text, "name": text, "msg": text, "node": text}
    for number, is_news in enumerate((True, False)):
        event = _event(at - 9, **{**said, "field": text, "from": text, "reason": f"{text}{number}"})
        yield _line(event, owner=text, objects=(text, f"{text}-2"), is_news=is_news)
    yield _ended(_line(_event(at - 9, **{**said, "reason": f"{text}-3"}), owner=text))


def _back_off(
    at: int, owner: str, *objects: str, msg: str | None = None, count: int, lasting: int = 0, **line: Any
) -> Line:
    container = owner.replace("-", "")
    event = _event(
        at,
        type="Warning",
        reason="BackOff",
        kind="Pod",
        ns="production",
        name=objects[0],
        field=f"spec.containers{{{container}}}",
        msg=msg or f"Back-off restarting failed container {container} in pod {objects[0]}_production(6f1c0d8e)",
        count=count,
        first=at - lasting,
        node="pi-3",
        **{"from": "kubelet"},
    )
    return _line(event, **({"kind": "Deployment", "owner": owner, "objects": objects} | line))


def _node(name: str, at: int, *, is_news: bool = True) -> Line:
    return _line(_about_node("NodeNotReady", name, at), is_news=is_news)


def _ready(name: str, at: int) -> EventPayload:
    return _about_node("NodeReady", name, at)


def _about_node(reason: str, name: str, at: int) -> EventPayload:
    said = f"Node {name} status is now: {reason}"
    return _event(
        at, type="Normal", reason=reason, kind="Node", name=name, msg=said, **{"from": "node-controller"}
    )


def _event(at: int, **fields: Any) -> EventPayload:
    """Return what was said last of a problem; its uid and place in the sequence are of no interest here."""
    known = {"v": 1, "cluster": "edge-042", "count": 1, "first": at, "last": at, "boot": 17, "seq": 900}
    uid = f"{fields['name'][:40]}/{fields['reason'][:40]}".encode().hex()[:100]
    return EventPayload.model_validate({**known, "uid": uid, **fields})


def _notice(reason: Reason, cluster: str, facts: Facts, *, since: int, at: int) -> EventPayload:
    began, decided = (datetime.fromtimestamp(seconds, UTC) for seconds in (since, at))
    return event_of(Notice(reason, cluster, 17, since=began, at=decided, facts=facts), uid=f"{cluster}-{reason}")


def _line(event: EventPayload, **fields: Any) -> Line:
    """Return the problem that `event` says, of that object alone and still going on, but for `fields`."""
    values: dict[str, Any] = {
        "cluster": event.cluster,
        "namespace": event.ns or "",
        "kind": event.kind,
        "owner": event.name,
        "reason": event.reason,
        "severity": severity(event),
        "objects": (event.name,),
        "has_more": False,
        "occurrences": event.count,
        "began_at": event.first,
        "last_at": event.last,
        "event": event,
        "end": None,
        "is_news": True,
    }
    return Line(**(values | fields))


def _ended(line: Line, said: EventPayload | None = None) -> Line:
    """Return the problem after its end: as `said`, or because nothing more was heard of it."""
    if said is None:
        return replace(line, severity=Severity.INFO, end=End.QUIET)
    return replace(line, severity=Severity.RECOVERED, event=said, last_at=said.last, end=End.RECOVERED)


def _told(
    now: datetime,
    lines: list[Line],
    cause: Cause = Cause.FIRST,
    *,
    ago: int | None = None,
    since: int = 0,
    group: Mapping[str, str] | None = None,
    muted: int = 0,
    beyond: int = 0,
) -> Notification:
    """Return what is told at `now` to who was told `ago` seconds before; `since` more have come after that."""
    occurrences = sum(line.occurrences for line in lines) + beyond
    event = lines[0].event
    report = Report(
        incident=7,
        cause=cause,
        state=_STATES.get(cause, State.OPEN),
        group=_common(lines) if group is None else group,
        lines=tuple(lines),
        muted=muted,
        occurrences=occurrences,
        since_told=occurrences if ago is None else since,
        beyond=beyond,
        began_at=min(line.began_at for line in lines),
        last_at=max(line.last_at for line in lines),
        told_at=None if ago is None else now - timedelta(seconds=ago),
        revision=len(lines),
        said={},
        event=event,
        received_at=min(now, datetime.fromtimestamp(event.last + 1, UTC)),
    )
    return Notification(event, report.received_at, report)


def _common(lines: list[Line]) -> dict[str, str]:
    """Return what they have in common of what incidents are grouped by unless a route says otherwise."""
    fields = {"cluster": lines[0].cluster, "namespace": lines[0].namespace, "reason": lines[0].reason}
    return {name: value for name, value in fields.items() if all(getattr(line, name) == value for line in lines)}
