"""How a replay is told, in lines and as objects of JSON. Pure; what clusters wrote acts on no terminal."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from tocsin_consumer.digest import Digest
from tocsin_consumer.event_file import EXAMPLE
from tocsin_consumer.inert import one_line
from tocsin_consumer.labels import Language, counted, plural, zone_name
from tocsin_consumer.notification import Notification
from tocsin_consumer.recording import Recording
from tocsin_consumer.replay import Message, Outcome
from tocsin_consumer.tally import EVENT, Fate, Received, Tally, cause_of
from tocsin_consumer.view import View

#: The causes in their order, as columns.
CAUSES: Final = ("first", "news", "repeat", "recovered", "quiet", "storm", "calm", "merged", EVENT)
#: Bad lines that are told one by one.
BAD_LINES_TOLD: Final = 5


def message_line(message: Message, time_zone: ZoneInfo, language: Language, *, width: int) -> str:
    """Return the line of a message; `width` is that of the longest receiver's name."""
    view = View.of(message.notification, time_zone, language=language)
    parts = (
        f"{message.at.astimezone(time_zone):%Y-%m-%d %H:%M:%S}",
        f"{message.receiver:<{width}}",
        f"{cause_of(message.notification):<9}",
        one_line(headline(message.notification, view)),
    )
    return "  ".join(parts)


def message_object(message: Message, time_zone: ZoneInfo, language: Language, *, show: bool) -> dict[str, Any]:
    """Return a message as an object of JSON; with `show`, what would be sent as well."""
    view = View.of(message.notification, time_zone, language=language)
    said = {
        "at": message.at.isoformat(timespec="seconds"),
        "receiver": message.receiver,
        "cause": cause_of(message.notification),
        "severity": view.severity,
        "headline": headline(message.notification, view),
    }
    return said | ({"content": message.rendering.content} if show else {})


def headline(notification: Notification, view: View) -> str:
    """Return what a message is about: where, what, on how many objects, and how often."""
    if isinstance(notification.report, Digest):
        named = ", ".join(f"{share.name} ×{share.incidents}" for share in notification.report.reasons.shares)  # noqa: RUF001 - the sign
        return f"{view.cluster_label}: {view.headline}: {notification.report.incidents} incidents: {named}"
    objects = f"({view.objects_label})" if view.line_count == 1 and view.objects_label else ""
    return " ".join(filter(None, (f"{view.cluster_label}: {view.headline}", objects, view.times)))


def recording_lines(recording: Recording, published: int) -> Iterator[str]:
    """Yield what was read, and the first of what was not understood; `published` is how much of it would come."""
    watched = sum(one.is_watched for one in recording.recorded)
    yield f"read {counted(recording.lines, 'line')}, of which {published} say what a consumer is sent"
    if watched:
        yield f"{watched} are Events of Kubernetes, of which a producer publishes what is new"
        if any(one.is_watched and one.said.cluster == EXAMPLE for one in recording.recorded):
            yield f"they name no cluster, so they are taken for ones of {EXAMPLE!r}; --cluster NAME says which"
    if recording.passed_over:
        yield f"{recording.passed_over} say nothing that is told"
    if recording.bad:
        yield f"{len(recording.bad)} are not understood"
        yield from (f"  {bad}" for bad in map(one_line, map(str, recording.bad[:BAD_LINES_TOLD])))
        if len(recording.bad) > BAD_LINES_TOLD:
            yield f"  and {len(recording.bad) - BAD_LINES_TOLD} more"


def summary_lines(
    tally: Tally, outcome: Outcome, span: tuple[datetime, datetime], zone: ZoneInfo, *, names: Collection[str]
) -> Iterator[str]:
    """Yield which of the receivers with these `names` was told how much, of what, and what nobody was told."""
    begun, over = (at.astimezone(zone) for at in span)
    yield f"from {begun:%Y-%m-%d %H:%M:%S} to {over:%Y-%m-%d %H:%M:%S} {zone_name(over)}"
    yield ""
    yield from _table(list(_receiver_rows(tally, names)))
    yield ""
    yield from _table(list(_reason_rows(tally, names)))
    yield ""
    yield from _fate_lines(tally, outcome, names)


