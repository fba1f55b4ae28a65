"""What a notification looks like in Feishu: a card.

The card is JSON 2.0, where a property that is not documented is an error. Source: the pages under
https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/, `card-json-v2-structure` for the frame.
Clients older than 7.20 show the header and a hint to upgrade.
"""

from collections.abc import Mapping
from typing import Any, Final

from tocsin_consumer.inert import one_line, shortened
from tocsin_consumer.labels import duration
from tocsin_consumer.receivers.feishu_group import group_layout
from tocsin_consumer.receivers.feishu_parts import COLOURS, Layout, code, plain, small, tag, text
from tocsin_consumer.receivers.feishu_problem import problem_layout
from tocsin_consumer.view import View

_KEYWORD_PLACES: Final = frozenset({"text", "title"})
#: How much of a message fits on a locked screen.
_SUMMARY_LIMIT: Final = 120


def card_message(card: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a message with a card."""
    return {"msg_type": "interactive", "card": card}


def card_of(view: View, *, title: str | None = None, body: str | None = None) -> dict[str, Any]:
    """Return the card of what is told, the most important first: what, where, how bad, since when, what it says.

    Args:
        view: what is told.
        title: title of the header; what it is about then comes right below it.
        body: Feishu's Markdown instead of all that stands below the header.
    """
    layout = _layout(view)
    return {
        "schema": "2.0",
        "config": {
            "update_multi": True,
            "enable_forward": True,
            "width_mode": "fill",
            "summary": {"content": _summary(view)},
        },
        "header": _header(view, layout, title),
        "body": {
            "elements": _body(view, layout, title) if body is None else [{"tag": "markdown", "content": body}]
        },
    }


def _layout(view: View) -> Layout:
    """Return what is said of it, by how much of it there is."""
    return problem_layout(view) if view.line_count == 1 else group_layout(view)


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
        return {**card, "elements": [*card["elements"], small(keyword)]}
    return card


def _header(view: View, layout: Layout, title: str | None) -> dict[str, Any]:
    header = {
        "title": plain(title or view.title),
        "template": COLOURS["quiet" if view.status == "quiet" else view.severity],
        "text_tag_list": [tag(said, colour) for said, colour in layout.tags],
    }
    return header if title else {**header, "subtitle": plain(layout.subtitle)}


def _body(view: View, layout: Layout, title: str | None) -> list[dict[str, Any]]:
    heading = [text(view.title, text_size="heading"), small(layout.subtitle)] if title else []
    hint = [small(f"{view.labels['hint']}{view.labels['colon']}{view.hint}")] if view.hint else []
    command = [code(view.command)] if view.command else []
    return [*heading, *layout.body, *hint, *command]


def _summary(view: View) -> str:
    """Return what a locked screen shows."""
    label = "" if view.is_over else view.severity_label
    head = " ".join(filter(None, (f"[{view.cluster_label}]", label, view.title, view.times)))
    return shortened(view.labels["colon"].join(filter(None, (head, one_line(_gist(view))))), _SUMMARY_LIMIT)


def _gist(view: View) -> str:
    """Return what to know besides the title: for how long it was, or what has changed, or what it says."""
    if view.is_over and view.status == "recovered" and view.lasting and not view.rows:
        return f"{view.labels['lasted']} {duration(view.lasting, view.language)}"
    return view.changes or view.message
