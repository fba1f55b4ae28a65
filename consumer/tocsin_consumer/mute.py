"""What keeps problems from being told: nothing so far."""
# ruff: noqa: ARG002 - the arguments are for those who know something

from datetime import datetime

from tocsin_consumer.match import Texts
from tocsin_consumer.records import Standing


class Mutes:
    """Knows of nothing."""

    def stand(self, key: Standing, texts: Texts) -> None:
        """A problem goes on, and may inhibit others."""

    def end(self, key: Standing) -> None:
        """A problem is over."""

    def is_source(self, texts: Texts) -> bool:
        """Tell whether what has these texts may inhibit others."""
        return False

    def muted_by(self, key: Standing, texts: Texts, now: datetime) -> str | None:
        """Return what mutes a problem now, in a few words; None if nothing does."""
        return None

    def next_change_at(self, now: datetime) -> datetime | None:
        """Return when a silence begins or ends next, if any does."""
        return None
