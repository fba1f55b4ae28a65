"""What tocsin itself has to say about a cluster; it takes the way of any event, to whom the routes say. Pure.

Digests do not: each is for one receiver.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tocsin_schemas.event import VERSION, Counter, EpochSeconds, EventPayload

#: Kind of the involved object and reporting component of every notice.
KIND: Final = "Cluster"
COMPONENT: Final = "tocsin"
#: What all clusters are called where the name of one has to stand.
FLEET_NAME: Final = "fleet"


class Reason(StrEnum):
    """What a notice is about, as routes match it."""

    OFFLINE = "ClusterOffline"
    ONLINE = "ClusterOnline"
    NEVER_SEEN = "ClusterNeverSeen"
    UNSTABLE = "ClusterUnstable"
    LOST = "EventsLost"
    HELD = "EventsHeld"
    STORM = "EventStorm"
    CALM = "EventStormOver"
    BACKLOG = "NotificationsMerged"


#: Of storms, and of what was merged: these go to the receiver that they are about, and no other way.
DIGESTS: Final = frozenset({Reason.STORM, Reason.CALM, Reason.BACKLOG})


class Facts(BaseModel):
    """What a notice has beyond the fields of an event; each stands beside them in the payload."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    #: Why a cluster counts as offline: the broker said so, or nothing was heard of it.
    cause: Literal["status", "silence"] | None = None
    offline_since: EpochSeconds | None = None
    last_heard: EpochSeconds | None = None
    expected_since: EpochSeconds | None = None
    online_since: EpochSeconds | None = None
    away_seconds: Counter | None = None
    #: Events that wait in the producer's outbox: when it came back, or as the budget for its link is spent.
    held: Counter | None = None
    #: Since when losses were noticed that are told now.
    lost_since: EpochSeconds | None = None
    #: Events that are lost: all, those that a full outbox gave up, and those that were published and never came.
    lost: Counter | None = None
    lost_in_outbox: Counter | None = None
    lost_at_broker: Counter | None = None
    #: How often the link has dropped of late, and how long its state has to hold from now on to be told.
    drops: Counter | None = None
    hold_seconds: Counter | None = None
    #: Of a storm, or of what was merged: its incidents, those of them that go on, their problems and occurrences.
    storm_since: EpochSeconds | None = None
    incidents: Counter | None = None
    going_on: Counter | None = None
    problems: Counter | None = None
    occurrences: Counter | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell about one cluster; `since` is when it began, `at` when it was decided."""

    reason: Reason
    cluster: str
    boot: int
    since: datetime
    at: datetime
    facts: Facts


def as_event(notice: Notice, *, uid: str, message: str) -> EventPayload:
    """Return `notice` in the form of an event, whose `message` is for those who read nothing else of it."""
    at = int(notice.at.timestamp())
    fields = {
        "v": VERSION,
        "cluster": notice.cluster,
        "type": "Normal" if notice.reason in (Reason.ONLINE, Reason.CALM) else "Warning",
        "reason": notice.reason.value,
        "kind": KIND,
        "name": notice.cluster,
        "msg": message,
        "count": 1,
        "first": min(at, int(notice.since.timestamp())),
        "last": at,
        "from": COMPONENT,
        "uid": uid,
        "boot": notice.boot,
        "seq": 0,
    }
    return EventPayload.model_validate(fields | notice.facts.model_dump(exclude_none=True))


def facts_of(event: EventPayload) -> tuple[Reason, Facts] | None:
    """Return what `event` says beyond its fields if it is a notice, and None if it is any other event."""
    if event.kind != KIND or event.from_ != COMPONENT or event.reason not in set(Reason):
        return None
    try:
        return Reason(event.reason), Facts.model_validate(event.model_extra or {})
    except ValidationError:  # from a cluster that says so: it is an event like any other
        return None


def is_digest(event: EventPayload) -> bool:
    """Tell whether `event` is a digest, to which neither routes nor silences nor inhibition apply."""
    notice = facts_of(event)
    return notice is not None and notice[0] in DIGESTS
