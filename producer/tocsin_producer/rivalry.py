"""Whether another producer speaks for our cluster, judged by the statuses on its topic (pure).

Two producers with one client id take the session from each other for ever, and with MQTT 3.1.1 each of them only
sees its connection close. What each can see is the other's status in the place of its own. One such sighting
proves nothing: it may be the late will of a producer that has gone, or a broker that was restored from a backup. A
second one, after we have told ours again, does: somebody is there and tells. The later boot stays, the earlier
leaves.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Self

from tocsin_producer.database import BOOT_LIMIT

_PROOF: Final = 2
#: How long a reconnecting producer waits for the status that is retained, before it tells its own.
LOOK_SECONDS: Final = 5.0
#: In a new boot there may be none: what comes later than this is heeded as well.
FIRST_LOOK_SECONDS: Final = 1.0


class Verdict(Enum):
    """What a status on our topic means for us."""

    NOTHING = auto()
    #: Our boot is not later than that of an earlier producer: a clock has gone back, or two began in one second.
    OUTDATED = auto()
    #: Another producer is there, and its boot is earlier than ours.
    RIVAL = auto()
    #: Another producer is there, and its boot is later than ours.
    SUPERSEDED = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a status payload says of who speaks for a cluster."""

    boot: int
    online: bool

    @classmethod
    def read(cls, payload: bytes) -> Self | None:
        """Return what `payload` says, or None if it is no status."""
        try:
            status = json.loads(payload)
            boot, state = status["boot"], status["state"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return cls(boot, state == "online") if type(boot) is int and 0 <= boot < BOOT_LIMIT else None


class Rivalry:
    """Judges what is found on our status topic in the course of one boot."""

    def __init__(self, boot: int) -> None:
        self._boot = boot
        self._sightings = 0
        self._told_since = False
        self.has_told = False

    def note_told(self) -> None:
        """The broker has our status: what another boot tells there from now on, it tells after us."""
        self.has_told = self._told_since = True

    def judge(self, found: Standing, *, retained: bool) -> Verdict:
        """Say what a status means that was retained when we looked, or has come just now."""
        if not self.has_told:
            return Verdict.OUTDATED if retained and found.boot >= self._boot else Verdict.NOTHING
        if found.boot == self._boot:
            self._sightings = 0 if retained else self._sightings
            return Verdict.NOTHING
        if not self._is_proof(found, retained=retained):
            return Verdict.NOTHING
        return Verdict.SUPERSEDED if found.boot > self._boot else Verdict.RIVAL

    def _is_proof(self, found: Standing, *, retained: bool) -> bool:
        if not retained:
            return found.online
        if self._told_since:
            self._told_since = False
            self._sightings += 1
        return self._sightings >= _PROOF


class Look:
    """Whether to look who has told a status before we tell ours, and for how long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: float | None = None
        self._may_look: bool | None = None
        #: Whether we have looked in this connection and nothing has come of it yet.
        self._is_in_vain = False

    def begin(self, *, has_told: bool) -> bool:
        """Return whether to look in a new connection.

        Some brokers answer a forbidden subscription by hanging up: after one in vain, connect once without.
        """
        self._is_in_vain = self._may_look is not False and not self._is_in_vain
        if self._is_in_vain:
            self._until = self._clock() + (LOOK_SECONDS if has_told else FIRST_LOOK_SECONDS)
        return self._is_in_vain

    @property
    def is_under_way(self) -> bool:
        """Whether our status has to wait."""
        return self._until is not None

    @property
    def left_seconds(self) -> float:
        """For how long it has to."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def end(self) -> None:
        """Wait no longer."""
        self._until = None

    def note_found(self) -> None:
        """Something has come: we may read."""
        self._may_look, self._is_in_vain = True, False

    def note_answered(self) -> None:
        """The broker works with us in this connection."""
        self._is_in_vain = False

    def note_nothing(self, *, has_told: bool) -> bool:
        """Nothing has come in time; return whether this shows for the first time that we may not read."""
        self.end()
        is_forbidden = self._may_look is None and has_told
        if is_forbidden:
            self._may_look = False
        return is_forbidden
