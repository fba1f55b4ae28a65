"""Whether each cluster is there, and what to tell about it. Pure: states and times in, states and notices out.

What a state waits for is over at its `due_at`; whoever holds the states calls `wait_over` then. So a time is only
ever compared where a wrong clock does no harm.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from tocsin_consumer import losses
from tocsin_consumer.notice import Facts, Notice, Reason
from tocsin_schemas.status import StatusPayload

#: So many times a cluster is told to be offline, one soon after the other; then it is told to be unstable.
DROP_LIMIT: Final = 3
#: After so long at the latest, a producer says its status again.
RETELL: Final = timedelta(hours=1)
#: A link that holds for so long has calmed down.
CALM: Final = timedelta(hours=1)
#: While a link is unstable, its state is told once it has held for so long.
UNSTABLE_HOLD: Final = timedelta(minutes=30)


class Link(StrEnum):
    """What is known about a cluster."""

    UNSEEN = "unseen"
    ONLINE = "online"
    OFFLINE = "offline"
    #: It is said to be online, and nothing is heard: a broker that was killed publishes no wills.
    SILENT = "silent"


class Told(StrEnum):
    """What receivers believe about it."""

    PRESENT = "present"
    ABSENT = "absent"
    UNSTABLE = "unstable"


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a state has to last before it is told, and how long a cluster may be silent."""

    offline_after: timedelta
    steady_after: timedelta
    silent_after: timedelta

    @property
    def longest_break(self) -> timedelta:
        """The longest break of ours that says nothing about a cluster's silence.

        A broker whose queue was full has dropped what was said during it. So a cluster that is there may have
        said the last that we know up to a `RETELL` before it, and says the next up to a `RETELL` after it.
        """
        return self.silent_after - 2 * RETELL

    @property
    def longest(self) -> timedelta:
        """The longest wait of any state."""
        return max(self.offline_after, self.steady_after, self.silent_after, UNSTABLE_HOLD)


@dataclass(frozen=True, slots=True)
class Presence:
    """What is known about one cluster and what was told; everything that has to outlive the process."""

    cluster: str
    link: Link
    told: Told
    #: Since when the link is as it is.
    since: datetime
    #: When its wait is over; None while it waits for nothing but news.
    due_at: datetime | None = None
    boot: int = 0
    heard_at: datetime | None = None
    #: Since when it is away, as long as its return is not told.
    away_since: datetime | None = None
    #: How often it was told to be offline since the link was last calm.
    drops: int = 0
    #: Most events that waited for the link when it came back.
    held: int = 0
    #: The producer's own count of losses as it said it last, and by how much it rose during the absence.
    lost: int = 0
    lost_away: int = 0
    #: Events that may not go today as the budget for the link is spent, as the producer said it last.
    over_budget: int = 0


def expected(cluster: str, now: datetime, rules: Rules) -> Presence:
    """Return the state of a cluster that is configured and was never heard of."""
    return _waiting(Presence(cluster, Link.UNSEEN, Told.PRESENT, now), now, rules)


def on_event(before: Presence | None, cluster: str, boot: int, *, now: datetime, rules: Rules) -> Presence:
    """Return the state after an event of `boot` has come.

    An event of an older boot has been under way for long. One of the boot that went offline tells nothing about
    the link either: a broker may send again what came before.
    """
    if before is None:
        return _online(_new(cluster, boot, now), now, rules)
    if boot < before.boot:
        return before
    heard = replace(before, boot=boot, heard_at=now)
    if before.link == Link.ONLINE:
        return _still_online(heard, now, rules)
    if before.link == Link.OFFLINE and boot == before.boot:
        return heard
    return _online(heard, now, rules)


