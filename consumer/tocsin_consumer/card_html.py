"""Draws a Feishu card as a web page, for `preview --html`: near enough to judge a card by, offline.

It knows the components that alerts are made of and names the others. Nothing in a card can leave its place:
all text is escaped, and the page loads nothing.
"""

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

#: Name of a colour → text and tint, as the light theme of the client has them.
_PALETTE: Final = {
    "blue": ("#0442d2", "#e1eaff"),
    "wathet": ("#076a94", "#d9f3fd"),
    "turquoise": ("#067062", "#d5f6f2"),
    "green": ("#186010", "#d9f5d6"),
    "lime": ("#5c6b00", "#eef6c6"),
    "yellow": ("#795101", "#faf1d1"),
    "orange": ("#8f4f04", "#feead2"),
    "red": ("#ac2f28", "#fde2e2"),
    "carmine": ("#9e1361", "#fdddef"),
    "violet": ("#8f15a8", "#f8def8"),
    "purple": ("#5529a3", "#ece2fe"),
    "indigo": ("#2933c7", "#e0e2fa"),
    "grey": ("#646a73", "#eff0f1"),
    "neutral": ("#646a73", "#eff0f1"),
}
_DEFAULT: Final = ("#1f2329", "#ffffff")
_SIZES: Final = {
    "heading-0": 30,
    "heading-1": 24,
    "heading-2": 20,
    "heading-3": 18,
    "heading-4": 16,
    "heading": 16,
    "normal": 14,
    "notation": 12,
}
_STYLE: Final = """
body{margin:0;padding:16px;background:#f2f3f5;font:14px/22px -apple-system,"Segoe UI","PingFang SC","Noto Sans",
"Noto Sans CJK SC","Microsoft YaHei",sans-serif;color:#1f2329}
.summary{width:343px;margin:0 auto 12px;color:#646a73;font-size:12px}
.card{width:343px;margin:0 auto;background:#fff;border-radius:8px;border:1px solid #dee0e3;overflow:hidden}
header{padding:12px}
h1{display:inline;margin:0 6px 0 0;font-size:16px;line-height:24px;overflow-wrap:anywhere}
.subtitle{font-size:12px;line-height:20px;color:#1f2329;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.tag{display:inline-block;padding:0 6px;margin:2px 6px 2px 0;border-radius:4px;font-size:12px;line-height:18px}
.body{padding:12px;display:flex;flex-direction:column;gap:8px}
.text{white-space:pre-wrap;overflow-wrap:anywhere}
.columns{display:flex;gap:8px}
.bisect{display:grid;grid-template-columns:1fr 1fr}
.column{display:flex;flex-direction:column;gap:8px;min-width:0}
hr{width:100%;margin:0;border:0;border-top:1px solid #dee0e3}
a{color:#245bdb}
code{background:#f2f3f5;border-radius:3px;padding:0 3px;font:12px monospace}
code.block{display:block;padding:8px;line-height:18px;white-space:pre;overflow-x:auto}
.unknown{color:#8f959e;border:1px dashed #bbbfc4;border-radius:4px;padding:4px 8px}
.button{align-self:flex-start;border:1px solid #d0d3d6;border-radius:6px;padding:4px 12px}
"""
#: Feishu's Markdown, after all of it has been escaped → HTML. In this order.
_MARKDOWN: Final = (
    (re.compile(r"```\w*\n([^`]+)\n```"), r'<code class="block">\1</code>'),
    (re.compile(r"`([^`\n]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*(?=\S)(.+?)\*\*"), r"<b>\1</b>"),
    (re.compile(r"~~(?=\S)(.+?)~~"), r"<s>\1</s>"),
    (re.compile(r"(?<![*\w])\*(?=[^\s*])([^*\n]+)\*(?!\*)"), r"<i>\1</i>"),
    (re.compile(r"\[([^\]\n]*)\]\((?:https?://[^)\s]*)\)"), r"<a>\1</a>"),
    (re.compile(r"^#{1,6} (.*)$", re.MULTILINE), r"<b>\1</b>"),
    (re.compile(r"^[-*] (.*)$", re.MULTILINE), r"• \1"),
    (re.compile(r"&lt;br\s*/?&gt;"), "\n"),
    (re.compile(r"&lt;at id=(?:&#x27;|&quot;)?(\w+)(?:&#x27;|&quot;)?&gt;&lt;/at&gt;"), r"<a>@\1</a>"),
    (re.compile(r"&amp;(#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});"), r"&\1;"),
)
_COLOURED: Final = re.compile(
    r"&lt;(?P<tag>font|text_tag) color=(?:&#x27;|&quot;)?(?P<colour>\w+)(?:&#x27;|&quot;)?&gt;"
    r"(?P<text>.*?)&lt;/(?P=tag)&gt;",
    re.DOTALL,
)

Component = Mapping[str, Any]


def card_to_html(card: Component) -> str:
    """Return a page that shows `card`, of JSON 2.0 or 1.0, as wide as a phone."""
    body = _child(card, "body") if "body" in card else card
    summary = _child(_child(card, "config"), "summary").get("content", "")
    shown = f'<p class="summary">{escape(str(summary))}</p>' if summary else ""
    return (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_plain(_child(_child(card, 'header'), 'title'))}</title><style>{_STYLE}</style></head>"
        f'<body>{shown}<div class="card">{_header(_child(card, "header"))}'
        f'<div class="body">{_components(body.get("elements"))}</div></div></body></html>\n'
    )


