"""What there is to say about a notification, in the language and the time zone of a receiver. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from tocsin_consumer import digest
from tocsin_consumer.clock import local_time
from tocsin_consumer.digest import Digest
from tocsin_consumer.document import wire
from tocsin_consumer.hints import Hint, Override, container_of, hint_of
from tocsin_consumer.incident_wording import remainder, said_of, worst
from tocsin_consumer.inert import inert, one_line, shortened
from tocsin_consumer.labels import LABELS, Language, zone_name
from tocsin_consumer.line_view import LineView, labelled, lasting, times, words_of
from tocsin_consumer.notification import Notification
from tocsin_consumer.report import Line, Report, alone
from tocsin_consumer.severity import Severity
from tocsin_consumer.wording import cluster_name

#: What arrives sooner than this was not held back.
_NOTICEABLE_DELAY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class View:
    """All that a template can name. A text that there is none of is empty, so `{% if node %}` is enough.

    What is told may be one event, which is an incident of one problem. Of an incident, object, reason and message
    are those of its first line; times, counts, severity and title are of all of it.

    Texts of the event are inert (inert.py); `event` has them as they came.
    """

    cluster: str
    #: The same as people read it: of a digest of many, all clusters, in the receiver's language.
    cluster_label: str
    #: All of the incident's, that of the first line first.
    clusters: tuple[str, ...]
    namespace: str
    kind: str
    name: str
    #: `namespace/name`, or the name alone when the object has no namespace.
    object: str
    reason: str
    type: str
    message: str
    count: int
    #: The count as people read it, and empty when each problem happened once.
    times: str
    #: Occurrences since the receiver was told last.
    new_count: int
    #: Aware, in the receiver's time zone, like all times here.
    first_at: datetime
    last_at: datetime
    received_at: datetime
    #: When the receiver was told of the incident last; None if never.
    told_at: datetime | None
    #: The time zone at the last occurrence: UTC, UTC+8, UTC+5:30.
    zone: str
    #: How long it was held back; None below a minute.
    delay: timedelta | None
    #: From the first to the last occurrence, or to the recovery; None when there is none between.
    lasting: timedelta | None
    #: Who reported it, such as kubelet.
    component: str
    node: str
    #: Path within the object, such as spec.containers{api}, and the container in it.
    field: str
    container: str
    uid: str
    #: critical, warning, info or recovered, the worst that goes on; then the same in the receiver's language.
    severity: str
    severity_label: str
    #: open, recovered or quiet, when nothing more was heard of it; then the same in the receiver's language.
    status: str
    status_label: str
    #: Why it is told: first, news, repeat, recovered or quiet (dispatch.Cause).
    cause: str
    #: Problem and object in one line, or of how many objects; of a notice about a cluster, what it is about.
    title: str
    #: What has changed since the receiver was told last, and what an end is worth, in sentences.
    changes: str
    #: How many problems are how bad, in words.
    tally: str
    #: The problems: news first, the worst first, what has ended last.
    lines: tuple[LineView, ...]
    #: How many are not in `lines` for want of room, and their occurrences.
    left_out: int
    left_out_count: int
    #: How many are not told for now, as a silence or an inhibition holds them.
    muted: int
    #: Occurrences of problems that are not told apart.
    beyond: int
    #: What `lines` lacks, in words: left out, muted, beyond.
    remainder: str
    #: How many objects have a problem or had one; there may be `more`. Then how many in words; empty if it is one.
    object_count: int
    more: bool
    objects_label: str
    #: What the events of the incident have in common, by the fields that the route groups by.
    group: Mapping[str, str]
    #: Labels and values of a notice about a cluster; empty for what Kubernetes says.
    rows: tuple[tuple[str, str], ...]
    #: What a notice adds to its rows, which may be nothing; None where the message stands by itself.
    remark: str | None
    #: What is likely behind it, and a command to run next (hints); each may be empty.
    hint: str
    command: str
    language: Language
    #: The built-in words of the language (labels.py).
    labels: Mapping[str, str]
    #: The event as on the wire, with fields that this version does not know.
    event: Mapping[str, Any]

    @classmethod
    def of(
        cls, notification: Notification, time_zone: ZoneInfo, *, language: Language, hints: Sequence[Override] = ()
    ) -> Self:
        """Return what there is to say about `notification`; `hints` go before the built-in ones."""
        event = notification.event
        report = _report(notification)
        lines = _lines(report, time_zone, language)
        tops: tuple[tuple[str, str], ...] = ()
        if isinstance(notification.report, Digest):
            tops = digest.rows(notification.report, language)
            paragraph = digest.paragraph(notification.report, language)
            message = "\n".join(filter(None, (lines[0].message, paragraph)))
            lines = (replace(lines[0], message=message),)
        told_at = report.told_at and report.told_at.astimezone(time_zone)
        namespace, name, field = (inert(text or "") for text in (event.ns, event.name, event.field))
        first_at, last_at = (local_time(at, time_zone) for at in (report.began_at, report.last_at))
        level, status = _severity(lines), _status(lines)
        said = said_of(report, lines, since=first_at, told_at=told_at, language=language)
        notice = words_of(report.lines[0], time_zone, language) if len(lines) == 1 else None
        hint = _hint(report.lines, hints, language)
        view = cls(
            cluster=event.cluster,
            cluster_label=cluster_name(event.cluster, event.reason, language),
            clusters=tuple(dict.fromkeys(line.cluster for line in lines)),
            namespace=namespace,
            kind=inert(event.kind),
            name=name,
            object=f"{namespace}/{name}" if namespace else name,
            reason=inert(event.reason),
            type=inert(event.type),
            message=lines[0].message,
            count=report.occurrences,
            times=times(report.occurrences) if report.occurrences > len(lines) else "",
            new_count=report.since_told,
            first_at=first_at,
            last_at=last_at,
            received_at=notification.received_at.astimezone(time_zone),
            told_at=told_at,
            zone=zone_name(last_at),
            delay=notification.delay if notification.delay >= _NOTICEABLE_DELAY else None,
            lasting=lasting(report.began_at, report.last_at),
            component=inert(event.from_ or ""),
            node=inert(event.node or ""),
            field=field,
            container=container_of(field),
            uid=inert(event.uid),
            severity=level,
            severity_label=LABELS[language][level],
            status=status,
            status_label=LABELS[language][status],
            cause=report.cause,
            title=said.title,
            changes=said.changes,
            tally=said.tally,
            lines=lines,
            left_out=0,
            left_out_count=0,
            muted=report.muted,
            beyond=report.beyond,
            remainder="",
            object_count=said.object_count,
            more=report.has_more,
            objects_label=said.objects if said.object_count > 1 or report.has_more else "",
            group={field: one_line(value) for field, value in report.group.items()},
            rows=(*notice.rows, *tops) if notice else (),
            remark=notice.remark if notice else None,
            hint=hint.text if hint else "",
            command=hint.command if hint else "",
            language=language,
            labels=LABELS[language],
            event=wire(notification),
        )
        return view.with_lines(len(lines))

    @property
    def headline(self) -> str:
        """The title with the kind of the object before it, unless the title says it."""
        return self.title if self.rows or self.line_count > 1 else f"{self.lines[0].kind} {self.title}"

    @property
    def line_count(self) -> int:
        """How many problems there are, listed or left out."""
        return len(self.lines) + self.left_out

    @property
    def is_over(self) -> bool:
        """Whether an incident has ended, as its title says then."""
        return bool(self.lines[0].ended)

    @property
    def longest_message(self) -> int:
        """How many characters the longest of its messages has."""
        return max(len(self.message), *(len(line.message) for line in self.lines))

    def with_message(self, limit: int) -> Self:
        """Return the same with messages of at most `limit` characters each, wherever they are said."""
        message = shortened(self.message, limit)
        lines = tuple(line.with_message(limit) for line in self.lines)
        return replace(self, message=message, lines=lines, event={**self.event, "msg": message})

    def with_lines(self, limit: int) -> Self:
        """Return the same with at most `limit` lines, and those beyond counted."""
        left_out = self.left_out + len(self.lines[limit:])
        count = self.left_out_count + sum(line.count for line in self.lines[limit:])
        said = remainder(
            left_out=left_out, left_out_count=count, muted=self.muted, beyond=self.beyond, language=self.language
        )
        return replace(self, lines=self.lines[:limit], left_out=left_out, left_out_count=count, remainder=said)


def _report(notification: Notification) -> Report:
    """Return the incident; an event is one, and so is a storm, which says the rest in rows."""
    if isinstance(notification.report, Report):
        return notification.report
    return alone(notification.event, notification.received_at)


def _lines(report: Report, time_zone: ZoneInfo, language: Language) -> tuple[LineView, ...]:
    was_told = report.told_at is not None
    return labelled([LineView.of(line, time_zone, language=language, was_told=was_told) for line in report.lines])


def _severity(lines: tuple[LineView, ...]) -> str:
    """Return how bad the worst is that goes on; that nothing more is heard does not say that all is well."""
    if all(line.ended for line in lines):
        return Severity.RECOVERED if _status(lines) == "recovered" else Severity.INFO
    return worst(lines).severity


def _status(lines: tuple[LineView, ...]) -> str:
    """Return what the problems that are told come to; an event may by itself be a recovery."""
    ends = {line.ended or ("recovered" if line.severity == Severity.RECOVERED else "open") for line in lines}
    return next(status for status in ("open", "recovered", "quiet") if status in ends)


def _hint(lines: tuple[Line, ...], overrides: Sequence[Override], language: Language) -> Hint | None:
    """Return the hint about the first line, if that goes on; it says of which it is, if not of all that go on."""
    if lines[0].end is not None:
        return None
    hint, *others = [hint_of(line.event, overrides, language) for line in lines if line.end is None]
    if hint is None or not hint.text or all(other and other.text == hint.text for other in others):
        return hint
    return replace(hint, text=f"{inert(lines[0].reason)}: {hint.text}")
