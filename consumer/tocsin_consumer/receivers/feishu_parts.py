"""What Feishu's cards are built of. Text that others wrote stands in `plain_text`, where nothing is markup.

Source: `card-json-v2-components/` under https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

Component = dict[str, Any]

#: What stands first in a text, by how bad it is or how it has ended → colour.
COLOURS: Final = {
    "critical": "red",
    "warning": "orange",
    "info": "blue",
    "recovered": "green",
    "quiet": "grey",
}
#: Code in which nothing is markup.
_CODE: Final = re.compile(r"[A-Za-z0-9 @%+=:,./'{}|-]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """What one kind of card says: beside and below its title, and in its body."""

    #: Texts that stand out beside the title, with their colours: three at most are shown.
    tags: Sequence[tuple[str, str]]
    subtitle: str
    body: Sequence[Component]


def plain(text: str) -> Component:
    """Return a text in which nothing is markup."""
    return {"tag": "plain_text", "content": text}


def text(content: str, **style: Any) -> Component:
    """Return a paragraph."""
    return {"tag": "div", "text": {**plain(content), **style}}


def small(content: str, **style: Any) -> Component:
    """Return a paragraph in small grey print."""
    return text(content, text_size="notation", **{"text_color": "grey", **style})


def tag(content: str, colour: str) -> Component:
    """Return a text that stands out beside a title."""
    return {"tag": "text_tag", "text": plain(content), "color": _tag_colour(colour)}


def mark(content: str, colour: str) -> Component:
    """Return words of our own that stand out in the body; they are markup."""
    return {"tag": "markdown", "content": f"<text_tag color='{_tag_colour(colour)}'>{content}</text_tag>"}


def _tag_colour(colour: str) -> str:
    """Return how tags call it: they know no grey."""
    return "neutral" if colour == "grey" else colour


def code(content: str) -> Component:
    """Return a command in a block of code, which clients offer to copy.

    Whether escapes count in a block of code is not documented; what would need any is a plain text.
    """
    if not _CODE.fullmatch(content):
        return text(content)
    return {"tag": "markdown", "content": f"```bash\n{content}\n```"}


def figures(cells: Sequence[tuple[str, str]]) -> Component:
    """Return labels with their values below, side by side; two a row on a phone."""
    return {
        "tag": "column_set",
        "flex_mode": "bisect",
        "columns": [column([small(label), text(value)], weight=1) for label, value in cells],
    }


def row(left: Sequence[Component], right: Sequence[Component]) -> Component:
    """Return one item of a list: what it is, and in as little room as it takes what stands out about it."""
    columns = [column(left, weight=1), column(right)] if right else [column(left, weight=1)]
    return {"tag": "column_set", "columns": columns}


def column(elements: Sequence[Component], *, weight: int | None = None) -> Component:
    """Return a column as wide as its share, or without a `weight` as its content."""
    width = {"width": "auto"} if weight is None else {"width": "weighted", "weight": weight}
    return {"tag": "column", **width, "vertical_spacing": "0px", "elements": list(elements)}
