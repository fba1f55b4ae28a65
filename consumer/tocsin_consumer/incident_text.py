"""How incidents are told in lines. Pure; what clusters wrote acts on no terminal."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from tocsin_consumer.clock import local_time
from tocsin_consumer.digest import BACKLOG, FLEET
from tocsin_consumer.dispatch import Told
from tocsin_consumer.incident import End, Incident, Problem, State
from tocsin_consumer.inert import one_line, shortened
from tocsin_consumer.labels import counted
from tocsin_consumer.records import Account, Tried
from tocsin_consumer.recovery import NODE
from tocsin_consumer.severity import Severity, severity
from tocsin_consumer.silence_text import time_text
from tocsin_consumer.telling import Fate, Telling, telling

#: Names that a line tells one by one, and characters of what clusters wrote.
_NAME_LIMIT: Final = 3
_TEXT_LIMIT: Final = 200
#: What became of deliveries, where people would say it otherwise than the store does.
_STATES: Final = {
    "dead": "given up",
    "merged": "merged into a digest",
    "withdrawn": "withdrawn, as there was nothing left to tell,",
}
_RANKS: Final = {level: rank for rank, level in enumerate(Severity)}


def incident_line(account: Account, time_zone: ZoneInfo) -> str:
    """Return the line of an incident in a list."""
    incident = account.incident
    parts = (
        f"{incident.id:<6} {state_of(incident):<9} {_span(incident, time_zone)}",
        f"{worst(incident):<9} {what(incident)}",
        f"{counted(_objects(incident), 'object')}, {counted(incident.occurrences, 'occurrence')}",
        _told_of_all(account, time_zone),
        *_muted(incident),
    )
    return one_line("  ".join(parts))


def detail_lines(account: Account, *, route: str | None, now: datetime, time_zone: ZoneInfo) -> Iterator[str]:
    """Yield all there is to say of an incident; `route` is the name of the node that it belongs to, if any."""
    return map(one_line, _detail_lines(account, route, now=now, time_zone=time_zone))


def _detail_lines(account: Account, route: str | None, *, now: datetime, time_zone: ZoneInfo) -> Iterator[str]:
    incident = account.incident
    yield f"incident    {incident.id}: {what(incident)}"
    yield f"state       {state_of(incident)}: {_span(incident, time_zone)}, {worst(incident)} at the worst"
    yield f"next        {_next(incident, now, time_zone)}"
    group = " ".join(f"{name}={value}" for name, value in incident.group)
    yield f"group       {group or 'all events of the route'}"
    yield f"route       {route or 'not in the configuration any more'}"
    yield f"occurrences {incident.occurrences}" + (
        f", of which {incident.beyond} of problems that are not told apart" if incident.beyond else ""
    )
    for problem in by_severity(incident):
        yield from _problem_lines(account, problem, time_zone)
    for receiver in receivers_of(account):
        yield f"receiver    {receiver}: {_told(account, receiver, time_zone)}"
    if not receivers_of(account):
        yield "receiver    none: it only inhibits others"
    for one in account.history:
        yield f"delivery    {_tried(one, time_zone)}"


def what(incident: Incident) -> str:
    """Return what an incident is about: `edge-1: BackOff of Pod shop/api-0`, or `… of 12 objects in shop`."""
    problems = by_severity(incident)
    clusters = some([problem.key.cluster for problem in problems])
    reasons = some([problem.key.reason for problem in problems])
    owners = list(dict.fromkeys(_owner(problem) for problem in problems))
    if len(owners) == 1:
        return f"{clusters}: {reasons} of {owners[0]}"
    namespaces = {problem.key.namespace for problem in problems}
    where = f" in {max(namespaces)}" if len(namespaces) == 1 and any(namespaces) else ""
    return f"{clusters}: {reasons} of {counted(_objects(incident), 'object')}{where}"


def digest_of(storm: str) -> str:
    """Return what a digest is of, by the id of its storm (records.Storm)."""
    scope = storm.split("/")[-2]
    names = {FLEET: "a storm of all clusters", BACKLOG: "what was merged"}
    return f"digest of {names.get(scope, f'a storm of {scope}')}"


def worst(incident: Incident) -> Severity:
    """Return the worst severity of all that is part of it, or was."""
    return min(map(severity_had, incident.problems.values()), key=_RANKS.__getitem__, default=Severity.INFO)


def severity_had(problem: Problem) -> Severity:
    """Return how bad a problem is, or was until it ended.

    Of one that is recovered, only the event of its end is kept: it is as bad as its reason is. The conditions of
    nodes are of type Normal whatever they say, and what else has an end is a Warning.
    """
    if problem.end != End.RECOVERED:
        return severity(problem.event)
    kind = problem.key.kind
    before = {"reason": problem.key.reason, "kind": kind, "type": "Normal" if kind == NODE else "Warning"}
    return severity(problem.event.model_copy(update=before))


def state_of(incident: Incident) -> str:
    """Return in a word what it is by now."""
    return "closed" if incident.closed_at else incident.state.value


def _span(incident: Incident, time_zone: ZoneInfo) -> str:
    """Return since when it is, and if it is over, since when that is."""
    opened = time_text(incident.opened_at, time_zone)
    if incident.closed_at is not None:
        return f"opened {opened}, closed {time_text(incident.closed_at, time_zone)}"
    heard_at = max((one.heard_at for one in incident.problems.values()), default=incident.opened_at)
    heard = time_text(heard_at, time_zone)
    match incident.state:
        case State.RECOVERED:
            return f"opened {opened}, recovered {heard}"
        case State.QUIET:
            return f"opened {opened}, last heard {heard}"
    return f"since {opened}"


def _next(incident: Incident, now: datetime, time_zone: ZoneInfo) -> str:
    if incident.closed_at is not None:
        return f"nothing: closed {time_text(incident.closed_at, time_zone)}"
    if incident.due_at is None:
        return "nothing until something is heard"
    return f"looked at {time_text(max(incident.due_at, now), time_zone)}, or when something is heard"


def _problem_lines(account: Account, problem: Problem, time_zone: ZoneInfo) -> Iterator[str]:
    began, last = (_of_epoch(seconds, time_zone) for seconds in (problem.began_at, problem.event.last))
    state = "goes on" if problem.end is None else problem.end.value
    muted = f", muted by {problem.muted_by}" if problem.muted_by else ""
    told = _telling(account, problem)
    yield f"line        {severity_had(problem)}: {problem.key.reason} of {_owner(problem)}, {state}{muted}{told}"
    yield f"            {counted(problem.occurrences, 'occurrence')}, {began} to {last}"
    yield f"            objects: {_object_names(problem)}"
    yield f"            {shortened(one_line(problem.event.msg), _TEXT_LIMIT)}"


def _telling(account: Account, problem: Problem) -> str:
    """Return whether a problem that nobody was told of may still be told."""
    if is_told(account, problem):
        return ""
    if any(telling(account, receiver).may_tell_of(problem) for receiver in account.told):
        return ", perhaps told in a digest"
    if not account.incident.receivers:
        return ", told to nobody"
    is_over = account.incident.closed_at is not None or (problem.muted_by and not problem.goes_on)
    is_lost = all(telling(account, name).fate == Fate.GIVEN_UP for name in account.incident.receivers)
    return ", never told" if is_over else ", not told" if is_lost else ", not told yet"


def is_told(account: Account, problem: Problem) -> bool:
    """Tell whether any receiver got a message that tells of a problem."""
    return any(telling(account, receiver).tells_of(problem) for receiver in account.told)


def _object_names(problem: Problem) -> str:
    names = [name if goes_on else f"{name} (over)" for name, goes_on in problem.objects.items()]
    return ", ".join([*names, *(["and more"] if problem.has_more else [])])


def _told_of_all(account: Account, time_zone: ZoneInfo) -> str:
    receivers = receivers_of(account)
    if not receivers:
        return "nobody is told"
    return "; ".join(f"{name} {_told(account, name, time_zone)}" for name in receivers)


def _told(account: Account, receiver: str, time_zone: ZoneInfo) -> str:
    found = telling(account, receiver)
    return f"{_became(found, account.incident, time_zone)}{_before(found, time_zone)}{_pending(account, receiver)}"


def _pending(account: Account, receiver: str) -> str:
    """Return that a message is to go, and if it went wrong already, why."""
    if receiver not in account.pending:
        return ""
    failed = [one for one in account.tries if one.receiver == receiver and one.state == "pending" and one.attempts]
    tried = f", after {counted(failed[-1].attempts, 'try')}: {_cut(failed[-1].reason)}" if failed else ""
    return f"; one is pending{tried}"


def _became(found: Telling, incident: Incident, time_zone: ZoneInfo) -> str:
    at = time_text(found.at, time_zone) if found.at else ""
    match found.fate:
        case Fate.TOLD:
            return f"told {at}{_unknown(incident, found.told)}"
        case Fate.DIGESTED:
            return f"told in a digest {at}{_unknown(incident, found.told)}"
        case Fate.GATHERED:
            is_known = found.delivered_at or found.perhaps_at
            return f"{'' if is_known else 'not told yet: '}waits in a digest"
        case Fate.GIVEN_UP:
            return f"not told: given up {at}: {_cut(found.reason)}"
        case Fate.WITHDRAWN:
            return f"not told: withdrawn {at}, as there was nothing left to tell"
    return "not told"


def _before(found: Telling, time_zone: ZoneInfo) -> str:
    """Return when something else of it was told, if this was not."""
    if found.fate in (Fate.TOLD, Fate.DIGESTED):
        return ""
    if found.delivered_at is not None:
        return f"; told before, {time_text(found.delivered_at, time_zone)}"
    if found.perhaps_at is not None:
        return f"; the digest of {time_text(found.perhaps_at, time_zone)} may have told of it before"
    return ""


def _cut(reason: str | None) -> str:
    return shortened(one_line(reason or "no reason"), _TEXT_LIMIT)


def _unknown(incident: Incident, told: Told | None) -> str:
    """Return what has come since a receiver was told."""
    if told is None:
        return ""
    news = [problem.goes_on for problem in incident.problems.values() if problem.revision > told.revision]
    begun, over, since = news.count(True), news.count(False), max(0, incident.occurrences - told.occurrences)
    parts = [f"{begun} of news"] * bool(begun) + [f"{over} over"] * bool(over)
    parts += [counted(since, "occurrence")] * bool(since)
    return f" ({' and '.join(parts)} since)" if parts else ""


def receivers_of(account: Account) -> list[str]:
    """Return whom it concerns, and who was told of it, or was to be, although it no longer does."""
    tried = (one.receiver for one in account.tries)
    return list(dict.fromkeys((*account.incident.receivers, *account.told, *tried)))


def _muted(incident: Incident) -> Iterator[str]:
    muting = [problem.muted_by for problem in incident.problems.values() if problem.goes_on and problem.muted_by]
    if muting:
        going_on = sum(problem.goes_on for problem in incident.problems.values())
        yield f"{len(muting)} of {going_on} muted by {some(muting)}"


def _tried(one: Tried, time_zone: ZoneInfo) -> str:
    before = ", before that" if one.state == "delivered" else ""
    reason = f"{before}: {_cut(one.reason)}" if one.reason else ""
    why = digest_of(one.storm) if one.storm else one.cause
    if one.state == "pending":
        became = f"pending, due {time_text(one.due_at, time_zone)}"
    else:
        became = f"{_STATES.get(one.state, one.state)} {time_text(one.settled_at or one.due_at, time_zone)}"
    tries = f", {one.attempts} tries" if one.attempts > 1 or (one.attempts and one.state == "pending") else ""
    return f"{time_text(one.created_at, time_zone)} {one.receiver} ({why}): {became}{tries}{reason}"


def by_severity(incident: Incident) -> list[Problem]:
    """Return its problems: those that go on first, the worst first."""
    return sorted(
        incident.problems.values(), key=lambda one: (not one.goes_on, _RANKS[severity_had(one)], -one.event.last)
    )


def _objects(incident: Incident) -> int:
    return sum(len(problem.objects) for problem in incident.problems.values())


def _owner(problem: Problem) -> str:
    _, namespace, kind, owner, _ = problem.key
    return f"{kind} {namespace + '/' if namespace else ''}{owner}"


def some(names: Collection[str]) -> str:
    """Return the first of names, and how many more there are."""
    known = list(dict.fromkeys(names))
    more = len(known) - _NAME_LIMIT
    return ", ".join(known[:_NAME_LIMIT]) + (f" and {more} more" if more > 0 else "")


def _of_epoch(seconds: int, time_zone: ZoneInfo) -> str:
    return time_text(local_time(seconds, time_zone), time_zone)