def on_status(
    before: Presence | None, status: StatusPayload, *, retained: bool, now: datetime, rules: Rules
) -> tuple[Presence, int]:
    """Return the state after a status, and how many events the producer has lost that nobody was told of.

    A copy that the broker had retained is no sign of life: it tells what was said last, whenever that was. Nor is
    a will, which the broker publishes itself.
    """
    known = before or _new(status.cluster, status.boot, now)
    if _is_stale(known, status):
        return known, 0
    is_alive = status.state == "online" and not retained
    count, lost = _count_losses(before, status)
    said = replace(known, boot=status.boot, lost=count)
    if is_alive:
        said = replace(said, heard_at=now, over_budget=status.held)
    if status.state == "offline":
        return (said if known.link == Link.OFFLINE else _offline(said, now, rules)), lost
    if known.told != Told.PRESENT:
        said = replace(said, held=max(said.held, status.waiting), lost_away=losses.total(said.lost_away, lost))
        lost = 0
    if known.link != Link.ONLINE:
        return (_online(said, now, rules) if is_alive or _is_news(known, status) else known), lost
    return (_still_online(said, now, rules) if is_alive else said), lost


def hold_begun(before: Presence | None, after: Presence, now: datetime) -> Notice | None:
    """Return what is to be told if the budget for the link has begun to hold events.

    It is told once, however many more there will be, until the producer has said that none is held.
    """
    if not after.over_budget or (before is not None and before.over_budget):
        return None
    return _notice(Reason.HELD, after, now, now, Facts(held=after.over_budget))


def listened_at(known: Presence, rules: Rules) -> datetime:
    """Return the last time of which this state shows that we listened."""
    if known.link == Link.ONLINE and known.told == Told.PRESENT and known.due_at is not None:
        return known.due_at - rules.silent_after
    return known.heard_at or known.since


def listened_anew(before: Presence, since: datetime, rules: Rules) -> Presence:
    """Return the state when we listen since `since`, after what was said for a while may have been lost.

    Silence counts from there, or from what was heard later; everything else goes on as it was.
    """
    if before.link != Link.ONLINE or before.told != Told.PRESENT:
        return before
    due_at = since + rules.silent_after
    return replace(before, due_at=max(due_at, before.due_at or due_at))


def wait_over(before: Presence, now: datetime, rules: Rules) -> tuple[Presence, Notice | None]:
    """Return the state after its wait, and what is to be told."""
    match before.link, before.told:
        case Link.ONLINE, Told.PRESENT:
            away_since = before.heard_at or before.since
            silent = replace(_leaving(before, now), link=Link.SILENT, since=now, away_since=away_since)
            return _tell_absence(silent, now, rules)
        case Link.ONLINE, _:
            return _tell_return(before, now, rules)
        case Link.UNSEEN, _:
            facts = Facts(expected_since=_epoch(before.since))
            told = replace(before, told=Told.ABSENT, due_at=None)
            return told, _notice(Reason.NEVER_SEEN, told, before.since, now, facts)
    return _tell_absence(before, now, rules)


def _new(cluster: str, boot: int, now: datetime) -> Presence:
    return Presence(cluster, Link.UNSEEN, Told.PRESENT, now, boot=boot)


def _is_stale(known: Presence, status: StatusPayload) -> bool:
    """Whether `status` is about the past.

    A will can come late, and then belongs to an older boot. An online cannot; that of an older boot comes from a
    producer which has lost its state and its clock, and is believed unless a newer one is online.
    """
    return status.boot < known.boot and (status.state == "offline" or known.link == Link.ONLINE)


def _is_news(known: Presence, status: StatusPayload) -> bool:
    """Whether a retained online can be younger than what is known.

    That of the boot which is away may come from a broker whose old state was put back. Where its absence is told,
    its return waits for a sign of life; where it is not, to believe it is the smaller mistake.
    """
    return status.boot != known.boot or known.told == Told.PRESENT or known.link == Link.UNSEEN


def _count_losses(before: Presence | None, status: StatusPayload) -> tuple[int, int]:
    """Return a producer's count of losses, and by how much it has risen since it was heard first.

    It begins anew with the producer's state, which only another boot can have lost. A lower one of the same boot
    is older than what is known: a will says what was known when its connection was made.
    """
    if before is None or before.link == Link.UNSEEN:
        return status.lost, 0
    if status.boot == before.boot:
        count = max(before.lost, status.lost)
        return count, count - before.lost
    return status.lost, status.lost - before.lost if status.lost >= before.lost else status.lost


