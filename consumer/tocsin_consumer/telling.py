"""What really became of the telling of an incident, receiver by receiver. Pure.

For the engine a dead letter, and a place in a digest that is still to come, count as told: it goes on from there.
People want to know what arrived.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from tocsin_consumer.dispatch import Told
from tocsin_consumer.incident import Problem
from tocsin_consumer.records import Account, Gathered, Tried

#: States of deliveries after which nothing more becomes of them, whether they arrived or not.
_ENDS: Final = ("delivered", "dead")


class Fate(StrEnum):
    """What became of the last that a receiver was to be told."""

    TOLD = "told"
    #: It stood in a digest that was delivered.
    DIGESTED = "digested"
    #: It stands in a digest that waits to be delivered, or that is still to come.
    GATHERED = "gathered"
    #: It is a dead letter: by itself, or its digest is.
    GIVEN_UP = "given up"
    #: There was nothing left to tell before it was delivered.
    WITHDRAWN = "withdrawn"
    NOT_TOLD = "not told"


@dataclass(frozen=True, slots=True)
class Telling:
    """What one receiver knows of an incident."""

    fate: Fate
    #: When that came about; None of what is still to come.
    at: datetime | None = None
    #: Why it was given up.
    reason: str | None = None
    #: When the last message about it arrived, in a digest or by itself.
    delivered_at: datetime | None = None
    #: When a digest of its storms arrived in which it may have stood before, as it does in the next one.
    perhaps_at: datetime | None = None
    #: How far the telling has come, as the engine goes on from there.
    told: Told | None = None

    def tells_of(self, problem: Problem) -> bool:
        """Tell whether the receiver got a message that tells of `problem`."""
        if self.told is None or not self.told.tells_of(problem) or self.delivered_at is None:
            return False
        return self.fate in (Fate.TOLD, Fate.DIGESTED) or self.delivered_at >= problem.news_at

    def may_tell_of(self, problem: Problem) -> bool:
        """Tell whether a digest that the receiver got may have counted `problem`."""
        return self.perhaps_at is not None and self.perhaps_at >= problem.news_at


def telling(account: Account, receiver: str) -> Telling:
    """Return what a receiver knows of an incident."""
    told = account.told.get(receiver)
    own = [one for one in account.tries if one.receiver == receiver]
    last = max((one for one in own if one.state in _ENDS and one.settled_at), key=_settled, default=None)
    if last is not None and (told is None or _settled(last) >= told.at):
        return _as_settled(last, own, told)
    if told is not None:
        return _as_enrolled(account, receiver, own, told)
    withdrawn = [one for one in own if one.state == "withdrawn"]
    return Telling(Fate.WITHDRAWN, withdrawn[-1].settled_at) if withdrawn else Telling(Fate.NOT_TOLD)


def _as_settled(last: Tried, own: Sequence[Tried], told: Told | None) -> Telling:
    """Return what follows from the last message that told of nothing else."""
    delivered_at = _delivered_at(own)
    if last.state == "delivered":
        return Telling(Fate.TOLD, last.settled_at, delivered_at=delivered_at, told=told)
    return Telling(Fate.GIVEN_UP, last.settled_at, last.reason, delivered_at, told=told)


def _as_enrolled(account: Account, receiver: str, own: Sequence[Tried], told: Told) -> Telling:
    """Return what became of the first digest since it was part of a storm."""
    storms = [storm for storm in account.storms if storm.receiver == receiver]
    digests = [
        one for storm in storms for one in storm.digests if one.state == "pending" or _settled(one) >= told.at
    ]
    delivered = [_settled(one) for one in digests if one.state == "delivered"]
    if delivered:
        return Telling(Fate.DIGESTED, delivered[0], delivered_at=delivered[-1], told=told)
    found = Telling(
        Fate.GATHERED, delivered_at=_delivered_at(own), perhaps_at=_perhaps_at(account, storms), told=told
    )
    if any(storm.is_due for storm in storms) or any(one.state == "pending" for one in digests):
        return found
    dead = [one for one in digests if one.state == "dead"]
    if dead:
        return replace(found, fate=Fate.GIVEN_UP, at=dead[-1].settled_at, reason=dead[-1].reason)
    if storms:
        return replace(found, fate=Fate.GIVEN_UP, at=told.at, reason="there was no such receiver any more")
    return Telling(Fate.TOLD, told.at, delivered_at=told.at, told=told)  # the digest is too old to be kept


def _perhaps_at(account: Account, storms: Sequence[Gathered]) -> datetime | None:
    """Return when the last digest arrived since it opened; when it became part of a storm is not kept."""
    digests = [one for storm in storms for one in storm.digests if one.created_at >= account.incident.opened_at]
    return _delivered_at(digests)


def _delivered_at(tries: Sequence[Tried]) -> datetime | None:
    return max((_settled(one) for one in tries if one.state == "delivered"), default=None)


def _settled(one: Tried) -> datetime:
    return one.settled_at or one.created_at
