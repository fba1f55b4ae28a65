"""What machines are given of a notification, as plain JSON values. Pure.

Names and times are those of the wire: epoch seconds, and absent instead of null.
"""

from datetime import UTC, datetime
from typing import Any

from tocsin_consumer.digest import Digest
from tocsin_consumer.notification import Notification
from tocsin_consumer.report import Line, Report


def wire(notification: Notification) -> dict[str, Any]:
    """Return the event as on the wire, in plain JSON values."""
    return notification.event.model_dump(mode="json", by_alias=True, exclude_none=True)


def document(notification: Notification) -> dict[str, Any]:
    """Return the event as on the wire with `received_at` (RFC 3339, UTC): what machines are given by default.

    Where it stands for an incident, `incident` has that as a whole; and `digest` what there is most of in a storm.
    """
    said = {**wire(notification), "received_at": _rfc3339(notification.received_at)}
    match notification.report:
        case Report() as report:
            return {**said, "incident": _incident(report)}
        case Digest() as digest:
            return {**said, "digest": _digest(digest)}
    return said


def _digest(digest: Digest) -> dict[str, Any]:
    """Return what there is most of, each with its number of incidents; `others` are those that are not named."""
    tops = {"reasons": digest.reasons, "clusters": digest.clusters, "objects": digest.objects}
    return {
        "scope": digest.scope,
        **{
            name: {"top": {share.name: share.incidents for share in top.shares}, "others": top.others}
            for name, top in tops.items()
        },
    }


def _incident(report: Report) -> dict[str, Any]:
    """Return all of it: the state counts what is muted as well, the lines are what is told."""
    told = {} if report.told_at is None else {"told_at": _rfc3339(report.told_at)}
    return {
        "id": report.incident,
        "cause": report.cause.value,
        "state": report.state.value,
        "group": dict(report.group),
        "first": report.began_at,
        "last": report.last_at,
        "count": report.occurrences,
        "new_count": report.since_told,
        **told,
        "muted": report.muted,
        "beyond": report.beyond,
        "lines": [_line(line) for line in report.lines],
    }


def _line(line: Line) -> dict[str, Any]:
    said = {
        "cluster": line.cluster,
        "ns": line.namespace or None,
        "kind": line.kind,
        "name": line.owner,
        "reason": line.reason,
        "severity": line.severity.value,
        "objects": list(line.objects),
        "more": line.has_more,
        "count": line.occurrences,
        "first": line.began_at,
        "last": line.last_at,
        "msg": line.event.msg,
        "news": line.is_news,
        "end": line.end and line.end.value,
    }
    return {name: value for name, value in said.items() if value is not None}


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
