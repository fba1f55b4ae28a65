"""How it is told where an event would go: in lines, and as an object of JSON. Pure; values act on no terminal."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from tocsin_consumer.explain import DEFAULT, Explanation, Field, Option, Share, Step
from tocsin_consumer.inert import one_line, shortened
from tocsin_consumer.labels import duration
from tocsin_consumer.recovery import Ended
from tocsin_consumer.route import Verdict

_VALUE_LIMIT: Final = 80
#: Where a digest goes, and that nothing else has a say in it.
DIGEST: Final = "the receiver whose storm or backlog it is: no route, silence or inhibition applies to a digest"


def explanation_lines(found: Explanation) -> Iterator[str]:
    """Yield every step, and what follows from it."""
    return map(one_line, _lines(found))


def _lines(found: Explanation) -> Iterator[str]:
    event = found.event
    where = f"{event.cluster} {found.texts['namespace']}"
    yield f"event       {where} {event.kind} {event.name}: {event.reason} ({found.texts['severity']})"
    if found.is_digest:
        yield f"told        {DIGEST}"
        return
    for step in found.steps:
        yield f"step        {'  ' * step.route.name.count('.')}{step.route.name} {_did(step)}"
    for share in found.shares:
        yield from _share_lines(share, found)
    yield f"recovery    {_recovery(found)}"
    yield f"inhibition  {_inhibition(found)}"


def _did(step: Step) -> str:
    match step.verdict:
        case None:
            return f"is not asked: {step.taken_by} has taken it"
        case Verdict.REFUSES:
            failed = ", ".join(
                f"{_pattern(field)}, found {_value(field)}" for field in step.fields if not field.holds
            )
            return f"refuses: expected {failed}"
        case Verdict.DROPS:
            return f"{_held(step.fields)}drops it: drop[{step.drop}] has {_all(step.drop_fields)}"
        case Verdict.PASSES_ON:
            return f"{_held(step.fields)}passes it on"
    goes_on = ", and those behind it are asked as well" if step.route.goes_on else ""
    return f"{_held(step.fields)}takes it{goes_on}"


def _held(fields: Iterable[Field]) -> str:
    held = _all(fields)
    return f"has {held}, " if held != _EVERYTHING else ""


_EVERYTHING: Final = "every event"


def _all(fields: Iterable[Field]) -> str:
    return ", ".join(f"{_pattern(field)} ({_value(field)})" for field in fields) or _EVERYTHING


def _pattern(field: Field) -> str:
    pattern = field.pattern
    return f"{field.name}={'|'.join(pattern) if isinstance(pattern, list) else pattern}"


def _value(field: Field) -> str:
    return repr(shortened(field.value, _VALUE_LIMIT))


def _share_lines(share: Share, found: Explanation) -> Iterator[str]:
    node = share.taken.route
    for name in share.taken.grouped if not found.is_recovery else ():
        yield f"told        {name}, told of the incident ({_from(node.name, share.receivers_origin)})"
    for name in share.taken.single:
        yield f"told        {name}, told of each event as it comes ({_from(node.name, share.receivers_origin)})"
    for name in share.told_before:
        yield f"told        {name}, by a node before {node.name}"
    if not share.taken.grouped and not share.taken.single and not share.told_before:
        yield f"told        nobody by {node.name}"
    if share.taken.grouped and not found.is_recovery:
        group = ", ".join(f"{name}={shortened(value, _VALUE_LIMIT)!r}" for name, value in share.group)
        yield f"group       {group or 'every event that the node takes'}"
        yield from (f"option      {_option(option, node.name)}" for option in share.options)


def _option(option: Option, node: str) -> str:
    return f"{option.name} {_shown(option.value)} ({_from(node, option.origin)})"


def _from(node: str, origin: str) -> str:
    if origin == DEFAULT:
        return "by default"
    return f"from {node}" if origin == node else f"inherited from {origin}"


def _shown(value: object) -> str:
    match value:
        case timedelta():
            return duration(value, "en")
        case bool():
            return str(value).lower()
    return str(value) or "nothing"


def _recovery(found: Explanation) -> str:
    if not found.ends:
        lasts = "until its end is said" if found.stands else "until nothing is heard of it for quiet_after"
        return f"it ends nothing; a problem goes on {lasts}"
    ends = f"it ends {', '.join(map(_ended, found.ends))}, where that goes on"
    if not found.is_recovery:
        return ends
    return f"{ends}; who was told of that is told, whoever the routes say, and it is part of no other incident"


def _ended(one: Ended) -> str:
    if one.object is None:
        return f"{one.reason} of every {one.kind} of {one.cluster}"
    return f"{one.reason} of {one.kind} {'/'.join(filter(None, one.object))}"


def _inhibition(found: Explanation) -> str:
    parts = [f"it holds others by the rule {name} while it goes on" for name in found.source_of]
    parts += [f"others may hold it by the rule {name}" for name in found.target_of]
    return "; ".join(parts) or "it holds nothing, and nothing can hold it"


def explanation_object(found: Explanation) -> dict[str, Any]:
    """Return the same as an object of JSON."""
    return {
        "event": found.event.model_dump(by_alias=True, exclude_none=True),
        "steps": [_step_object(step) for step in found.steps],
        "told": [_share_object(share) for share in found.shares],
        "is_recovery": found.is_recovery,
        "ends": [_ended_object(one) for one in found.ends],
        "stands": found.stands,
        "source_of": list(found.source_of),
        "target_of": list(found.target_of),
        "is_digest": found.is_digest,
    }


def _step_object(step: Step) -> dict[str, Any]:
    return {
        "route": step.route.name,
        "verdict": step.verdict.value if step.verdict else "not asked",
        "fields": [_field_object(field) for field in step.fields],
        "drop": step.drop,
        "drop_fields": [_field_object(field) for field in step.drop_fields],
        "taken_by": step.taken_by,
    }


def _field_object(field: Field) -> dict[str, Any]:
    return {"name": field.name, "pattern": field.pattern, "value": field.value, "holds": field.holds}


def _share_object(share: Share) -> dict[str, Any]:
    return {
        "route": share.taken.route.name,
        "grouped": list(share.taken.grouped),
        "single": list(share.taken.single),
        "told_before": list(share.told_before),
        "receivers_from": share.receivers_origin,
        "group": dict(share.group),
        "options": {option.name: _option_object(option) for option in share.options},
    }


def _option_object(option: Option) -> dict[str, Any]:
    value = option.value
    return {"value": value.total_seconds() if isinstance(value, timedelta) else value, "from": option.origin}


def _ended_object(one: Ended) -> dict[str, Any]:
    namespace, name = one.object or (None, None)
    return {"cluster": one.cluster, "kind": one.kind, "reason": one.reason, "namespace": namespace, "name": name}
