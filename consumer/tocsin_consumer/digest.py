"""What there is to say about a storm: how much of what, and where most of it is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tocsin_consumer.inert import one_line, shortened
from tocsin_consumer.labels import LABELS, Language
from tocsin_consumer.notice import FLEET_NAME, Facts, Notice, Reason
from tocsin_consumer.wording import event_of, label
from tocsin_schemas.event import EventPayload

#: The scope of a storm of all clusters.
FLEET: Final = "*"
#: The scope of what was merged because a receiver was behind; like the other, no name of a cluster.
BACKLOG: Final = "+"
_NAME_LIMIT: Final = 80
#: Characters of an uid (event.EventPayload); the end of a storm's id tells it from others.
_UID_LIMIT: Final = 128


@dataclass(frozen=True, slots=True)
class Share:
    """How many incidents of a storm have something in common, such as a reason, a cluster or an object."""

    name: str
    incidents: int


@dataclass(frozen=True, slots=True)
class Top:
    """The most frequent ones, and how many others there are."""

    shares: tuple[Share, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Digest:
    """A storm, or what was merged for a receiver that is behind, as it is now; what is muted is not named."""

    storm: str
    receiver: str
    #: The cluster, FLEET or BACKLOG.
    scope: str
    since: datetime
    ended_at: datetime | None
    #: When this was the case.
    at: datetime
    incidents: int
    #: Of the incidents, those in which a problem goes on; and the problems and occurrences of all.
    going_on: int
    problems: int
    occurrences: int
    reasons: Top
    clusters: Top
    objects: Top

    @property
    def event(self) -> EventPayload:
        """The same as an event, for all that knows nothing of digests."""
        facts = Facts(
            storm_since=int(self.since.timestamp()) if self.scope != BACKLOG else None,
            incidents=self.incidents,
            going_on=self.going_on,
            problems=self.problems,
            occurrences=self.occurrences,
        )
        notice = Notice(self._reason, self._cluster, 0, since=self.since, at=self.at, facts=facts)
        return event_of(notice, uid=self.storm[-_UID_LIMIT:])

    @property
    def _reason(self) -> Reason:
        if self.scope == BACKLOG:
            return Reason.BACKLOG
        return Reason.STORM if self.ended_at is None else Reason.CALM

    @property
    def _cluster(self) -> str:
        """Return the cluster, if all of it is of one."""
        if self.scope not in (FLEET, BACKLOG):
            return self.scope
        named = self.clusters.shares
        return named[0].name if len(named) == 1 and not self.clusters.others else FLEET_NAME


def rows(digest: Digest, language: Language) -> tuple[tuple[str, str], ...]:
    """Return labels of what there is most of, and a line for each name; no label where all is muted."""
    tops = {"reasons": digest.reasons, "clusters": digest.clusters, "objects": digest.objects}
    return tuple(
        (label(name, language), "\n".join(_shown(top, language))) for name, top in tops.items() if top.shares
    )


def paragraph(digest: Digest, language: Language) -> str:
    """Return the same as lines of text."""
    return "\n".join(
        f"{name}{LABELS[language]['colon']}{value.replace(chr(10), ', ')}"
        for name, value in rows(digest, language)
    )


def _shown(top: Top, language: Language) -> list[str]:
    """Return names with numbers; none of them takes more room than a name does."""
    shown = [f"{shortened(one_line(share.name), _NAME_LIMIT)} ×{share.incidents}" for share in top.shares]  # noqa: RUF001 - the sign
    if top.others:
        shown.append(label("others", language).format(top.others))
    return shown
