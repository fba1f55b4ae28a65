"""Standard output: a line or two for people, or one JSON object a line for machines."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TextIO
from zoneinfo import ZoneInfo

from tocsin_consumer.document import document
from tocsin_consumer.errors import TemporaryError
from tocsin_consumer.hints import Override
from tocsin_consumer.inert import one_line
from tocsin_consumer.labels import Language, duration
from tocsin_consumer.line_view import LineView
from tocsin_consumer.notification import Notification
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receiver_settings import StdoutSettings
from tocsin_consumer.receivers.receiver import Note, Receipt, Rendering, unnoted
from tocsin_consumer.render import Template, to_json
from tocsin_consumer.view import View

#: Severity → SGR parameters (ECMA-48).
_COLOURS: Final = {"critical": "1;31", "warning": "33", "info": "36", "recovered": "32"}
_INDENT: Final = "    "
#: Lines of an incident that are shown; more are counted.
_LINES_LISTED: Final = 20


class StdoutReceiver:
    """Writes to standard output, coloured on a terminal unless NO_COLOR is set (no-color.org)."""

    def __init__(
        self,
        name: str,
        settings: StdoutSettings,
        *,
        time_zone: ZoneInfo,
        language: Language,
        hints: Sequence[Override] = (),
        limits: tuple[RateLimit, ...] = (),
        stream: TextIO | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._name = name
        self._limits = limits
        self._json = settings.format == "json"
        self._template = Template(settings.template, escape=one_line) if settings.template is not None else None
        self._time_zone = time_zone
        self._language = language
        self._hints = hints
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty() and not environment.get("NO_COLOR")

    @property
    def name(self) -> str:
        """The name that routes know it by."""
        return self._name

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """None but what is configured."""
        return self._limits

    @property
    def is_local(self) -> bool:
        """Whether to deliver takes less time than to write down that it is done."""
        return True

    def render(self, notification: Notification) -> Rendering:
        """Return the text without the line break at its end.

        Raises:
            RenderError: the template does not fit the event.
        """
        if self._json:
            return Rendering(to_json(document(notification)), "application/json")
        view = View.of(notification, self._time_zone, language=self._language, hints=self._hints)
        text = self._template.render(view) if self._template else describe(view, coloured=self._coloured)
        return Rendering(text, "text/plain")

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:
        """Write it.

        Raises:
            TemporaryError: nobody takes it.
        """
        encoding = self._stream.encoding or "utf-8"
        text = rendering.content.encode(encoding, "backslashreplace").decode(encoding)
        note()
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except OSError as error:
            raise TemporaryError(f"standard output takes nothing: {error.strerror}") from error
        return Receipt("written")

    def close(self) -> None:
        """Leave standard output open: others write to it as well."""


def describe(view: View, *, coloured: bool) -> str:
    """Return an event in a line with its message indented below, or an incident with its problems."""
    late = f" ({view.labels['delayed']} {duration(view.delay, view.language)})" if view.delay else ""
    level = f"{view.severity_label:<9}"
    if coloured:
        level = f"\x1b[{_COLOURS[view.severity]}m{level}\x1b[0m"
    times = f" {view.times}" if view.times else ""
    others = f" +{len(view.clusters) - 1}" if len(view.clusters) > 1 else ""
    number = _number(view.lines[0]) if view.line_count == 1 else ""
    head = one_line(f"{view.cluster_label}{others}  {view.headline}{number}{times}{late}")
    lines = [f"{view.last_at:%Y-%m-%d %H:%M:%S} {level} {head}"]
    lines += [f"{_INDENT}{line}" for line in _below(view.with_lines(_LINES_LISTED)) if line.strip()]
    return "\n".join(lines)


def _below(view: View) -> Iterator[str]:
    yield view.changes
    if view.line_count == 1:
        yield from view.message.splitlines()
    else:
        yield from map(_problem, view.lines)
    yield view.remainder
    if view.hint or view.command:
        yield one_line(" ".join(filter(None, ("→", view.hint, view.command and f"$ {view.command}"))))


def _problem(line: LineView) -> str:
    """Return a problem in one line."""
    mark = f"[{line.mark}]" if line.mark else ""
    said = " ".join(filter(None, (mark, line.kind_label, f"{line.label}{_number(line)}", line.times)))
    return one_line(f"{said}: {line.message}")


def _number(line: LineView) -> str:
    return f" ({line.objects_label})" if line.objects_label else ""
