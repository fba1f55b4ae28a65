"""What there is to say about a notification, in the language and the time zone of a receiver. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from tocsin_consumer.clock import local_time
from tocsin_consumer.document import wire
from tocsin_consumer.inert import inert, shortened
from tocsin_consumer.labels import LABELS, Language, zone_name
from tocsin_consumer.notice import facts_of
from tocsin_consumer.notification import Notification
from tocsin_consumer.severity import severity
from tocsin_consumer.wording import Words, words
from tocsin_schemas.event import EventPayload

#: What arrives sooner than this was not held back.
_NOTICEABLE_DELAY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class View:
    """All that a template can name. A text that the event lacks is empty, so `{% if node %}` is enough.

    Texts of the event are inert (inert.py); `event` has them as they came.
    """

    cluster: str
    namespace: str
    kind: str
    name: str
    #: `namespace/name`, or the name alone when the object has no namespace.
    object: str
    reason: str
    type: str
    message: str
    count: int
    #: The count as people read it, and empty when it happened once.
    times: str
    #: Aware, in the receiver's time zone, like all times here.
    first_at: datetime
    last_at: datetime
    received_at: datetime
    #: The time zone at the last occurrence: UTC, UTC+8, UTC+5:30.
    zone: str
    #: How long it was held back; None below a minute.
    delay: timedelta | None
    #: From the first to the last occurrence; None when there is none between.
    lasting: timedelta | None
    #: Who reported it, such as kubelet.
    component: str
    node: str
    #: Path within the object, such as spec.containers{api}, and the container in it.
    field: str
    container: str
    uid: str
    #: critical, warning, info or recovered; then the same in the receiver's language.
    severity: str
    severity_label: str
    #: Reason and object in one line; of a notice about a cluster, what it is about in the receiver's language.
    title: str
    #: Labels and values of a notice about a cluster; empty for what Kubernetes says.
    rows: tuple[tuple[str, str], ...]
    #: What a notice adds to its rows, which may be nothing; None where the message stands by itself.
    remark: str | None
    language: Language
    #: The built-in words of the language (labels.py).
    labels: Mapping[str, str]
    #: The event as on the wire, with fields that this version does not know.
    event: Mapping[str, Any]

    @classmethod
    def of(cls, notification: Notification, time_zone: ZoneInfo, *, language: Language) -> Self:
        """Return what there is to say about `notification`."""
        event = notification.event
        level = severity(event)
        namespace, name, field = (inert(text or "") for text in (event.ns, event.name, event.field))
        reason, where = inert(event.reason), f"{namespace}/{name}" if namespace else name
        last_at = local_time(event.last, time_zone)
        said = _words(event, time_zone, language) or Words(f"{reason} · {where}", inert(event.msg))
        return cls(
            cluster=event.cluster,
            namespace=namespace,
            kind=inert(event.kind),
            name=name,
            object=where,
            reason=reason,
            type=inert(event.type),
            message=said.message,
            count=event.count,
            times=f"×{event.count}" if event.count > 1 else "",  # noqa: RUF001 - the sign, not the letter
            first_at=local_time(event.first, time_zone),
            last_at=last_at,
            received_at=notification.received_at.astimezone(time_zone),
            zone=zone_name(last_at),
            delay=notification.delay if notification.delay >= _NOTICEABLE_DELAY else None,
            lasting=timedelta(seconds=event.last - event.first) if event.last > event.first else None,
            component=inert(event.from_ or ""),
            node=inert(event.node or ""),
            field=field,
            container=_container(field),
            uid=inert(event.uid),
            severity=level,
            severity_label=LABELS[language][level],
            title=said.title,
            rows=said.rows,
            remark=said.remark,
            language=language,
            labels=LABELS[language],
            event=wire(notification),
        )

    @property
    def headline(self) -> str:
        """The title with the kind of the object before it, unless the title says it."""
        return self.title if self.rows else f"{self.kind} {self.title}"

    def with_message(self, limit: int) -> Self:
        """Return the same with a message of at most `limit` characters, wherever it is said."""
        message = shortened(self.message, limit)
        return replace(self, message=message, event={**self.event, "msg": message})


def _words(event: EventPayload, time_zone: ZoneInfo, language: Language) -> Words | None:
    """Return what a notice of our own says; None for an event."""
    notice = facts_of(event)
    return notice and words(*notice, time_zone, language=language)


def _container(field: str) -> str:
    """Return `api` of `spec.containers{api}` or `spec.initContainers{api}`."""
    _, brace, name = field.partition("{")
    return name.rstrip("}") if brace else ""
