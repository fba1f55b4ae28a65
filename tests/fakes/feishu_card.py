"""Checks a Feishu card the way the service does before it shows it.

Card JSON 2.0 answers an unknown property with an error where 1.0 ignored it (card-json-v2-breaking-changes-
release-notes), so every component lists the properties that its page documents, and nothing else passes. The
pages are those under https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/:
`card-json-v2-structure` for the frame and `card-json-v2-components/…` for the components, as of 2025-07.
The inner codes and the wording of errors are those that users of the service have reported.

Only what a custom bot can use is modelled: components that collect input need a callback, which custom bots
do not have. What the pages leave open (unknown text sizes fall back to normal, more than three tags are not
shown) is not an error here either.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.fakes.feishu_shape import (
    CardError,
    Shape,
    Where,
    anything,
    boolean,
    integer,
    list_of,
    literal,
    map_of,
    obj,
    pattern,
    shape,
    string,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.fakes.feishu_shape import Check

NOT_IN_SCHEMA_2 = 200861  # a component of 1.0 that 2.0 has dropped
UNSUPPORTED_BLOCK = 11310  # also: too many tables
TOO_MANY_ELEMENTS = 300305

MAX_ELEMENTS = 200
MAX_TABLES = 5
MAX_NESTING = 5
MAX_BUTTON_TEXT = 100

ROOT_ONLY = frozenset({"table"})
DROPPED_IN_SCHEMA_2 = frozenset({"action", "note"})


def check_card(card: Mapping[str, Any]) -> None:
    """Accept the card or say why not; cards of schema 1.0 (the default) are barely looked at, as there.

    Raises:
        CardError: at the first problem.
    """
    schema = card.get("schema", "1.0")
    if schema == "2.0":
        _check_card_2(card)
    elif schema != "1.0":
        Where().into("schema", schema).wrong(f"invalid schema: {schema!r}")
    else:
        _check_card_1(card)


def _check_card_1(card: Mapping[str, Any]) -> None:
    """Unknown fields are ignored and `{}` is a blank card, but a list must be a list (card-json-structure)."""
    elements = card.get("elements", [])
    if not isinstance(elements, list):
        Where().into("elements", elements).wrong("parse card json err")


def _check_card_2(card: Mapping[str, Any]) -> None:
    _CARD(card, Where())
    _check_counts(list(_tagged(card)))
    _check_element_ids(card)


def _check_counts(tagged: list[Mapping[str, Any]]) -> None:
    """At most 200 elements, "e.g. text elements where tag is plain_text, or components", and 5 tables."""
    if len(tagged) > MAX_ELEMENTS:
        raise CardError(TOO_MANY_ELEMENTS, "element exceeds the limit", Where())
    if sum(thing["tag"] == "table" for thing in tagged) > MAX_TABLES:
        raise CardError(UNSUPPORTED_BLOCK, "card table number over limit", Where(), value="table")


def _check_element_ids(card: Mapping[str, Any]) -> None:
    """An element_id is unique within the card."""
    names = [thing.get("element_id") for thing in _tagged(card)]
    counts = Counter(name for name in names if isinstance(name, str))
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        Where().wrong(f"duplicate element_id: {repeated[0]}")


def _tagged(value: object) -> Iterator[Mapping[str, Any]]:
    """Every object with a tag, wherever it stands."""
    if isinstance(value, dict):
        if isinstance(value.get("tag"), str):
            yield value
        for child in value.values():
            yield from _tagged(child)
    elif isinstance(value, list):
        for child in value:
            yield from _tagged(child)


def behavior(value: Any, where: Where) -> None:
    """Open an address; a custom bot has nobody to call back (add-custom-bot)."""
    obj(value, where)
    if value.get("type") == "callback":
        where.wrong("custom bots only support behaviors of type open_url")
    _OPEN_URL(value, where)


def button_text(value: Any, where: Where) -> None:
    """The label of a button, of at most 100 characters as reported (its page names no limit)."""
    _LABEL(value, where)
    if len(value.get("content", "")) > MAX_BUTTON_TEXT:
        where.wrong(f"button text exceeds {MAX_BUTTON_TEXT} characters")


def element(value: Any, where: Where) -> None:
    """Check a component by its tag, and that it may stand here."""
    obj(value, where)
    tag = value.get("tag")
    string(tag, where)
    if tag in DROPPED_IN_SCHEMA_2:
        problem = "cards of schema V2 no longer support this capability"
        raise CardError(NOT_IN_SCHEMA_2, problem, where, value=f"unsupported tag {tag}")
    if tag not in _COMPONENTS:
        where.wrong(f"not support tag: {tag}")
    _check_nesting(tag, where)
    _COMPONENTS[tag](value, where)


def _check_nesting(tag: str, where: Where) -> None:
    """Tables stand at the root only (table); containers hold five layers at most (column-set)."""
    if tag in ROOT_ONLY and where.containers:
        where.wrong(f"type of element is not supported tag: {tag}")
    if where.containers > MAX_NESTING:
        where.wrong(f"containers are nested more than {MAX_NESTING} deep")


# The frame and the components. `rich-text`, `title` and so on name the page.

_COLOR = pattern(r"|[a-z][a-z0-9_-]*|rgba\([\d., ]+\)")  # the service refuses "#999999": "invalid color"
_LENGTH = pattern(r"\d+px")
_MARGIN = pattern(r"(0|-?\d{1,2}px)(( (0|-?\d{1,2}px))|( (0|-?\d{1,2}px)){3})?")  # one, two or four
_PADDING = pattern(r"(0|\d{1,2}px)(( (0|\d{1,2}px))|( (0|\d{1,2}px)){3})?")
_PANEL_HEADER_PADDING = pattern(r"(0|\d{1,2}px)(( (0|\d{1,2}px)){3})?")  # two: "invalid panel header padding"
_SPACING = pattern(r"default|small|medium|large|extra_large|0|\d{1,2}px")
_LEFT_TO_RIGHT = literal("left", "center", "right")
_TOP_TO_BOTTOM = literal("top", "center", "bottom")
_ELEMENT_ID = pattern(r"[A-Za-z][A-Za-z0-9_]{0,19}")

_I18N = map_of(string)
_LABEL = shape({"tag": literal("plain_text", "lark_md"), "content": string, "i18n_content": _I18N}, "tag")
_PLAIN = shape({"tag": literal("plain_text"), "content": string, "i18n_content": _I18N}, "tag")
_TEXT = shape(  # plain-text
    {
        "tag": literal("plain_text", "lark_md"),
        "content": string,
        "i18n_content": _I18N,
        "text_size": string,
        "text_color": _COLOR,
        "text_align": _LEFT_TO_RIGHT,
        "lines": integer(1, 1000),
    },
    "tag",
    "content",
)
_ICON_PROPERTIES: dict[str, Check] = {
    "tag": literal("standard_icon", "custom_icon"),
    "token": string,
    "color": _COLOR,
    "img_key": string,
}
_ICON = shape(_ICON_PROPERTIES)
_URLS: dict[str, Check] = {"pc_url": string, "ios_url": string, "android_url": string}
_LINK = shape({"url": string, **_URLS})
_OPEN_URL = shape({"type": literal("open_url"), "default_url": string, **_URLS}, "type", "default_url")
_CONFIRM = shape({"title": _PLAIN, "text": _PLAIN}, "title")

_ANY_COMPONENT: dict[str, Check] = {"element_id": _ELEMENT_ID, "margin": _MARGIN}
_ELEMENTS = list_of(element)
_LAYOUT: dict[str, Check] = {
    "direction": literal("vertical", "horizontal"),
    "padding": _PADDING,
    "horizontal_spacing": _SPACING,
    "horizontal_align": _LEFT_TO_RIGHT,
    "vertical_spacing": _SPACING,
    "vertical_align": _TOP_TO_BOTTOM,
}
_CLICK_ACTION = shape({"multi_url": _LINK})


def _component(tag: str, properties: Mapping[str, Check], *required: str) -> Shape:
    return shape({"tag": literal(tag), **_ANY_COMPONENT, **properties}, "tag", *required)


_DIV = _component(  # plain-text; `fields` stands only in the example of that page
    "div",
    {
        "width": pattern(r"fill|auto|\d{2,3}px"),
        "text": _TEXT,
        "icon": _ICON,
        "fields": list_of(shape({"is_short": boolean, "text": _TEXT}, "text")),
    },
)
_MARKDOWN = _component(  # rich-text
    "markdown",
    {
        "content": string,
        "i18n_content": _I18N,
        "text_size": string,
        "text_align": _LEFT_TO_RIGHT,
        "icon": _ICON,
    },
    "content",
)
_HR = _component("hr", {})  # divider
_IMG = _component(  # image
    "img",
    {
        "img_key": string,
        "alt": _PLAIN,
        "title": _PLAIN,
        "corner_radius": pattern(r"\d+(px|%)"),
        "scale_type": literal("crop_center", "crop_top", "fit_horizontal"),
        "size": pattern(r"large|medium|small|tiny|stretch|\d+px \d+px"),
        "transparent": boolean,
        "preview": boolean,
        "mode": literal("large", "crop_center", "fit_horizontal", "stretch"),
        "custom_width": anything,
        "compact_width": boolean,
    },
    "img_key",
    "alt",
)
_PERSON = _component(  # user-profile
    "person",
    {
        "user_id": string,
        "size": literal("extra_small", "small", "medium", "large"),
        "show_avatar": boolean,
        "show_name": boolean,
        "style": literal("normal", "capsule"),
    },
    "user_id",
)
_CHART = _component(  # chart
    "chart",
    {
        "chart_spec": obj,
        "aspect_ratio": literal("1:1", "2:1", "4:3", "16:9"),
        "color_theme": literal("brand", "rainbow", "complementary", "converse", "primary"),
        "preview": boolean,
        "height": pattern(r"auto|\d{1,3}px"),
    },
    "chart_spec",
)
_TABLE_HEADER = shape(
    {
        "text_align": _LEFT_TO_RIGHT,
        "text_size": literal("normal", "heading"),
        "background_style": literal("grey", "none"),
        "text_color": literal("default", "grey"),
        "bold": boolean,
        "lines": integer(1, 1000),
    }
)
_TABLE_COLUMN = shape(
    {
        "name": string,
        "display_name": string,
        "width": pattern(r"auto|\d{2,3}px|\d{1,3}%"),
        "vertical_align": _TOP_TO_BOTTOM,
        "horizontal_align": _LEFT_TO_RIGHT,
        "data_type": literal("text", "lark_md", "options", "number", "persons", "date", "markdown"),
        "format": shape({"precision": integer(0, 10), "symbol": string, "separator": boolean}),
        "date_format": string,
    },
    "name",
    "data_type",
)
_TABLE = _component(  # table
    "table",
    {
        "page_size": integer(1, 10),
        "row_height": pattern(r"low|middle|high|auto|\d{2,3}px"),
        "row_max_height": pattern(r"\d{2,3}px"),
        "freeze_first_column": boolean,
        "header_style": _TABLE_HEADER,
        "columns": list_of(_TABLE_COLUMN),
        "rows": list_of(obj),
    },
    "columns",
    "rows",
)
_BUTTON = _component(  # button
    "button",
    {
        "type": literal(
            "default",
            "primary",
            "danger",
            "text",
            "primary_text",
            "danger_text",
            "primary_filled",
            "danger_filled",
            "laser",
        ),
        "size": literal("tiny", "small", "medium", "large"),
        "width": pattern(r"default|fill|\d{3,}px"),
        "text": button_text,
        "icon": _ICON,
        "hover_tips": _PLAIN,
        "disabled": boolean,
        "disabled_tips": _PLAIN,
        "confirm": _CONFIRM,
        "behaviors": list_of(behavior),
        "url": string,
        "multi_url": _LINK,
        "value": obj,
    },
)
_COLUMN = shape(
    {
        "tag": literal("column"),
        **_ANY_COMPONENT,
        **_LAYOUT,
        "background_style": _COLOR,
        "width": pattern(r"auto|weighted|\d{2,3}px"),
        "weight": integer(1, 5),
        "action": _CLICK_ACTION,
        "elements": _ELEMENTS,
    },
    "tag",
)
_COLUMN_SET = _component(  # column-set
    "column_set",
    {
        "horizontal_spacing": _SPACING,
        "horizontal_align": _LEFT_TO_RIGHT,
        "flex_mode": literal("none", "stretch", "flow", "bisect", "trisect"),
        "background_style": _COLOR,
        "action": _CLICK_ACTION,
        "columns": list_of(_COLUMN),
    },
    "columns",
)
_PANEL_HEADER = shape(
    {
        "title": shape({"tag": literal("plain_text", "markdown"), "content": string, "i18n_content": _I18N}),
        "background_color": _COLOR,
        "width": literal("fill", "auto", "auto_when_fold"),
        "vertical_align": _TOP_TO_BOTTOM,
        "padding": _PANEL_HEADER_PADDING,
        "position": literal("top", "bottom"),
        "icon": shape({**_ICON_PROPERTIES, "size": pattern(r"\d{1,3}px \d{1,3}px")}),
        "icon_position": literal("left", "right", "follow_text"),
        "icon_expanded_angle": literal(-180, -90, 90, 180),
    }
)
_COLLAPSIBLE_PANEL = _component(  # collapsible-panel
    "collapsible_panel",
    {
        **_LAYOUT,
        "expanded": boolean,
        "background_color": _COLOR,
        "header": _PANEL_HEADER,
        "border": shape({"color": _COLOR, "corner_radius": _LENGTH}),
        "elements": _ELEMENTS,
    },
    "header",
)
_INTERACTIVE_CONTAINER = _component(  # interactive-container
    "interactive_container",
    {
        **_LAYOUT,
        "width": pattern(r"fill|auto|\d{2,3}px"),
        "height": pattern(r"auto|\d{2,3}px"),
        "background_style": _COLOR,
        "has_border": boolean,
        "border_color": _COLOR,
        "corner_radius": pattern(r"\d+(px|%)"),
        "behaviors": list_of(behavior),
        "hover_tips": _PLAIN,
        "disabled": boolean,
        "disabled_tips": _PLAIN,
        "confirm": _CONFIRM,
        "elements": _ELEMENTS,
    },
    "behaviors",
    "elements",
)
_COMPONENTS: Mapping[str, Shape] = {
    "button": _BUTTON,
    "chart": _CHART,
    "collapsible_panel": _COLLAPSIBLE_PANEL,
    "column_set": _COLUMN_SET,
    "div": _DIV,
    "hr": _HR,
    "img": _IMG,
    "interactive_container": _INTERACTIVE_CONTAINER,
    "markdown": _MARKDOWN,
    "person": _PERSON,
    "table": _TABLE,
}

_TEXT_TAGS = list_of(
    shape(
        {
            "tag": literal("text_tag"),
            "element_id": _ELEMENT_ID,
            "text": _LABEL,
            "color": literal(
                "neutral",
                "blue",
                "turquoise",
                "lime",
                "orange",
                "violet",
                "indigo",
                "wathet",
                "green",
                "yellow",
                "red",
                "purple",
                "carmine",
            ),
        },
        "tag",
    )
)
_HEADER = shape(  # title
    {
        "title": _LABEL,
        "subtitle": _LABEL,
        "text_tag_list": _TEXT_TAGS,
        "i18n_text_tag_list": map_of(_TEXT_TAGS),
        "template": literal(
            "blue",
            "wathet",
            "turquoise",
            "green",
            "yellow",
            "orange",
            "red",
            "carmine",
            "violet",
            "purple",
            "indigo",
            "grey",
            "default",
        ),
        "icon": _ICON,
        "padding": _PADDING,
    },
    "title",
)
_STYLE = shape(
    {
        "text_size": map_of(shape({"default": string, "pc": string, "mobile": string})),
        "color": map_of(shape({"light_mode": string, "dark_mode": string})),
    }
)
_CONFIG = shape(
    {
        "streaming_mode": boolean,
        "streaming_config": obj,
        "summary": shape({"content": string, "i18n_content": _I18N}),
        "locales": list_of(string),
        "enable_forward": boolean,
        "update_multi": literal(True),  # "currently only supports setting it to true"
        "width_mode": literal("default", "compact", "fill"),
        "use_custom_translation": boolean,
        "enable_forward_interaction": boolean,
        "style": _STYLE,
    }
)
_CARD = shape(  # card-json-v2-structure
    {
        "schema": literal("2.0"),
        "config": _CONFIG,
        "card_link": _LINK,
        "header": _HEADER,
        "body": shape({**_LAYOUT, "elements": _ELEMENTS}),
    }
)
