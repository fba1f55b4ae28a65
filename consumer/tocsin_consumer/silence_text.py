"""How silences are written on a command line, and told in lines. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from tocsin_consumer.inert import one_line
from tocsin_consumer.labels import zone_name
from tocsin_consumer.match import MatchSettings, match_words
from tocsin_consumer.severity import Severity
from tocsin_consumer.silence import RecurringSilence, Silence, Silenced, State
from tocsin_consumer.window import Span, shown
from tocsin_schemas.configuration import Document, explain
from tocsin_schemas.matching import compile_pattern

_TIME: Final = re.compile(
    r"(?P<wall>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?)(?P<offset>Z|[+-]\d\d:?\d\d)?( +(?P<zone>\S.*))?", re.ASCII
)
#: What looks like another field behind a comma, as Alertmanager writes several.
_ANOTHER: Final = re.compile(rf",\s*({'|'.join(MatchSettings.model_fields)})=")
#: Times beyond are slips of the finger; zones have no room for the last ones that a date can hold.
_YEARS: Final = range(1970, 9000)
#: What only a pattern matches that matches all.
_ANYTHING: Final = ("edge-1", "zq7/Ω 9")
#: Values of fields that have no others.
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {"type": ("Normal", "Warning"), "severity": tuple(Severity)}


def parse_match(texts: Iterable[str]) -> MatchSettings:
    """Return the match that is written as `FIELD=PATTERN`, one field each.

    Raises:
        ValueError: it is none; the text says all that is wrong.
    """
    fields: dict[str, str] = {}
    for text in texts:
        field, pattern = _field_and_pattern(text)
        if field in fields:
            raise ValueError(f"{field} stands there twice; write {field}={fields[field]}|{pattern}")
        fields[field] = pattern
    try:
        return MatchSettings.model_validate(fields)
    except ValidationError as error:
        problems = explain(error, MatchSettings, Document("", fields, {}), {})
        raise ValueError("; ".join(f"{problem.key}: {problem.message}" for problem in problems)) from error


def _field_and_pattern(text: str) -> tuple[str, str]:
    field, sign, pattern = text.partition("=")
    if not sign or not field:
        raise ValueError(f"expected FIELD=PATTERN such as cluster=edge-.*, found {text!r}")
    if field.endswith("!"):
        field, pattern = field[:-1], pattern.removeprefix("~")
        raise ValueError(f"{field}: there is no !=; write {field}=(?!{pattern}$).*")
    if _ANOTHER.search(pattern):
        raise ValueError(f"expected one field in each --match, found {text!r}; say --match again for the next")
    if pattern.startswith("~"):
        raise ValueError(f"every pattern is a regular expression; write {field}={pattern[1:]}")
    return field, pattern


def matches_everything(match: MatchSettings) -> bool:
    """Tell whether `match` leaves out hardly anything: each field that it names takes whatever comes."""
    return all(
        all(map(compile_pattern(pattern), _VALUES.get(field, _ANYTHING)))
        for field, pattern in match.model_dump(exclude_none=True).items()
    )


def parse_time(text: str, time_zone: ZoneInfo) -> datetime:
    """Return the time (UTC) that is written as 2026-11-27T06:00, in `time_zone` unless it names another.

    Of a time that clocks show twice, the first is meant.

    Raises:
        ValueError: it is none.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or (match["offset"] and match["zone"]):
        raise ValueError(
            f"expected a time such as 2026-11-27T06:00, 2026-11-27T06:00+08:00 "
            f"or '2026-11-27T06:00 Asia/Shanghai', found {text!r}"
        )
    zone = _zone(match["zone"]) if match["zone"] else time_zone
    try:
        at = datetime.fromisoformat(match["wall"] + (match["offset"] or ""))
    except ValueError as error:
        raise ValueError(f"there is no such time as {text!r}: {error}") from error
    if at.year not in _YEARS:
        raise ValueError(f"expected a time of this age, found {text!r}")
    found = at.astimezone(UTC) if at.tzinfo else shown(at, zone)
    if found is None:
        raise ValueError(f"there is no such time as {text!r}: the clocks of {zone} are put forward then")
    return found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # not found, a directory, not a name at all
        raise ValueError(f"there is no time zone {name!r}; expected an IANA name such as Asia/Shanghai") from error


def time_text(at: datetime, time_zone: ZoneInfo) -> str:
    """Return how a line tells a time."""
    local = at.astimezone(time_zone)
    return f"{local:%Y-%m-%d %H:%M} {zone_name(local)}"


def until_text(at: datetime | None, time_zone: ZoneInfo) -> str:
    """Return how a line tells an end; None is none."""
    return "for ever" if at is None else f"until {time_text(at, time_zone)}"


def stored_line(silence: Silence, now: datetime, time_zone: ZoneInfo) -> str:
    """Return the line of a silence in a list."""
    state = silence.state(now)
    if state == State.EXPIRED:
        when = f"ended {time_text(silence.ends_at, time_zone)}"
    else:
        when = _when(Span(silence.starts_at, silence.ends_at), state, time_zone)
    return _line(silence.id, state, when, match_words(silence.match), _why(silence.author, silence.comment))


def recurring_line(silence: RecurringSilence, span: Span, now: datetime, time_zone: ZoneInfo) -> str:
    """Return the line of a silence of the configuration, whose current or next window is `span`."""
    state = _state(span, now)
    when = _when(span, state, time_zone)
    return _line(silence.name, state, when, match_words(silence.match), _why(silence.author, silence.comment))


def held_line(held: Silenced, time_zone: ZoneInfo) -> str:
    """Return the line of what holds an event."""
    return one_line(f"{held} {until_text(held.until, time_zone)}{_why(held.author, held.comment)}")


def _state(span: Span, now: datetime) -> State:
    return State.ACTIVE if span.start <= now else State.PENDING


def _when(span: Span, state: State, time_zone: ZoneInfo) -> str:
    until = until_text(span.end, time_zone)
    return until if state == State.ACTIVE else f"{time_text(span.start, time_zone)} {until}"


def _line(name: str, state: State, when: str, match: str, why: str) -> str:
    return one_line(f"{name:<6} {state:<8} {when}  {match or 'everything'}{why}")


def _why(author: str, comment: str) -> str:
    return f"  ({': '.join(filter(None, (author, comment)))})" if author or comment else ""


def stored_object(silence: Silence, now: datetime) -> dict[str, Any]:
    """Return a silence as an object of JSON."""
    return {
        "kind": "silence",
        "id": silence.id,
        "state": silence.state(now).value,
        "match": silence.match.model_dump(exclude_none=True),
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "author": silence.author,
        "comment": silence.comment,
        "created_at": silence.created_at.isoformat(),
    }


def recurring_object(silence: RecurringSilence, span: Span, now: datetime) -> dict[str, Any]:
    """Return a silence of the configuration as an object of JSON, with its current or next window."""
    return {
        "kind": "window",
        "name": silence.name,
        "state": _state(span, now).value,
        "match": silence.match.model_dump(exclude_none=True),
        "starts_at": span.start.isoformat(),
        "ends_at": span.end.isoformat() if span.end else None,
        "author": silence.author,
        "comment": silence.comment,
    }
