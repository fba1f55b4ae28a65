"""Text that others wrote, made harmless for where it is shown."""

import re
from typing import Final

# C0, DEL and C1 move cursors, set colours and end lines; Unicode's line separators end lines as well; marks of
# direction reorder what is read (CVE-2021-42574); a byte order mark and a lone surrogate cannot be seen or sent.
_ACTIVE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def inert(text: str) -> str:
    """Return `text` with its line breaks, and with all else that acts instead of being read spelt out."""
    return "\n".join(map(one_line, text.splitlines()))


def one_line(text: str) -> str:
    """Return `text` without what acts on a terminal or a log: line breaks become spaces, the rest is spelt out."""
    return _ACTIVE.sub(_spelt, text)


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`, with an ellipsis at a cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)].rstrip() + "…"


def _spelt(match: re.Match[str]) -> str:
    character = match[0]
    if character in "\t\n\r\x0b\x0c\x85\u2028\u2029":
        return " "
    return f"\\x{ord(character):02x}" if character < "\x80" else f"\\u{ord(character):04x}"
