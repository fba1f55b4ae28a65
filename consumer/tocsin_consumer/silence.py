"""What people do not want to be told for a while: silences, and maintenance windows that recur. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from tocsin_consumer.match import MatchSettings, Texts, match_of
from tocsin_consumer.window import Recurrence, Span, Window

#: Windows that relieve each other for so long do so for ever.
_FOR_EVER: Final = timedelta(days=30)
#: Beyond every end.
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class State(StrEnum):
    """What a silence is at some time."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants not to be told, from when until when (aware UTC)."""

    match: MatchSettings
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str


@dataclass(frozen=True, slots=True)
class Silence(Wish):
    """A wish that is kept; it holds from its start until just before its end."""

    #: Short, to be typed.
    id: str
    created_at: datetime

    def state(self, now: datetime) -> State:
        """Return what it is at `now`; one that ends before it starts never holds."""
        if self.ends_at <= now:
            return State.EXPIRED
        return State.ACTIVE if self.starts_at <= now else State.PENDING

    def span(self, now: datetime) -> Span | None:
        """Return when it holds, unless that is over."""
        return Span(self.starts_at, self.ends_at) if self.ends_at > max(now, self.starts_at) else None


@dataclass(frozen=True, slots=True)
class RecurringSilence:
    """A silence of the configuration, which holds in windows that recur."""

    name: str
    match: MatchSettings
    windows: tuple[Window, ...]
    time_zone: ZoneInfo
    author: str
    comment: str


@dataclass(frozen=True, slots=True)
class Silenced:
    """What keeps an event from being told, on whose behalf and why, and until when; None is for ever."""

    #: The id of a silence, or the name of one that recurs.
    name: str
    is_recurring: bool
    author: str
    comment: str
    until: datetime | None

    def __str__(self) -> str:
        return f"{'window' if self.is_recurring else 'silence'} {self.name}"


class Silences:
    """All silences, asked for one event at a time."""

    def __init__(self, stored: Iterable[Silence], recurring: Iterable[RecurringSilence] = ()) -> None:
        stored = list(stored)
        self._rules = [*map(_stored_rule, stored), *map(_recurring_rule, recurring)]
        self._last_end = max((silence.ends_at for silence in stored), default=None)

    def holding(self, texts: Texts, now: datetime) -> list[Silenced]:
        """Return every silence that holds an event with these texts now, each until its own end."""
        return [held for rule in self._rules if (held := rule.held(texts, now)) is not None]

    def silenced_by(self, texts: Texts, now: datetime) -> Silenced | None:
        """Return the silence that holds such an event now and ends last.

        Its `until` is when no silence will hold the event any more, whichever is the last one then.
        """
        holding = self.holding(texts, now)
        if not holding:
            return None
        last = max(holding, key=lambda held: held.until or _NEVER)
        return replace(last, until=self._end(texts, last.until, now))

    def next_change_at(self, now: datetime) -> datetime | None:
        """Return when the next silence begins or ends, if any ever does."""
        spans = (span for rule in self._rules if (span := rule.span(now)) is not None)
        changes = (start if start > now else end for start, end in spans)
        return min((at for at in changes if at is not None), default=None)

    def _end(self, texts: Texts, until: datetime | None, now: datetime) -> datetime | None:
        limit = max(now, self._last_end or now)
        while until is not None:
            if until - limit > _FOR_EVER:
                return None
            ends = [held.until or _NEVER for held in self.holding(texts, until)]
            if not ends:
                return until
            until = max(ends) if max(ends) != _NEVER else None
        return None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A silence of either kind."""

    matches: Callable[[Texts], bool]
    span: Callable[[datetime], Span | None]
    #: What it says of what it holds, but for the end.
    holds: Silenced

    def held(self, texts: Texts, now: datetime) -> Silenced | None:
        span = self.span(now)
        if span is None or span.start > now or not self.matches(texts):
            return None
        return replace(self.holds, until=span.end)


def _stored_rule(silence: Silence) -> _Rule:
    holds = Silenced(silence.id, False, silence.author, silence.comment, None)  # noqa: FBT003 - a field
    return _Rule(match_of(silence.match), silence.span, holds)


def _recurring_rule(silence: RecurringSilence) -> _Rule:
    holds = Silenced(silence.name, True, silence.author, silence.comment, None)  # noqa: FBT003 - a field
    return _Rule(match_of(silence.match), Recurrence(silence.windows, silence.time_zone).span, holds)
