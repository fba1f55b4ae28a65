"""What a person sees of a Feishu message, and who gets pinged by it."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Reader: TypeAlias = Callable[[Mapping[str, Any]], "Reading"]

SHOWN_TAGS = 3  # "up to 3 tags can be set, any excess will not be displayed" (title)

_RICH_AT = re.compile(
    r"<at\s[^>]*?\b(?:ids?|user_id|open_id|email)\s*=\s*[\"']?([^\"'\s>/]+)[^>]*>", re.IGNORECASE
)
_TEXT_AT = re.compile(r"<at\s[^>]*?\buser_id\s*=\s*[\"']?([^\"'\s>/]+)[^>]*>", re.IGNORECASE)
_AT_END = re.compile(r"</at\s*>", re.IGNORECASE)
_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_LOCAL_TIME = re.compile(r"<local_datetime\s[^>]*?millisecond\s*=\s*[\"']?(\d{1,13})([^>]*)>", re.IGNORECASE)
_TIME_FORMAT = re.compile(r"format_type\s*=\s*[\"']?(\w+)")
_MARKUP = re.compile(r"</?(?:a|font|link|local_datetime|number_tag|person|raw|text_tag|hr)\b[^>]*>", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS = re.compile(r"(?<!\w)(\*\*|__|~~|`+|\*|_)(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL)
_CODE_BLOCK = re.compile(r"^```\w*\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_LINE_START = re.compile(r"^\s*(?:#{1,6}|>)\s+", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """A text as shown, and the ids that it pings (`all` is everybody)."""

    shown: str
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A message as read: `preview` is what a notification on a locked screen says."""

    title: str = ""
    subtitle: str = ""
    tags: tuple[str, ...] = ()
    body: str = ""
    preview: str = ""
    mentions: tuple[str, ...] = ()


def read(payload: Mapping[str, Any]) -> Reading:
    """Read an accepted message."""
    readers: dict[str, Reader] = {"text": _read_text, "post": _read_post, "interactive": _read_interactive}
    return readers.get(payload["msg_type"], _read_other)(payload)


def text_message(content: str) -> Text:
    """Read the text of `msg_type: text`: it parses `<at user_id="…">` and nothing else (add-custom-bot).

    No escape is documented; a character between `<` and `at`, such as U+200B, keeps it from being parsed.
    """
    return _parsed(content, _TEXT_AT)


def rich_text(content: str) -> Text:
    """Read markdown or lark_md: it parses `<at id=all></at>`, tags, links, emphasis and HTML entities.

    `&#60;at id=all&#62;` is shown as `<at id=all>` and pings nobody, because tags are parsed before entities.
    An opening tag counts as a mention even where the service might want a closing one, or in a code block.
    """
    shown = _CODE_BLOCK.sub(r"\1", _LINE_BREAK.sub("\n", content))
    parsed = _parsed(_LOCAL_TIME.sub(_local_time, shown), _RICH_AT)
    bare = _LINE_START.sub("", _LINK.sub(r"\1", _MARKUP.sub("", parsed.shown)))
    return Text(html.unescape(_EMPHASIS.sub(r"\2", bare)), parsed.mentions)


def _local_time(match: re.Match[str]) -> str:
    """Show the time to a reader in UTC; date_num, the default, is the date alone (rich-text)."""
    formats = {"date_num": "%Y-%m-%d", "time": "%H:%M", "time_sec": "%H:%M:%S"}
    wanted = _TIME_FORMAT.search(match[2])
    shown = formats.get(wanted[1] if wanted else "date_num", "%c")
    return datetime.fromtimestamp(int(match[1]) / 1000, UTC).strftime(shown)


def _parsed(content: str, at: re.Pattern[str]) -> Text:
    mentions = tuple(name for match in at.finditer(content) for name in match[1].split(",") if name)
    return Text(_AT_END.sub("", at.sub(r"@\1", content)), mentions)


def _read_other(payload: Mapping[str, Any]) -> Reading:
    return Reading(body=f"[{payload['msg_type']}]")


def _read_text(payload: Mapping[str, Any]) -> Reading:
    text = text_message(payload["content"]["text"])
    return Reading(body=text.shown, preview=text.shown, mentions=text.mentions)


def _read_post(payload: Mapping[str, Any]) -> Reading:
    """Read the first language; only `at` nodes ping, text nodes are shown as they are."""
    language = next(iter(payload["content"]["post"].values()))
    lines = [[_post_node(node) for node in line] for line in language["content"]]
    body = "\n".join("".join(text.shown for text in line) for line in lines)
    mentions = tuple(name for line in lines for text in line for name in text.mentions)
    title = language.get("title", "")
    return Reading(title=title, body=body, preview=title or body, mentions=mentions)


def _post_node(node: Mapping[str, Any]) -> Text:
    match node["tag"]:
        case "at":
            return Text(f"@{node['user_id']}", (node["user_id"],))
        case "img":
            return Text("[image]")
        case _:
            return Text(html.unescape(node["text"]) if node.get("un_escape") else node["text"])


def _read_interactive(payload: Mapping[str, Any]) -> Reading:
    """Read a card of either schema; what does not look like a card is not shown, for 1.0 does not check it."""
    card = payload["card"]
    header = _object(card.get("header"))
    title, subtitle = _label(header.get("title")), _label(header.get("subtitle"))
    tags = list(_texts(header.get("text_tag_list")))[:SHOWN_TAGS]
    body = list(_texts((_object(card.get("body")) if card.get("schema") == "2.0" else card).get("elements")))
    return Reading(
        title=title.shown,
        subtitle=subtitle.shown,
        tags=tuple(tag.shown for tag in tags),
        body="\n".join(text.shown for text in body),
        preview=_object(_object(card.get("config")).get("summary")).get("content", title.shown),
        mentions=tuple(name for text in (title, subtitle, *tags, *body) for name in text.mentions),
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _label(value: object) -> Text:
    return next(_texts(value), Text(""))


def _texts(value: object) -> Iterator[Text]:
    """Every text under a component, in the order of reading."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _component_texts(value)


def _component_texts(component: Mapping[str, Any]) -> Iterator[Text]:
    match component.get("tag"):
        case "plain_text":
            yield Text(str(component.get("content", "")))
        case "markdown" | "lark_md":
            yield rich_text(str(component.get("content", "")))
        case "table":
            yield from _table_texts(component)
        case "person":
            yield Text(f"[person {component.get('user_id')}]")  # "users will not receive mention notifications"
        case _:
            for name in ("header", "title", "text", "fields", "extra", "columns", "elements", "actions"):
                yield from _texts(component.get(name))


def _table_texts(table: Mapping[str, Any]) -> Iterator[Text]:
    columns = [_object(column) for column in table.get("columns", [])]
    yield Text(" | ".join(column.get("display_name", "") for column in columns))
    for row in table.get("rows", []):
        cells = [
            _cell(_object(row).get(column.get("name", ""), ""), column.get("data_type")) for column in columns
        ]
        mentions = tuple(name for cell in cells for name in cell.mentions)
        yield Text(" | ".join(cell.shown for cell in cells), mentions)


def _cell(value: object, data_type: object) -> Text:
    if data_type in {"lark_md", "markdown"}:
        return rich_text(str(value))
    if isinstance(value, list):
        return Text(" ".join(str(one.get("text", "")) if isinstance(one, dict) else str(one) for one in value))
    return Text(str(value))