def _header(header: Component) -> str:
    if not header:
        return ""
    colour, tint = _PALETTE.get(str(header.get("template", "")), _DEFAULT)
    tags = "".join(_tag(tag) for tag in _list(header, "text_tag_list")[:3])
    subtitle = _plain(_child(header, "subtitle"))
    below = f'<div class="subtitle">{subtitle}</div>' if subtitle else ""
    title = f'<h1 style="color:{colour}">{_plain(_child(header, "title"))}</h1>'
    return f'<header style="background:{tint}">{title}{tags}{below}</header>'


def _tag(tag: Component) -> str:
    colour, tint = _PALETTE.get(str(tag.get("color", "")), _PALETTE["neutral"])
    # On a tint of its own colour, as in a header, a tag is a shade darker than the ground.
    style = f"color:{colour};background:color-mix(in srgb,{tint},{colour} 12%)"
    return f'<span class="tag" style="{style}">{_plain(_child(tag, "text"))}</span>'


def _components(components: Any) -> str:
    return "".join(_component(one) for one in _list({"elements": components}, "elements"))


def _component(component: Component) -> str:
    draw = _DRAWN.get(str(component.get("tag")))
    return draw(component) if draw else f'<div class="unknown">{escape(str(component.get("tag")))}</div>'


def _div(div: Component) -> str:
    fields = "".join(_text(_child(one, "text")) for one in _list(div, "fields"))
    return _text(_child(div, "text")) + fields


def _column_set(columns: Component) -> str:
    style = "bisect" if columns.get("flex_mode") == "bisect" else ""
    return f'<div class="columns {style}">{"".join(map(_column, _list(columns, "columns")))}</div>'


def _column(column: Component) -> str:
    share = f"{_weight(column)} 1 0" if column.get("width") == "weighted" else "0 0 auto"
    gap = str(column.get("vertical_spacing", "8px"))
    gap = gap if re.fullmatch(r"\d{1,2}px", gap) else "8px"
    style = f"flex:{share};gap:{gap}"
    return f'<div class="column" style="{style}">{_components(column.get("elements"))}</div>'


def _weight(column: Component) -> int:
    weight = column.get("weight", 1)
    return weight if isinstance(weight, int) else 1


def _text(text: Component) -> str:
    if not text:
        return ""
    size = _SIZES.get(str(text.get("text_size", "normal")), _SIZES["normal"])
    colour, _ = _PALETTE.get(str(text.get("text_color", "")), _DEFAULT)
    weight = 600 if size >= _SIZES["heading"] else 400
    style = f"font-size:{size}px;line-height:{size + 8}px;color:{colour};font-weight:{weight}{_shape(text)}"
    content = str(text.get("content", ""))
    shown = _markdown(content) if text.get("tag") == "lark_md" else escape(content)
    return f'<div class="text" style="{style}">{shown}</div>'


def _shape(text: Component) -> str:
    """Return the style of a text that is aligned, or ends after so many lines."""
    aligned = f";text-align:{text['text_align']}" if text.get("text_align") in ("center", "right") else ""
    lines = text.get("lines")
    is_cut = isinstance(lines, int) and lines > 0
    cut = f";display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:{lines};overflow:hidden"
    return aligned + (cut if is_cut else "")


def _markdown(content: str) -> str:
    shown = escape(content)
    for pattern, replacement in _MARKDOWN:
        shown = pattern.sub(replacement, shown)
    return _COLOURED.sub(_coloured, shown)


def _coloured(match: re.Match[str]) -> str:
    colour, tint = _PALETTE.get(match["colour"], _DEFAULT)
    if match["tag"] == "font":
        return f'<span style="color:{colour}">{match["text"]}</span>'
    return f'<span class="tag" style="color:{colour};background:{tint}">{match["text"]}</span>'


def _plain(text: Component) -> str:
    return escape(str(text.get("content", "")))


def _child(value: Component, name: str) -> Component:
    """Return the object called `name`; what is none, and is not nothing either, is drawn as unknown."""
    child = value.get(name)
    if isinstance(child, Mapping):
        return child
    return {} if child is None else {"tag": "plain_text", "content": f"{name}: expected an object"}


def _list(value: Component, name: str) -> list[Component]:
    """Return the objects in the list called `name`, as far as there are any."""
    items = value.get(name)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


_DRAWN: Final[Mapping[str, Callable[[Component], str]]] = {
    "div": _div,
    "markdown": lambda markdown: _text({**markdown, "tag": "lark_md"}),
    "hr": lambda _: "<hr>",
    "column_set": _column_set,
    "button": lambda button: f'<div class="button">{_plain(_child(button, "text"))}</div>',
    "note": lambda note: _components(note.get("elements")),
    "plain_text": lambda text: _text({"text_size": "notation", **text}),
    "lark_md": lambda text: _text({"text_size": "notation", **text}),
}
