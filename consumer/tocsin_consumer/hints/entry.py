"""What a line of the tables of hints says. Pure."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is likely behind events of some reasons, and what to run next."""

    #: Any of these reasons.
    reasons: tuple[str, ...]
    #: Of an object of this kind, where the reason alone does not say it.
    kind: str | None = None
    #: A regular expression that the message begins with, case aside.
    message: str = ""
    zh: str
    en: str
    #: A template (command.py); empty where there is nothing to run.
    command: str = ""

    def matches(self, kind: str, message: str) -> bool:
        """Tell whether it is about an event of its reasons with this kind and message."""
        is_kind = self.kind is None or kind == self.kind
        return is_kind and re.match(self.message, message, re.IGNORECASE | re.DOTALL) is not None
