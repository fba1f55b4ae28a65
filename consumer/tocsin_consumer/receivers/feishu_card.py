"""What a notification looks like in Feishu: a card, and a text for where a card is refused.

The card is JSON 2.0, where a property that is not documented is an error. Source: the pages under
https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/, `card-json-v2-structure` for the frame and
`card-json-v2-components/` for the components. Clients older than 7.20 show the header and a hint to upgrade.

Text that others wrote stands in `plain_text`, where nothing is markup, or is escaped.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from tocsin_consumer.inert import one_line, shortened
from tocsin_consumer.labels import duration
from tocsin_consumer.render import Escape
from tocsin_consumer.view import View

#: Severity → colour of the header.
_COLOURS: Final = {"critical": "red", "warning": "orange", "info": "blue", "recovered": "green"}
#: The zero width space after it keeps `<at user_id="all">` from being a mention in a text, where no escape exists.
_SPLIT_TAG: Final = "<\u200b"
#: The characters that mean something in Feishu's Markdown (rich-text, "escape special characters").
_MARKDOWN: Final = re.compile(r"[&<>*_~`\[\]()#\-!\\$:+\"'/]")
_KEYWORD_PLACES: Final = frozenset({"text", "title"})
#: How much of a message fits on a locked screen.
_SUMMARY_LIMIT: Final = 120
_TIME: Final = "%Y-%m-%d %H:%M:%S"

DEFAULT_TEXT: Final = """\
[{{ cluster }}] {{ severity_label }} {{ title }}{% if times %} {{ times }}{% endif %}
{{ message }}
{% if lasting %}{{ labels.first }} {{ first_at | time }} · {{ labels.last }} {{ last_at | time }}\
{% else %}{{ labels.at }} {{ last_at | time }}{% endif %}\
{% if delay %} · {{ labels.delayed }} {{ delay | duration }}{% endif %}"""


def escape_text(value: str) -> str:
    """Make `value` harmless in a message of type text: it can mention nobody."""
    return value.replace("<", _SPLIT_TAG)


def escape_markdown(value: str) -> str:
    """Make `value` harmless in `markdown` and `lark_md`."""
    return _MARKDOWN.sub(lambda match: f"&#{ord(match[0])};", value)


def escape_in(component: Mapping[str, Any]) -> Escape:
    """Return how values are made harmless in the texts of a component of a card."""
    return escape_markdown if component.get("tag") in {"markdown", "lark_md"} else str


def text_message(text: str) -> dict[str, Any]:
    """Return the body of a message of type text."""
    return {"msg_type": "text", "content": {"text": text}}


def card_message(card: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a message with a card."""
    return {"msg_type": "interactive", "card": card}


def event_card(view: View, *, title: str | None = None, body: str | None = None) -> dict[str, Any]:
    """Return the card of an event, the most important first: what, where, how often, since when, and what it says.

    Args:
        view: the event.
        title: title of the header; reason and object then come right below it.
        body: Feishu's Markdown instead of all that stands below the header.
    """
    return {
        "schema": "2.0",
        "config": {
            "update_multi": True,
            "enable_forward": True,
            "width_mode": "fill",
            "summary": {"content": _summary(view)},
        },
        "header": _header(view, title),
        "body": {"elements": _body(view, title) if body is None else [{"tag": "markdown", "content": body}]},
    }


def says(card: Any, keyword: str) -> bool:
    """Tell whether a bot that asks for `keyword` finds it in `card`: it looks into texts and titles only."""
    if isinstance(card, list):
        return any(says(item, keyword) for item in card)
    if not isinstance(card, Mapping):
        return False
    return any(
        (name in _KEYWORD_PLACES and keyword in _content(child)) or says(child, keyword)
        for name, child in card.items()
    )


def _content(value: Any) -> str:
    """Return the text of `text` and `title`, which are one or have one."""
    said = value.get("content") if isinstance(value, Mapping) else value
    return said if isinstance(said, str) else ""