def _online(heard: Presence, now: datetime, rules: Rules) -> Presence:
    """Return the state after the link has come up; before its absence was told, that is as if nothing had been."""
    away_since = heard.away_since if heard.told == Told.ABSENT else None
    return _waiting(replace(heard, link=Link.ONLINE, since=now, away_since=away_since), now, rules)


def _still_online(heard: Presence, now: datetime, rules: Rules) -> Presence:
    """Return the state after a sign of life, from which its silence counts; a return is not put off by it."""
    return _waiting(heard, now, rules) if heard.told == Told.PRESENT else heard


def _offline(said: Presence, now: datetime, rules: Rules) -> Presence:
    """Return the state after the link has gone down, from where its absence counts unless it is away already."""
    gone = replace(_leaving(said, now), link=Link.OFFLINE, since=now, away_since=said.away_since or now)
    return _waiting(gone, now, rules)


def _leaving(present: Presence, now: datetime) -> Presence:
    """Return the state with what is counted anew from the beginning of an absence; later ones add to it."""
    if present.told != Told.PRESENT:
        return present
    was_calm = present.link == Link.ONLINE and now - present.since >= CALM
    return replace(present, held=0, lost_away=0, drops=0 if was_calm else present.drops)


def _tell_absence(gone: Presence, now: datetime, rules: Rules) -> tuple[Presence, Notice]:
    since = gone.away_since or gone.since
    if gone.told == Told.PRESENT and gone.drops >= DROP_LIMIT:
        told = replace(gone, told=Told.UNSTABLE, drops=gone.drops + 1)
        facts = Facts(drops=told.drops, hold_seconds=int(UNSTABLE_HOLD.total_seconds()))
        return _waiting(told, now, rules), _notice(Reason.UNSTABLE, told, since, now, facts)
    told = replace(gone, told=Told.ABSENT, drops=gone.drops + 1, due_at=None)
    facts = Facts(
        cause="silence" if gone.link == Link.SILENT else "status",
        offline_since=_epoch(since),
        last_heard=_epoch(gone.heard_at) if gone.heard_at else None,
    )
    return told, _notice(Reason.OFFLINE, told, since, now, facts)


def _tell_return(back: Presence, now: datetime, rules: Rules) -> tuple[Presence, Notice]:
    away_since = back.away_since
    facts = Facts(
        online_since=_epoch(back.since),
        offline_since=_epoch(away_since) if away_since else None,
        away_seconds=max(0, int((back.since - away_since).total_seconds())) if away_since else None,
        held=back.held,
        lost=back.lost_away,
        drops=back.drops if back.told == Told.UNSTABLE else None,
    )
    drops = 0 if back.drops > DROP_LIMIT else back.drops
    told = replace(back, told=Told.PRESENT, away_since=None, held=0, lost_away=0, drops=drops)
    return _waiting(told, now, rules), _notice(Reason.ONLINE, told, back.since, now, facts)


def _waiting(presence: Presence, now: datetime, rules: Rules) -> Presence:
    """Return `presence` with the wait that its state calls for, from now on."""
    wait = _wait(presence, rules)
    return replace(presence, due_at=None if wait is None else now + wait)


def _wait(presence: Presence, rules: Rules) -> timedelta | None:
    unstable = presence.drops > DROP_LIMIT
    match presence.link, presence.told:
        case Link.ONLINE, Told.PRESENT:
            return rules.silent_after
        case Link.ONLINE, _:
            return max(rules.steady_after, UNSTABLE_HOLD) if unstable else rules.steady_after
        case _, Told.PRESENT:
            return rules.offline_after
        case _, Told.UNSTABLE:
            return max(rules.offline_after, UNSTABLE_HOLD)
    return None


def _notice(reason: Reason, told: Presence, since: datetime, now: datetime, facts: Facts) -> Notice:
    return Notice(reason, told.cluster, told.boot, since=since, at=now, facts=facts)


def _epoch(at: datetime) -> int:
    return int(at.timestamp())
