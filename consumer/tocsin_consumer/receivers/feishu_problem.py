"""The card of one problem, be it an event or an incident: since when, what has changed, and what it says."""

from collections.abc import Iterator
from typing import Final

from tocsin_consumer.labels import duration
from tocsin_consumer.receivers.feishu_parts import COLOURS, Component, Layout, figures, row, small, text
from tocsin_consumer.view import View

_TIME: Final = "%Y-%m-%d %H:%M:%S"
#: Objects that are named; there are others to see what they have in common.
_NAMED: Final = 5


def problem_layout(view: View) -> Layout:
    """Return what there is to say of the only line of `view`."""
    return Layout(tags(view), _where(view), list(_body(view)))


def tags(view: View) -> list[tuple[str, str]]:
    """Return what stands out beside the title: where, how often or for how long, and what is odd about it."""
    colour = COLOURS["quiet" if view.status == "quiet" else view.severity]
    others = f" +{len(view.clusters) - 1}" if len(view.clusters) > 1 else ""
    said = [(f"{view.cluster_label}{others}", "blue")]
    if view.is_over and view.status == "recovered" and view.lasting and not view.rows:
        said.append((f"{view.labels['lasted']} {duration(view.lasting, view.language)}", colour))
    elif view.times:
        said.append((view.times, colour))
    if view.delay:
        said.append((f"{view.labels['delayed']} {duration(view.delay, view.language)}", "violet"))
    elif view.cause == "repeat":
        said.append((view.labels["still"], colour))
    return said


def times(view: View) -> list[tuple[str, str]]:
    """Return since when, until when and how late, as far as there is something to say."""
    labels, last = view.labels, view.last_at.strftime(_TIME)
    cells = [(labels["at"], last)]
    if view.lasting:
        lasting = duration(view.lasting, view.language)
        is_recovered = all(line.ended == "recovered" for line in view.lines)
        end = labels["recovered_at"] if is_recovered else f"{labels['last']} (+{lasting})"
        cells = [(labels["first"], view.first_at.strftime(_TIME)), (end, last)]
    if view.delay:
        cells.append((labels["received"], view.received_at.strftime(_TIME)))
    (label, value), *others = cells
    return [(f"{label} ({view.zone})", value), *others]


def _body(view: View) -> Iterator[Component]:
    rows = list(view.rows) or times(view)
    yield figures([(label, value) for label, value in rows if "\n" not in value])
    for label, value in rows:
        if "\n" in value:
            yield row([small(label), text(value)], [])
    for said in (view.changes, view.message if view.remark is None else view.remark):
        if said.strip():
            yield text(said)
    if view.lines[0].objects_label:
        yield small(_objects(view))
    if view.remainder:
        yield small(view.remainder)


def _where(view: View) -> str:
    """Return what the title leaves out: kind, number, the part of the object, the node, and who says so.

    The title and the tags of a notice say all of that but the last.
    """
    if view.rows:
        return view.labels["notice"]
    line, number = view.lines[0], view.lines[0].objects_label
    container = f"{view.labels['container']} {view.container}" if view.container else ""
    node = f"{view.labels['node']} {view.node}" if view.node and view.node != view.name and not number else ""
    return " · ".join(part for part in (line.kind_label, number, container, node, view.component) if part)


def _objects(view: View) -> str:
    """Return the names of objects, those first that still have the problem."""
    names = view.lines[0].objects
    rest = f"{len(names) - _NAMED}{'+' if view.lines[0].more else ''}" if len(names) > _NAMED else ""
    said = ", ".join(names[:_NAMED])
    return f"{said} {view.labels['others'].format(rest)}" if rest else said