def with_keyword(card: dict[str, Any], keyword: str) -> dict[str, Any]:
    """Return `card` with `keyword` in small print at its end, for bots that refuse messages without it.

    Only texts and titles count there, so it goes into a text; both versions of cards know this one.
    """
    if isinstance(card.get("body"), dict):
        return {**card, "body": with_keyword(card["body"], keyword)}
    if isinstance(card.get("elements"), list):
        return {**card, "elements": [*card["elements"], _small(keyword)]}
    return card


def _header(view: View, title: str | None) -> dict[str, Any]:
    header = {
        "title": _plain(title or view.title),
        "template": _COLOURS[view.severity],
        "text_tag_list": [_tag(text, colour) for text, colour in _tags(view)],
    }
    return header if title else {**header, "subtitle": _plain(_where(view))}


def _tags(view: View) -> list[tuple[str, str]]:
    """Return what stands out beside the title, with its colour: at most the three that are shown."""
    tags = [(view.cluster, "blue")]
    if view.times:
        tags.append((view.times, _COLOURS[view.severity]))
    if view.delay:
        tags.append((f"{view.labels['delayed']} {duration(view.delay, view.language)}", "violet"))
    return tags


def _body(view: View, title: str | None) -> list[dict[str, Any]]:
    heading = [_text(view.title, text_size="heading"), _small(_where(view))] if title else []
    said = view.message if view.remark is None else view.remark
    message = [_text(said)] if said.strip() else []
    return [*heading, _columns(list(view.rows) or _times(view)), *message]


def _times(view: View) -> list[tuple[str, str]]:
    """Return since when, until when and how late, as far as there is something to say."""
    labels, last = view.labels, view.last_at.strftime(_TIME)
    cells = [(labels["at"], last)]
    if view.lasting:
        lasting = duration(view.lasting, view.language)
        cells = [(labels["first"], view.first_at.strftime(_TIME)), (f"{labels['last']} (+{lasting})", last)]
    if view.delay:
        cells.append((labels["received"], view.received_at.strftime(_TIME)))
    (label, value), *others = cells
    return [(f"{label} ({view.zone})", value), *others]


def _where(view: View) -> str:
    """Return what the title leaves out: the kind, the part of the object, the node, and who says so.

    The title and the tags of a notice say all of that but the last.
    """
    if view.rows:
        return view.labels["notice"]
    container = f"{view.labels['container']} {view.container}" if view.container else ""
    node = f"{view.labels['node']} {view.node}" if view.node and view.node != view.name else ""
    return " · ".join(part for part in (view.kind, container, node, view.component) if part)


def _summary(view: View) -> str:
    """Return what a locked screen shows."""
    head = " ".join(filter(None, (f"[{view.cluster}]", view.severity_label, view.title, view.times)))
    return shortened(": ".join(filter(None, (head, one_line(view.message)))), _SUMMARY_LIMIT)


def _columns(cells: list[tuple[str, str]]) -> dict[str, Any]:
    """Return labels with their values below, side by side; two a row on a phone."""
    return {
        "tag": "column_set",
        "flex_mode": "bisect",
        "columns": [
            {
                "tag": "column",
                "width": "weighted",
                "weight": 1,
                "vertical_spacing": "0px",
                "elements": [_small(label), _text(value)],
            }
            for label, value in cells
        ],
    }


def _small(text: str) -> dict[str, Any]:
    return _text(text, text_size="notation", text_color="grey")


def _text(text: str, **style: str) -> dict[str, Any]:
    return {"tag": "div", "text": {**_plain(text), **style}}


def _tag(text: str, colour: str) -> dict[str, Any]:
    return {"tag": "text_tag", "text": _plain(text), "color": colour}


def _plain(text: str) -> dict[str, Any]:
    return {"tag": "plain_text", "content": text}
