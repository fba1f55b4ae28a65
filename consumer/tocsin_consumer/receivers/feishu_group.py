"""The card of several problems: how many of what and since when, what has changed, and then one by one."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tocsin_consumer.inert import one_line, shortened
from tocsin_consumer.labels import duration
from tocsin_consumer.line_view import LineView
from tocsin_consumer.receivers.feishu_parts import COLOURS, Component, Layout, figures, mark, row, small, text
from tocsin_consumer.receivers.feishu_problem import tags, times
from tocsin_consumer.view import View

#: Lines that people read on a phone; more are counted. They also keep the card below 200 elements.
LINES_LISTED: Final = 10
#: So many lines that there is room for more of what each says.
_FEW: Final = 5
#: How much of a message says what it is about.
_MESSAGE_LIMIT: Final = 160


def group_layout(view: View) -> Layout:
    """Return what there is to say of the lines of `view`, the most important of them one by one."""
    return Layout(tags(view), view.tally, list(_body(view.with_lines(LINES_LISTED))))


def _body(view: View) -> Iterator[Component]:
    yield figures(times(view))
    if view.changes:
        yield text(view.changes)
    yield {"tag": "hr"}
    for line in view.lines:
        yield row([*_left(line, view)], [*_right(line)])
    if view.remainder:
        yield small(view.remainder)


def _left(line: LineView, view: View) -> Iterator[Component]:
    """Yield what it is, of what and since when, and what it says."""
    colour = {"text_color": COLOURS[line.ended]} if line.ended else {}
    yield text(line.label, **colour)
    yield small(" · ".join(filter(None, (line.kind_label, line.objects_label, _span(line, view)))))
    said = shortened(one_line(line.message), _MESSAGE_LIMIT)
    if said.strip():
        yield text(said, text_size="notation", lines=2 if len(view.lines) <= _FEW else 1)


def _right(line: LineView) -> Iterator[Component]:
    if line.times:
        yield text(line.times, text_align="right")
    if line.mark:
        yield mark(line.mark, COLOURS[line.ended or line.severity])


def _span(line: LineView, view: View) -> str:
    """Return from when to when, and of what is over how long; with the day where it is not the last of all."""
    first = _moment(line.first_at, view.last_at)
    if not line.lasting:
        return first
    lasted = f" ({duration(line.lasting, view.language)})" if line.ended else ""
    return f"{first} → {_moment(line.last_at, view.last_at)}{lasted}"


def _moment(at: datetime, today: datetime) -> str:
    return at.strftime("%H:%M" if at.date() == today.date() else "%m-%d %H:%M")
