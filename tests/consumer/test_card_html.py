import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.consumer.views import view
from tocsin_consumer.card_html import card_to_html
from tocsin_consumer.receivers.feishu_card import card_of
from tocsin_consumer.receivers.feishu_group import LINES_LISTED
from tocsin_consumer.samples import samples


class _Page(HTMLParser):
    """What a browser would make of a page: tags with their attributes, and the text outside of style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += "" if self.tags[-1][0] == "style" and "{" in data else data


_KNOWN_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "p", "div", "header", "h1", "span"),
    *("b", "i", "s", "a", "code", "hr"),
}


def _markdown(content: str) -> dict[str, Any]:
    return {"schema": "2.0", "body": {"elements": [{"tag": "markdown", "content": content}]}}


@pytest.mark.parametrize("name", samples())
def test_a_page_says_all_that_the_card_says(name: str) -> None:
    shown = view(name)
    page = _Page(card_to_html(card_of(shown)))
    if shown.line_count == 1:
        assert (shown.message if shown.remark is None else shown.remark) in page.text
    assert all(line.label in page.text for line in shown.lines[:LINES_LISTED] if shown.line_count > 1)
    assert shown.changes in page.text
    assert all(label in page.text and value in page.text for label, value in shown.rows)
    assert shown.title in page.text
    assert shown.cluster_label in page.text


@pytest.mark.parametrize(
    "hostile", [view("hostile").message, "\"'><script>alert(1)</script><img src=x onerror=y>"]
)
def test_nothing_in_a_card_becomes_markup_or_loads_anything(hostile: str) -> None:
    card = card_of(view("hostile"), title=hostile)
    card["body"]["elements"] += [
        {"tag": "markdown", "content": hostile},
        {"tag": hostile},
        {
            "tag": "div",
            "text": {"tag": "plain_text", "content": hostile, "text_color": hostile, "text_size": hostile},
        },
        {"tag": "column_set", "flex_mode": hostile, "columns": [{"vertical_spacing": hostile, "elements": []}]},
    ]
    card["header"]["template"] = card["header"]["text_tag_list"][0]["color"] = hostile
    page = _Page(card_to_html(card))
    assert {tag for tag, _ in page.tags} <= _KNOWN_TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= {
        *("class", "style", "charset", "name", "content", "http-equiv")
    }
    assert not any("url(" in (attributes.get("style") or "") for _, attributes in page.tags)


def test_the_header_has_the_colour_of_its_template() -> None:
    red, green = card_to_html(card_of(view("node-not-ready"))), card_to_html(card_of(view("node-ready")))
    assert "background:#fde2e2" in red
    assert "background:#d9f5d6" in green


def test_no_more_tags_are_drawn_than_are_shown() -> None:
    tag = {"tag": "text_tag", "text": {"tag": "plain_text", "content": "x"}, "color": "red"}
    header = {"title": {"tag": "plain_text", "content": "t"}, "text_tag_list": [tag] * 5}
    assert card_to_html({"header": header, "elements": []}).count('class="tag"') == 3


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**bold** text", "<b>bold</b> text"),
        ("a*b*c 2*3", "a*b*c 2*3"),
        ("`x<y`", "<code>x&lt;y</code>"),
        ("&#60;at id=all&#62; &#42;&#42;", "&#60;at id=all&#62; &#42;&#42;"),
        ("<at id=all></at>", "<a>@all</a>"),
        ("<font color='red'>x</font>", '<span style="color:#ac2f28">x</span>'),
        ("[docs](https://example.com/)", "<a>docs</a>"),
        ("one<br>two", "one\ntwo"),
        ("- item", "• item"),
    ],
)
def test_markdown_is_drawn_as_the_client_does(markdown: str, html: str) -> None:
    page = card_to_html(_markdown(markdown))
    assert re.search(r'class="text"[^>]*>(.*?)</div>', page, re.DOTALL)[1] == html  # type: ignore[index]


def test_a_card_of_the_first_version_is_drawn_too() -> None:
    card = {
        "header": {"title": {"tag": "plain_text", "content": "Title"}, "template": "red"},
        "elements": [
            {"tag": "div", "text": {"tag": "lark_md", "content": "**EventType:** Warning"}},
            {"tag": "hr"},
            {"tag": "note", "elements": [{"tag": "plain_text", "content": "small"}]},
            {"tag": "chart"},
        ],
    }
    page = card_to_html(card)
    assert "<b>EventType:</b> Warning" in page
    assert "<hr>" in page
    assert "small" in page
    assert '<div class="unknown">chart</div>' in page


@pytest.mark.parametrize(
    "card",
    [
        {"header": {"title": "t", "text_tag_list": None}, "elements": []},
        {"header": {"text_tag_list": {"a": 1}}, "elements": None},
        {"header": "h", "config": [], "elements": [{"tag": "div", "text": "hello", "fields": 3}]},
        {"body": {"elements": [{"tag": "column_set", "columns": [{"width": "weighted", "weight": "auto"}, 7]}]}},
        {"body": {"elements": {"tag": "div"}}},
        {"body": "hello"},
        {"elements": [{"tag": "column_set", "columns": "x"}, {"tag": ["list"]}, {"tag": "button", "text": 1}]},
    ],
)
def test_a_card_of_the_wrong_shape_is_drawn_as_far_as_it_goes(card: dict[str, Any]) -> None:
    assert "</html>" in card_to_html(card)


def test_a_text_where_an_object_belongs_is_told() -> None:
    assert "text: expected an object" in card_to_html({"elements": [{"tag": "div", "text": "hello"}]})


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ({"text_align": "right"}, "text-align:right"),
        ({"lines": 2}, "-webkit-line-clamp:2"),
        ({"text_align": "right;x:y", "lines": "2;x:y"}, None),
    ],
)
def test_a_text_is_aligned_and_cut_as_the_card_says(text: dict[str, Any], style: str | None) -> None:
    page = card_to_html({"elements": [{"tag": "div", "text": {"tag": "plain_text", "content": "c", **text}}]})
    (drawn,) = re.findall(r'class="text" style="([^"]*)"', page)
    assert "x:y" not in drawn
    assert style is None or style in drawn


@pytest.mark.parametrize(
    ("column", "flex"), [({"width": "weighted", "weight": 3}, "3 1 0"), ({"width": "auto"}, "0 0 auto")]
)
def test_a_column_has_its_share_of_the_room_or_what_it_needs(column: dict[str, Any], flex: str) -> None:
    page = card_to_html({"elements": [{"tag": "column_set", "columns": [{**column, "elements": []}]}]})
    assert f"flex:{flex};" in page
