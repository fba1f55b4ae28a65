"""How incidents are told as objects of JSON. Pure."""

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from tocsin_consumer.clock import local_time
from tocsin_consumer.incident import Problem
from tocsin_consumer.incident_text import by_severity, is_told, receivers_of, severity_had, state_of, worst
from tocsin_consumer.records import Account, Tried
from tocsin_consumer.telling import telling

_UTC: Final = ZoneInfo("UTC")


def incident_object(account: Account) -> dict[str, Any]:
    """Return an incident as an object of JSON."""
    incident = account.incident
    return {
        "id": incident.id,
        "state": state_of(incident),
        "opened_at": incident.opened_at.isoformat(),
        "closed_at": _iso(incident.closed_at),
        "due_at": _iso(incident.due_at),
        "severity": worst(incident).value,
        "group": dict(incident.group),
        "occurrences": incident.occurrences,
        "beyond": incident.beyond,
        "lines": [_problem_object(account, problem) for problem in by_severity(incident)],
        "receivers": [_receiver_object(account, receiver) for receiver in receivers_of(account)],
    }


def detail_object(account: Account, *, route: str | None) -> dict[str, Any]:
    """Return all there is to say of an incident as an object of JSON."""
    return incident_object(account) | {
        "route": route,
        "deliveries": [_tried_object(one) for one in account.history],
    }


def _problem_object(account: Account, problem: Problem) -> dict[str, Any]:
    return {
        **problem.key._asdict(),
        "severity": severity_had(problem).value,
        "ended": problem.end and problem.end.value,
        "muted_by": problem.muted_by,
        "is_told": is_told(account, problem),
        "objects": dict(problem.objects),
        "has_more": problem.has_more,
        "occurrences": problem.occurrences,
        "began_at": local_time(problem.began_at, _UTC).isoformat(),
        "last_at": local_time(problem.event.last, _UTC).isoformat(),
        "message": problem.event.msg,
    }


def _receiver_object(account: Account, receiver: str) -> dict[str, Any]:
    found = telling(account, receiver)
    return {
        "name": receiver,
        "fate": found.fate.value,
        "at": _iso(found.at),
        "reason": found.reason,
        "told_at": _iso(found.delivered_at),
        "perhaps_told_at": _iso(found.perhaps_at),
        "pending": receiver in account.pending,
    }


def _tried_object(one: Tried) -> dict[str, Any]:
    return {
        "receiver": one.receiver,
        "cause": one.cause and one.cause.value,
        "storm": one.storm,
        "state": one.state,
        "attempts": one.attempts,
        "reason": one.reason,
        "created_at": one.created_at.isoformat(),
        "due_at": one.due_at.isoformat(),
        "settled_at": _iso(one.settled_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