def summary_object(
    tally: Tally, outcome: Outcome, recording: Recording, *, names: Collection[str]
) -> dict[str, Any]:
    """Return the same as an object of JSON."""
    return {
        "lines": recording.lines,
        "bad_lines": len(recording.bad),
        "receivers": {name: _received_object(tally.received[name]) for name in names},
        "reasons": dict(tally.heard.most_common()),
        "problems": {fate.value: tally.count(fate)[0] for fate in Fate},
        "held_by": {by: {"problems": found[0], "occurrences": found[1]} for by, found in tally.held().items()},
        "dropped": outcome.counters.dropped,
        "needless": outcome.counters.needless,
        "waiting": {name: count for name, count in outcome.waiting.items() if name in names},
        "unrendered": {name: count for name, count in outcome.unrendered.items() if name in names},
    }


def _received_object(received: Received) -> dict[str, Any]:
    return {
        "messages": received.messages,
        "occurrences": received.occurrences,
        "causes": dict(received.causes),
        "reasons": dict(received.reasons.most_common()),
    }


def _receiver_rows(tally: Tally, names: Collection[str]) -> Iterator[tuple[str, ...]]:
    shown = {name: tally.received[name] for name in names}
    causes = [cause for cause in CAUSES if any(received.causes[cause] for received in shown.values())]
    yield ("receiver", "messages", *causes, "occurrences", "per message")
    for name, received in shown.items():
        ratio = f"{received.occurrences / received.messages:.1f}" if received.messages else "-"
        by_cause = (str(received.causes[cause]) for cause in causes)
        yield (name, str(received.messages), *by_cause, str(received.occurrences), ratio)


def _reason_rows(tally: Tally, names: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yield how often each reason was heard of, and how many messages to whom name it."""
    shown = [tally.received[name] for name in names]
    named = {reason for received in shown for reason in received.reasons}
    yield ("reason", "occurrences", *names)
    for reason in sorted({*tally.heard, *named}, key=lambda reason: (-tally.heard[reason], reason)):
        told = (str(received.reasons[reason]) for received in shown)
        yield (one_line(reason), str(tally.heard[reason]), *told)


def _fate_lines(tally: Tally, outcome: Outcome, names: Collection[str]) -> Iterator[str]:
    for count, noun, rest in _fates(tally, outcome, names):
        if count:
            yield f"{count:>6} {plural(count, noun)} {rest}"


def _fates(tally: Tally, outcome: Outcome, names: Collection[str]) -> Iterator[tuple[int, str, str]]:
    words = {
        Fate.NAMED: "told by name",
        Fate.DIGESTED: "counted in a digest",
        Fate.WAITING: "not due by the end",
    }
    for fate, said in words.items():
        problems, occurrences = tally.count(fate)
        yield problems, "problem", f"with {counted(occurrences, 'occurrence')}: {said}"
    for by, (problems, occurrences) in tally.held().items():
        yield problems, "problem", f"with {counted(occurrences, 'occurrence')}: held by {one_line(by)}"
    yield outcome.counters.dropped, "state", "of events: told to nobody, as routes say"
    yield outcome.counters.needless, "recovery", "of nothing that had been heard of"
    for name in names:
        yield outcome.waiting.get(name, 0), "message", f"to {name}: waiting for its rate limit at the end"
        yield outcome.unrendered.get(name, 0), "message", f"to {name}: cannot be rendered"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines with columns as wide as they have to be: names to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *others in rows:
        cells = [
            f"{first:<{widths[0]}}",
            *(f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)),
        ]
        yield "  ".join(cells)
