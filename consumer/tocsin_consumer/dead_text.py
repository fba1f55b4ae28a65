"""How dead letters are told, in a line each or whole. Pure."""

import json
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from tocsin_consumer.dead_letter import DeadLetter
from tocsin_consumer.incident import Incident
from tocsin_consumer.incident_text import digest_of, what
from tocsin_consumer.inert import inert, one_line, shortened
from tocsin_consumer.labels import zone_name
from tocsin_schemas.event import EventPayload

_SHOWN: Final = 100


def dead_line(letter: DeadLetter, incident: Incident | None, time_zone: ZoneInfo) -> str:
    """Return when it was given up, what it is and why, in a line; `incident` is the one that it was about."""
    about = shortened(_about(letter, incident), _SHOWN)
    return one_line(f"{letter.id:>6}  {_time(letter, time_zone)}  {letter.kind:<8}  {about}: {letter.reason}")


def dead_object(letter: DeadLetter, incident: Incident | None) -> dict[str, Any]:
    """Return what there is of it, in plain JSON values."""
    found = {
        "id": letter.id,
        "kind": letter.kind.value,
        "at": letter.at.isoformat(timespec="seconds"),
        "reason": letter.reason,
        "topic": letter.topic,
        "receiver": letter.receiver,
        "incident": letter.incident,
        "storm": letter.storm,
        "about": None if letter.receiver is None else _subject(letter, incident),
        "payload": None if letter.payload is None else letter.payload.decode("utf-8", "backslashreplace"),
    }
    return {name: value for name, value in found.items() if value is not None}


def dead_text(letter: DeadLetter, incident: Incident | None, time_zone: ZoneInfo) -> str:
    """Return all of it, a name and its value a line; a payload that is JSON is laid out."""
    found = dead_object(letter, incident) | {"at": _time(letter, time_zone)}
    payload = found.pop("payload", None)
    lines = [f"{name:<9} {one_line(str(value))}" for name, value in found.items()]
    return "\n".join(lines if payload is None else [*lines, f"{'payload':<9} {inert(_laid_out(payload))}"])


def _time(letter: DeadLetter, time_zone: ZoneInfo) -> str:
    at = letter.at.astimezone(time_zone)
    return f"{at:%Y-%m-%d %H:%M:%S} {zone_name(at)}"


def _about(letter: DeadLetter, incident: Incident | None) -> str:
    """Return where it comes from or was to go, and what it was about, in a few words."""
    if letter.receiver is None:
        return letter.topic or ""
    return f"{letter.receiver}: {_subject(letter, incident)}"


def _subject(letter: DeadLetter, incident: Incident | None) -> str:
    if letter.incident is not None:
        return f"incident {letter.incident}" + (f", {what(incident)}" if incident else "")
    return f"the {digest_of(letter.storm)}" if letter.storm else _event(letter.payload or b"")


def _event(payload: bytes) -> str:
    try:
        event = EventPayload.model_validate_json(payload)
    except ValidationError:
        return "an event that cannot be read"
    name = f"{event.ns}/{event.name}" if event.ns else event.name
    return f"{event.cluster} {event.reason} {event.kind} {name}"


def _laid_out(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return payload
