"""How a replay is told, in lines and as objects of JSON. Pure; what clusters wrote acts on no terminal."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from tocsin_consumer.digest import Digest
from tocsin_consumer.inert import one_line
from tocsin_consumer.labels import Language, zone_name
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
        return f"{view.cluster}: {view.headline}: {notification.report.incidents} incidents: {named}"
    objects = f"({view.objects_label})" if view.line_count == 1 and view.objects_label else ""
    return " ".join(filter(None, (f"{view.cluster}: {view.headline}", objects, view.times)))


def recording_lines(recording: Recording, published: int) -> Iterator[str]:
    """Yield what was read, and the first of what was not understood; `published` is how much of it would come."""
    watched = sum(one.is_watched for one in recording.recorded)
    yield f"read {recording.lines} lines, of which {published} say what a consumer is sent"
    if watched:
        yield f"{watched} are Events of Kubernetes, of which a producer publishes what is new"
    if recording.passed_over:
        yield f"{recording.passed_over} say nothing that is told"
    if recording.bad:
        yield f"{len(recording.bad)} are not understood"
        yield from (f"  {bad}" for bad in map(one_line, map(str, recording.bad[:BAD_LINES_TOLD])))
        if len(recording.bad) > BAD_LINES_TOLD:
            yield f"  and {len(recording.bad) - BAD_LINES_TOLD} more"


def summary_lines(tally: Tally, outcome: Outcome, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[str]:
    """Yield who was told how much, of what, and what nobody was told."""
    begun, over = start.astimezone(zone), end.astimezone(zone)
    yield f"from {begun:%Y-%m-%d %H:%M:%S} to {over:%Y-%m-%d %H:%M:%S} {zone_name(over)}"
    yield ""
    yield from _table(list(_receiver_rows(tally)))
    yield ""
    yield from _table(list(_reason_rows(tally)))
    yield ""
    yield from _fate_lines(tally, outcome)


def summary_object(tally: Tally, outcome: Outcome, recording: Recording) -> dict[str, Any]:
    """Return the same as an object of JSON."""
    return {
        "lines": recording.lines,
        "bad_lines": len(recording.bad),
        "receivers": {name: _received_object(received) for name, received in tally.received.items()},
        "reasons": dict(tally.heard.most_common()),
        "problems": {fate.value: tally.count(fate)[0] for fate in Fate},
        "held_by": {by: {"problems": found[0], "occurrences": found[1]} for by, found in tally.held().items()},
        "dropped": outcome.counters.dropped,
        "needless": outcome.counters.needless,
        "waiting": outcome.waiting,
        "unrendered": outcome.unrendered,
    }


def _received_object(received: Received) -> dict[str, Any]:
    return {
        "messages": received.messages,
        "occurrences": received.occurrences,
        "causes": dict(received.causes),
        "reasons": dict(received.reasons.most_common()),
    }


def _receiver_rows(tally: Tally) -> Iterator[tuple[str, ...]]:
    causes = [cause for cause in CAUSES if any(received.causes[cause] for received in tally.received.values())]
    yield ("receiver", "messages", *causes, "occurrences", "per message")
    for name, received in tally.received.items():
        ratio = f"{received.occurrences / received.messages:.1f}" if received.messages else "-"
        by_cause = (str(received.causes[cause]) for cause in causes)
        yield (name, str(received.messages), *by_cause, str(received.occurrences), ratio)


def _reason_rows(tally: Tally) -> Iterator[tuple[str, ...]]:
    """Yield how often each reason was heard of, and how many messages to whom name it."""
    named = {reason for received in tally.received.values() for reason in received.reasons}
    yield ("reason", "occurrences", *tally.received)
    for reason in sorted({*tally.heard, *named}, key=lambda reason: (-tally.heard[reason], reason)):
        told = (str(received.reasons[reason]) for received in tally.received.values())
        yield (one_line(reason), str(tally.heard[reason]), *told)


def _fate_lines(tally: Tally, outcome: Outcome) -> Iterator[str]:
    for what, count in _fates(tally, outcome):
        if count:
            yield f"{count:>6} {what}"


def _fates(tally: Tally, outcome: Outcome) -> Iterator[tuple[str, int]]:
    words = {
        Fate.NAMED: "stood in a message by themselves",
        Fate.DIGESTED: "were counted in a digest",
        Fate.WAITING: "were not due by the end",
    }
    for fate, said in words.items():
        problems, occurrences = tally.count(fate)
        yield f"problems with {occurrences} occurrences {said}", problems
    for by, (problems, occurrences) in tally.held().items():
        yield f"problems with {occurrences} occurrences were held by {one_line(by)}", problems
    yield "states of events went to nobody, as routes say", outcome.counters.dropped
    yield "recoveries were of nothing that had been heard of", outcome.counters.needless
    for name, count in outcome.waiting.items():
        yield f"messages to {name} still waited at the end, for its rate limit", count
    for name, count in outcome.unrendered.items():
        yield f"messages to {name} could not be rendered", count


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines with columns as wide as they have to be: names to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *others in rows:
        cells = [
            f"{first:<{widths[0]}}",
            *(f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)),
        ]
        yield "  ".join(cells)
