"""Templates: what they may say, what they know about an event, and what goes wrong with them.

A template is Jinja2 in its sandbox. A name that does not exist is an error, and so is a text beyond all bounds.
What an expression puts out is escaped once for where it goes, by the `escape` that the template was compiled
with; what the template itself says, in a macro or a block as well, and what it marks as `safe`, is not. Jinja's
own marks are for HTML and count for nothing here.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

import jinja2
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tocsin_consumer import digest
from tocsin_consumer.clock import local_time
from tocsin_consumer.digest import Digest
from tocsin_consumer.errors import RenderError
from tocsin_consumer.go_template import go_hint
from tocsin_consumer.inert import inert, shortened
from tocsin_consumer.labels import LABELS, Language, duration, zone_name
from tocsin_consumer.notice import facts_of
from tocsin_consumer.notification import Notification
from tocsin_consumer.severity import severity
from tocsin_consumer.wording import Words, words

#: How a value is made harmless where it is put.
Escape = Callable[[str], str]

#: More characters than any service takes; a template that says more has gone astray.
OUTPUT_LIMIT: Final = 256 * 1024
#: What arrives sooner than this was not held back.
_NOTICEABLE_DELAY: Final = timedelta(minutes=1)
_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
_FILE: Final = "<template>"  # what Jinja calls a template without a file


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
        said = _words(notification, time_zone, language) or Words(f"{reason} · {where}", inert(event.msg))
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


def _words(notification: Notification, time_zone: ZoneInfo, language: Language) -> Words | None:
    """Return what a notice of our own says; None for an event."""
    notice = facts_of(notification.event)
    if notice is None:
        return None
    said = words(*notice, time_zone, language=language)
    if isinstance(notification.report, Digest):
        return replace(said, rows=(*said.rows, *digest.rows(notification.report, language)))
    return said


def wire(notification: Notification) -> dict[str, Any]:
    """Return the event as on the wire, in plain JSON values."""
    return notification.event.model_dump(mode="json", by_alias=True, exclude_none=True)


def document(notification: Notification) -> dict[str, Any]:
    """Return the event as on the wire with `received_at` (RFC 3339, UTC): what machines are given by default."""
    received_at = notification.received_at.astimezone(ZoneInfo("UTC")).isoformat(timespec="milliseconds")
    return {**wire(notification), "received_at": received_at.replace("+00:00", "Z")}


def to_json(value: Any) -> str:
    """Return `value` as compact JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False)


class Template:
    """A compiled template.

    Raises:
        RenderError: it does not compile.
    """

    def __init__(self, source: str, *, escape: Escape = str) -> None:
        hint = go_hint(source)
        if hint is not None:
            raise RenderError(hint)
        try:
            self._template = _compiled(_environment(escape), source)
        except TemplateSyntaxError as error:
            raise RenderError(f"line {error.lineno}: {error.message}") from error
        except TemplateError as error:
            raise RenderError(str(error)) from error

    def render(self, view: View) -> str:
        """Return what the template says about an event.

        Raises:
            RenderError: it names what does not exist, does what is not allowed, or says too much.
        """
        try:
            return "".join(_bounded(self._template.generate(_names(view))))
        except RenderError:
            raise
        except Exception as error:  # a template is a program of its author's: it can raise anything
            raise RenderError(f"line {_line(error)}: {_explained(error)}") from error


def _names(view: View) -> dict[str, Any]:
    return {field.name: getattr(view, field.name) for field in fields(view)}


def _bounded(chunks: Iterator[str]) -> Iterator[str]:
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > OUTPUT_LIMIT:
            raise RenderError(f"says more than {OUTPUT_LIMIT} characters")
        yield chunk


def _line(error: Exception) -> int:
    """Return the line of the template that raised; Jinja puts it into the traceback."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _explained(error: Exception) -> str:
    text = str(error) or type(error).__name__
    unknown = re.fullmatch(r"'(\w+)' is undefined", text)
    if unknown is None:
        return text
    known = [field.name for field in fields(View)]
    close = difflib.get_close_matches(unknown[1], known, n=1)
    return f"{text}; did you mean {close[0]}?" if close else f"{text}; known here: {', '.join(known)}"


def _container(field: str) -> str:
    """Return `api` of `spec.containers{api}` or `spec.initContainers{api}`."""
    _, brace, name = field.partition("{")
    return name.rstrip("}") if brace else ""


class _Done(str):
    """What is put out as it is: it is escaped, or the template's own. Whatever is made of it is neither."""

    __slots__ = ()


def _compiled(environment: ImmutableSandboxedEnvironment, source: str) -> jinja2.Template:
    """Return a template in which `{% set x %}…{% endset %}` is done: what is put out within has been escaped."""
    tree = environment.parse(source)
    for block in tree.find_all(nodes.AssignBlock):
        if block.filter is None:
            block.filter = nodes.Filter(None, "safe", [], [], None, None, lineno=block.lineno)
    return environment.from_string(tree)


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox of Jinja2, and besides it no cheap way to fill the memory."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise SecurityError(f"{operator} works on numbers only here")
        if operator == "**":
            raise SecurityError("** is not available here")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        numbers = [value for value in (*args, *kwargs.values()) if isinstance(value, int)]
        if max(numbers, default=0) > OUTPUT_LIMIT:
            raise SecurityError(f"a number above {OUTPUT_LIMIT} is not available here")
        result = super().call(context, obj, *args, **kwargs)
        if isinstance(obj, Macro | LoopContext | BlockReference):
            return _Done(result)
        return str(result) if isinstance(result, _Done) else result  # str.format of what is done


#: Filters that can make much out of little, and those whose HTML, or whose removal of it, is of no use here.
_REMOVED: Final = (
    "batch",
    "center",
    "format",
    "indent",
    "slice",
    "striptags",
    "urlize",
    "xmlattr",
)


@cache
def _environment(escape: Escape) -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(
        undefined=StrictUndefined,
        autoescape=False,  # `finalize` escapes, for other formats than HTML
        finalize=lambda value: _finalize(value, escape),
    )
    for name in _REMOVED:
        del environment.filters[name]
    environment.filters.update(time=_time, date=_date, duration=_duration, tojson=to_json, truncate=shortened)
    environment.filters.update(safe=_safe)
    for name in ("e", "escape", "forceescape"):
        environment.filters[name] = lambda value: _safe(_finalize(value, escape))
    return environment


def _safe(value: Any) -> Any:
    """Mark a text as done; a name that does not exist stays the error that it is."""
    return value if isinstance(value, Undefined) else _Done(value)


def _finalize(value: Any, escape: Escape) -> Any:
    if value is None:
        return ""
    if isinstance(value, Undefined | _Done):
        return value
    return escape(str(value))


def _time(value: datetime, style: str = _TIME_FORMAT) -> str:
    return value.strftime(style)


def _date(value: datetime) -> str:
    return value.strftime("%Y-%m-%d")


@pass_context
def _duration(context: Context, value: timedelta | None) -> str:
    return "" if value is None else duration(value, context["language"])
