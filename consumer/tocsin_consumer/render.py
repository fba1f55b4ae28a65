"""Templates: what they may say, and what goes wrong with them; what they know is a view (view.py).

A template is Jinja2 in its sandbox. A name that does not exist is an error, and so is a text beyond all bounds.
What an expression puts out is escaped once for where it goes, by the `escape` that the template was compiled
with; what the template itself says, in a macro or a block as well, and what it marks as `safe`, is not. Jinja's
own marks are for HTML and count for nothing here.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import jinja2
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from tocsin_consumer.errors import RenderError
from tocsin_consumer.go_template import go_hint
from tocsin_consumer.inert import shortened
from tocsin_consumer.labels import duration
from tocsin_consumer.line_view import LineView
from tocsin_consumer.template_errors import expected, explained, no_such_name, no_such_part
from tocsin_consumer.view import View

#: How a value is made harmless where it is put.
Escape = Callable[[str], str]

#: More characters than any service takes; a template that says more has gone astray.
OUTPUT_LIMIT: Final = 256 * 1024
_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
_FILE: Final = "<template>"  # what Jinja calls a template without a file


def to_json(value: Any) -> str:
    """Return `value` as compact JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return what JSON has no form for as an object of its fields, or else as text."""
    if isinstance(value, LineView):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)


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
            raise RenderError(f"line {_line(error)}: {explained(error)}") from error


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


class _Unknown(StrictUndefined):
    """A name that does not exist: whatever is done with it is an error, which says what there is instead."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        if self._undefined_obj is missing:
            return no_such_name(str(self._undefined_name))
        return no_such_part(self._undefined_obj, self._undefined_name)


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
        undefined=_Unknown,
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


def _time(value: datetime | None, style: str = _TIME_FORMAT) -> str:
    """Return a time; what was never, such as when one was told for the first time, is empty."""
    if value is None:
        return ""
    if not isinstance(value, datetime):
        raise expected("time", "a time such as last_at", value)
    if not isinstance(style, str):
        raise expected("time", 'a form such as "%H:%M"', style)
    return value.strftime(style)


def _date(value: datetime | None) -> str:
    if not isinstance(value, datetime | None):
        raise expected("date", "a time such as last_at", value)
    return _time(value, "%Y-%m-%d")


@pass_context
def _duration(context: Context, value: timedelta | None) -> str:
    if not isinstance(value, timedelta | None):
        raise expected("duration", "a length of time such as lasting", value)
    return "" if value is None else duration(value, context["language"])
