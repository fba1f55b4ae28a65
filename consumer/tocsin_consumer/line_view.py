"""What there is to say about one problem of an incident, in the language and the time zone of a receiver. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from tocsin_consumer.clock import local_time
from tocsin_consumer.inert import inert, one_line, shortened
from tocsin_consumer.labels import LABELS, Language
from tocsin_consumer.notice import facts_of
from tocsin_consumer.report import Line
from tocsin_consumer.wording import Words, kind_name, words


@dataclass(frozen=True, slots=True)
class LineView:
    """All that a template can name of a problem; what has a name in `View` as well means the same there of all.

    Texts are inert, and all but the message are of one line.
    """

    cluster: str
    namespace: str
    #: The owner of the objects, such as a Deployment, or the object itself.
    kind: str
    #: The same as people read it: that of notices is ours, and all others are names of Kubernetes'.
    kind_label: str
    name: str
    #: `namespace/name`, or the name alone when there is no namespace.
    object: str
    reason: str
    #: The reason as people read it: of a notice about a cluster, what it is about in the receiver's language.
    problem: str
    #: Problem and object in one line.
    title: str
    #: What tells it from the other problems of the incident: cluster, problem and object as far as they differ.
    label: str
    severity: str
    severity_label: str
    #: Names of the objects that have the problem, those first that still do; there may be `more` than those.
    objects: tuple[str, ...]
    object_count: int
    more: bool
    #: How many there are in words; empty if it is one.
    objects_label: str
    count: int
    times: str
    first_at: datetime
    last_at: datetime
    lasting: timedelta | None
    message: str
    #: Whether it has begun since the receiver was told last; of what it is told first, nothing is marked.
    is_new: bool
    #: Whether it has ended since the receiver was told last.
    is_over: bool
    #: recovered or quiet; empty while it goes on.
    ended: str
    #: What stands out about it in the receiver's language: new, recovered or quiet; empty if nothing does.
    mark: str

    @classmethod
    def of(cls, line: Line, time_zone: ZoneInfo, *, language: Language, was_told: bool) -> Self:
        """Return what there is to say about `line`, to who `was_told` of its incident before, or not."""
        namespace, name, reason = (one_line(text) for text in (line.namespace, line.owner, line.reason))
        where = f"{namespace}/{name}" if namespace else name
        said = words_of(line, time_zone, language)
        is_new = was_told and line.is_news and line.end is None
        mark = line.end or ("new" if is_new else None)
        return cls(
            cluster=line.cluster,
            namespace=namespace,
            kind=one_line(line.kind),
            kind_label=kind_name(one_line(line.kind), reason, language),
            name=name,
            object=where,
            reason=reason,
            problem=said.title if said else reason,
            title=said.title if said else f"{reason} · {where}",
            label=where,
            severity=line.severity,
            severity_label=LABELS[language][line.severity],
            objects=tuple(map(one_line, line.objects)),
            object_count=len(line.objects),
            more=line.has_more,
            objects_label=_objects(line, language),
            count=line.occurrences,
            times=times(line.occurrences),
            first_at=local_time(line.began_at, time_zone),
            last_at=local_time(line.last_at, time_zone),
            lasting=lasting(line.began_at, line.last_at),
            message=said.message if said else inert(line.event.msg),
            is_new=is_new,
            is_over=was_told and line.is_news and line.end is not None,
            ended=line.end or "",
            mark=LABELS[language][mark] if mark else "",
        )

    def with_message(self, limit: int) -> Self:
        """Return the same with a message of at most `limit` characters."""
        return replace(self, message=shortened(self.message, limit))

    def identities(self) -> Iterator[tuple[str, ...]]:
        """Yield what tells each of its objects from all others."""
        return ((self.cluster, self.namespace, self.kind, self.name, name) for name in self.objects)


def labelled(lines: Sequence[LineView]) -> tuple[LineView, ...]:
    """Return the problems of an incident, each with a label that tells it from the others."""
    clusters = len({line.cluster for line in lines}) > 1
    problems = len({line.problem for line in lines}) > 1
    namespaces = len({line.namespace for line in lines}) > 1

    def label(line: LineView) -> str:
        cluster = line.cluster if clusters and line.cluster != line.name else ""
        problem = line.problem if problems else ""
        return " · ".join(filter(None, (cluster, problem, line.object if namespaces else line.name)))

    return tuple(replace(line, label=label(line)) for line in lines)


def words_of(line: Line, time_zone: ZoneInfo, language: Language) -> Words | None:
    """Return what a notice of our own says; None for what Kubernetes says."""
    notice = facts_of(line.event)
    return notice and words(*notice, time_zone, language=language)


def _objects(line: Line, language: Language) -> str:
    number = len(line.objects)
    if line.has_more:
        return LABELS[language]["objects"].format(f"{number}+")
    return LABELS[language]["objects"].format(number) if number > 1 else ""


def times(count: int) -> str:
    """Return a count as people read it, and nothing for what happened once."""
    return f"×{count}" if count > 1 else ""  # noqa: RUF001 - the sign, not the letter


def lasting(first: int, last: int) -> timedelta | None:
    """Return the time between the first and the last occurrence; None when there is none."""
    return timedelta(seconds=last - first) if last > first else None
