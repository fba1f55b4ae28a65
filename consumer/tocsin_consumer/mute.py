"""What keeps problems from being told: others that explain them, and people who do not want to know."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from tocsin_consumer.inhibit import Inhibitor, InhibitSettings
from tocsin_consumer.match import Texts
from tocsin_consumer.records import Standing
from tocsin_consumer.silence import RecurringSilence, Silence, Silences


class Mutes:
    """Inhibition and silences, asked together.

    Args:
        rules: what inhibits what.
        recurring: the silences of the configuration.
    """

    def __init__(self, rules: Sequence[InhibitSettings] = (), recurring: Iterable[RecurringSilence] = ()) -> None:
        self._rules = tuple(rules)
        self._inhibitor = Inhibitor(self._rules)
        self._recurring = tuple(recurring)
        self._silences = Silences((), self._recurring)

    def renew(self, stored: Iterable[Silence]) -> None:
        """Let these be the silences that people have added, and no others."""
        self._silences = Silences(stored, self._recurring)

    def stand(self, key: Standing, texts: Texts) -> None:
        """A problem goes on, and may inhibit others."""
        self._inhibitor.stand(key, texts)

    def end(self, key: Standing) -> None:
        """A problem is over."""
        self._inhibitor.end(key)

    def end_all(self) -> None:
        """No problem is known to stand."""
        self._inhibitor = Inhibitor(self._rules)

    def is_source(self, texts: Texts) -> bool:
        """Tell whether what has these texts may inhibit others."""
        return self._inhibitor.is_source(texts)

    def muted_by(self, key: Standing, texts: Texts, now: datetime) -> str | None:
        """Return what mutes a problem now, in a few words; None if nothing does."""
        muting = self._inhibitor.inhibited_by(texts, key) or self._silences.silenced_by(texts, now)
        return str(muting) if muting else None

    def next_change_at(self, now: datetime) -> datetime | None:
        """Return when a silence begins or ends next, if any does."""
        return self._silences.next_change_at(now)
