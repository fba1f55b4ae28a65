"""Messages that are held back, so that they keep no others back (pure).

Some the broker refuses, and says so: most often it forbids a topic, or takes no more for now. They are tried again
for ever, since who runs the broker can mend that. Only what keeps others waiting may not do so for ever, see
`is_refused_for_good`.

Others it may hang up on. A broker that gets a packet larger than it takes closes the connection, with MQTT 3.1.1
without a word, and would do so again at each try. But most connections end for other reasons, and no message may
be given up for those. So a message is suspected only after the connection has ended several times while it was the
oldest under way (brokers acknowledge in order), and it is given up once the connection has ended on it at each of
several tries. A try counts only if the broker has taken something else since the one before: it may hang up on
whatever comes.

What is held back goes last and alone, ever more rarely. But what leaves without a pause does not keep it from its
turn, see `is_overdue`.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

#: Pauses before a suspected message is tried again, in seconds; after the last of these tries it is given up. One
#: that was refused has had its first try.
PAUSES_SECONDS: Final = (0.0, 10.0, 60.0, 300.0, 900.0, 1800.0)
#: After a try in vain, whichever comes next waits at least for so long: thousands may be held back.
SPACING_SECONDS: Final = 10.0
#: So many breaks in a row on one message, with none taken in between, make it suspect: if it is larger than all
#: that was taken, once anything was, and if it is not.
LARGE_STREAK: Final = 2
STREAK: Final = 5


@dataclass(slots=True)
class _Suspicion:
    """Why a message is held back, and until when: `taken` is how many were taken before the last try."""

    taken: int
    due_at: float
    is_urgent: bool
    pauses: int = 0
    tries: int = 0
    refusals: int = 0
    refusal: str | None = None

    def is_about_it(self, taken: int) -> bool:
        """Tell whether the broker has taken others since the last try; if not, it may take nothing."""
        return taken > self.taken

    def put_off(self, now: float) -> None:
        self.pauses = min(self.pauses + 1, len(PAUSES_SECONDS) - 1)
        self.due_at = now + PAUSES_SECONDS[self.pauses]


class Suspects:
    """Which Events' messages are held back, and until when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._largest_taken = 0
        self._taken = 0
        self._streak: tuple[str, int] = ("", 0)
        self._suspicions: dict[str, _Suspicion] = {}
        self._quiet_until = 0.0

    def note_taken(self, uid: str, size: int) -> None:
        """The broker has taken a message of `size` bytes."""
        self._taken += 1
        self._largest_taken = max(self._largest_taken, size)
        self._streak = ("", 0)
        self.forget(uid)

    def forget(self, uid: str) -> None:
        """There is nothing more to suspect."""
        self._suspicions.pop(uid, None)

    def note_refused(self, uid: str, refusal: str, *, urgent: bool = True) -> bool:
        """The broker has refused this message; return whether it was not held back before."""
        known = self._suspicions.get(uid)
        suspicion = known or self._suspicions.setdefault(uid, _Suspicion(self._taken, 0.0, urgent))
        suspicion.refusal = refusal
        suspicion.refusals += suspicion.is_about_it(self._taken)
        suspicion.taken = self._taken
        suspicion.put_off(self._clock())
        if known is not None:
            self._quiet_until = self._clock() + SPACING_SECONDS
        return known is None

    def is_refused_for_good(self, uid: str) -> bool:
        """Tell whether the broker has refused this message after each pause, and taken others before each try."""
        known = self._suspicions.get(uid)
        return known is not None and known.refusals >= len(PAUSES_SECONDS) - 1

    def note_break(self, uid: str, size: int, *, alone: bool, urgent: bool = True) -> bool:
        """The connection has ended on this message; return whether it is to be given up."""
        self._streak = (uid, self._streak[1] + 1 if self._streak[0] == uid else 1)
        known = self._suspicions.get(uid)
        if known is not None:
            return alone and self._count_try(uid, known)
        if self._streak[1] >= (LARGE_STREAK if 0 < self._largest_taken < size else STREAK):
            self._suspicions[uid] = _Suspicion(self._taken, self._clock(), urgent)
        return False

    def _count_try(self, uid: str, suspicion: _Suspicion) -> bool:
        suspicion.tries += suspicion.is_about_it(self._taken)
        suspicion.taken = self._taken
        if suspicion.tries >= len(PAUSES_SECONDS):
            self.forget(uid)
            return True
        suspicion.put_off(self._clock())
        self._quiet_until = self._clock() + SPACING_SECONDS
        return False

    @property
    def uids(self) -> Collection[str]:
        """The Events whose messages are held back."""
        return self._suspicions.keys()

    @property
    def refusals(self) -> list[str]:
        """Why the broker last refused what is held back, for each that it has refused."""
        found = [suspicion.refusal for suspicion in list(self._suspicions.values())]  # another thread may ask
        return [refusal for refusal in found if refusal is not None]

    def due(self, *, urgent: bool = False) -> str | None:
        """Return the Event that has been due for longest, if its message may be tried now.

        If `urgent` is given, only what is urgent may be.
        """
        if self.due_seconds(urgent=urgent) != 0:
            return None
        return min(self._eligible(urgent=urgent))[1]

    def is_overdue(self, *, urgent: bool = False) -> bool:
        """Tell whether one has been due for so long that nothing else may go before it has had its try.

        Others have had theirs: the broker has taken some since the last try of this one, on which it may hang up.
        """
        due = min(self._eligible(urgent=urgent), default=None)
        if due is None or not self._suspicions[due[1]].is_about_it(self._taken):
            return False
        return self._clock() >= max(due[0], self._quiet_until) + SPACING_SECONDS

    def due_seconds(self, *, urgent: bool = False) -> float | None:
        """Return in how many seconds there will be one, None if nothing is held back that may be tried."""
        due_at = min((due_at for due_at, _ in self._eligible(urgent=urgent)), default=None)
        return None if due_at is None else max(0.0, max(due_at, self._quiet_until) - self._clock())

    def _eligible(self, *, urgent: bool) -> Iterator[tuple[float, str]]:
        for uid, suspicion in self._suspicions.items():
            if suspicion.is_urgent or not urgent:
                yield suspicion.due_at, uid
