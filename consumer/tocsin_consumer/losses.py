"""Gathers what is known to be lost of each cluster, so that a streak of losses is few notices. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tocsin_consumer.notice import Facts, Notice, Reason

#: How long losses are gathered before the first notice, and how long it is quiet after each.
GATHER: Final = timedelta(minutes=1)
QUIET: Final = timedelta(hours=1)
#: No sum of losses gets any larger, whatever a cluster says: each stays a number that can be kept and told.
COUNT_LIMIT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost since it was told last; it is told, or forgotten if it is nothing, when `due_at` comes."""

    cluster: str
    since: datetime
    due_at: datetime
    #: Given up by the producer, whose outbox was full.
    in_outbox: int = 0
    #: Published by the producer, and never received.
    at_broker: int = 0


def total(*counts: int) -> int:
    """Return the sum of what was lost, up to the limit."""
    return min(COUNT_LIMIT, sum(counts))


def lose(before: Loss | None, cluster: str, *, in_outbox: int = 0, at_broker: int = 0, now: datetime) -> Loss:
    """Return what is to be told with these losses added."""
    loss = before or Loss(cluster, now, now + GATHER)
    if not loss.in_outbox + loss.at_broker:
        loss = replace(loss, since=now)
    return replace(loss, in_outbox=total(loss.in_outbox, in_outbox), at_broker=total(loss.at_broker, at_broker))


def wait_over(before: Loss, now: datetime) -> tuple[Loss | None, Notice | None]:
    """Return what is to be kept after the wait, and what is to be told."""
    lost = total(before.in_outbox, before.at_broker)
    if not lost:
        return None, None
    facts = Facts(
        lost_since=int(before.since.timestamp()),
        lost=lost,
        lost_in_outbox=before.in_outbox,
        lost_at_broker=before.at_broker,
    )
    notice = Notice(Reason.LOST, before.cluster, 0, since=before.since, at=now, facts=facts)
    return Loss(before.cluster, now, now + QUIET), notice
