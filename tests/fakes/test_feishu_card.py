from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.feishu_card import check_card
from tests.fakes.feishu_shape import CardError

PLAIN = {"tag": "plain_text", "content": "Back-off restarting failed container"}
DIV = {"tag": "div", "text": PLAIN}
HR = {"tag": "hr"}
TABLE = {
    "tag": "table",
    "page_size": 5,
    "columns": [{"name": "pod", "display_name": "Pod", "data_type": "text", "width": "120px"}],
    "rows": [{"pod": "api-7c9"}],
}
BUTTON = {
    "tag": "button",
    "type": "primary",
    "text": {"tag": "plain_text", "content": "Runbook"},
    "behaviors": [{"type": "open_url", "default_url": "https://example.com/runbook"}],
}
COLUMN_SET = {
    "tag": "column_set",
    "flex_mode": "none",
    "horizontal_spacing": "8px",
    "columns": [{"tag": "column", "width": "weighted", "weight": 1, "elements": [DIV]}],
}
PANEL = {
    "tag": "collapsible_panel",
    "expanded": False,
    "header": {"title": {"tag": "plain_text", "content": "12 more"}, "padding": "4px 0px 4px 8px"},
    "border": {"color": "grey", "corner_radius": "5px"},
    "elements": [DIV],
}
EVERY_COMPONENT = [
    DIV,
    {"tag": "div", "fields": [{"is_short": True, "text": {"tag": "lark_md", "content": "**a**"}}]},
    {"tag": "markdown", "content": "# heading", "text_size": "notation", "element_id": "head"},
    HR,
    BUTTON,
    COLUMN_SET,
    PANEL,
    TABLE,
    {"tag": "img", "img_key": "img_v2_1", "alt": {"tag": "plain_text", "content": ""}},
    {"tag": "person", "user_id": "ou_1"},
    {"tag": "chart", "chart_spec": {"type": "line"}},
    {
        "tag": "interactive_container",
        "behaviors": [{"type": "open_url", "default_url": "https://example.com"}],
        "elements": [HR],
    },
]
ROOT = "ROOT -> body -> elements -> [0]"


def card(*elements: object, **parts: object) -> dict[str, Any]:
    return {"schema": "2.0", "body": {"elements": list(elements)}, **parts}


def header(**properties: object) -> dict[str, Any]:
    return card(DIV, header={"title": PLAIN, **properties})


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = HR
    for _ in range(depth):
        inner = {**PANEL, "elements": [inner]}
    return inner


def refusal(one: dict[str, Any]) -> CardError:
    with pytest.raises(CardError) as caught:
        check_card(one)
    return caught.value


def test_a_card_with_everything_that_is_documented_is_accepted() -> None:
    check_card(
        {
            "schema": "2.0",
            "config": {
                "update_multi": True,
                "enable_forward": True,
                "width_mode": "fill",
                "summary": {"content": "[edge-042] BackOff x14"},
                "style": {"text_size": {"cus-0": {"default": "medium", "pc": "medium", "mobile": "large"}}},
            },
            "card_link": {"url": "https://example.com"},
            "header": {
                "title": PLAIN,
                "subtitle": PLAIN,
                "template": "red",
                "icon": {"tag": "standard_icon", "token": "chat_outlined", "color": "red"},
                "text_tag_list": [{"tag": "text_tag", "text": PLAIN, "color": "red", "element_id": "t1"}],
                "padding": "12px 8px 12px 8px",
            },
            "body": {"direction": "vertical", "vertical_spacing": "medium", "elements": EVERY_COMPONENT},
        }
    )


@pytest.mark.parametrize("one", [{}, {"elements": [{"tag": "note", "anything": 1}], "unknown": True}])
def test_a_card_of_schema_1_is_hardly_checked(one: dict[str, Any]) -> None:
    check_card(one)


def test_even_in_schema_1_elements_are_a_list() -> None:
    assert refusal({"elements": {}}).code == 200621


def test_there_is_no_schema_3() -> None:
    assert refusal({"schema": "3.0"}).path == "ROOT -> schema"


@pytest.mark.parametrize(
    ("one", "path"),
    [
        (card(DIV, elements=[]), "ROOT"),
        (card(DIV, config={"wide_screen_mode": True}), "ROOT -> config"),
        (header(color="red"), "ROOT -> header"),
        (
            header(text_tag_list=[{"tag": "text_tag", "style": 1}]),
            "ROOT -> header -> text_tag_list -> [0](tag: text_tag)",
        ),
        (card({**DIV, "elements": []}), f"{ROOT}(tag: div)"),
        (card({"tag": "div", "text": {**PLAIN, "text_weight": 1}}), f"{ROOT}(tag: div) -> text(tag: plain_text)"),
        (card({"tag": "markdown", "content": "", "href": {}}), f"{ROOT}(tag: markdown)"),
        (card({**COLUMN_SET, "corner_radius": "4px"}), f"{ROOT}(tag: column_set)"),
        (card({**PANEL, "border": {"type": "default"}}), f"{ROOT}(tag: collapsible_panel) -> border"),
    ],
)
def test_an_unknown_property_is_an_error_that_names_its_place(one: dict[str, Any], path: str) -> None:
    error = refusal(one)
    assert (error.code, error.path) == (200621, path)
    assert str(error).startswith("ErrCode: 200621; ErrMsg: unknown property, property: ")


@pytest.mark.parametrize("tag", ["note", "action"])
def test_components_that_schema_2_has_dropped_are_refused(tag: str) -> None:
    error = refusal(card({"tag": tag}))
    assert error.code == 200861
    assert f"unsupported tag {tag}" in str(error)


@pytest.mark.parametrize("one", [{"tag": "divider"}, {"tag": []}, {}, "text", None])
def test_what_is_no_component_is_refused(one: object) -> None:
    assert refusal(card(one)).code == 200621


@pytest.mark.parametrize(
    "one",
    [
        header(template="pink"),
        header(text_tag_list=[{"tag": "text_tag", "color": "grey"}]),
        card(DIV, header={"subtitle": PLAIN}),
        card(DIV, config={"update_multi": False}),
        card(DIV, config={"width_mode": "wide"}),
        card(DIV, config={"summary": "text"}),
        card({"tag": "div", "text": {**PLAIN, "text_color": "#999999"}}),
        card({"tag": "div", "text": {"tag": "plain_text"}}),
        card({"tag": "markdown"}),
        card({"tag": "markdown", "content": 7}),
        card({**HR, "margin": "4px 4px 4px"}),
        card({**BUTTON, "type": "warning"}),
        card({**BUTTON, "behaviors": [{"type": "open_url"}]}),
        card({**BUTTON, "behaviors": [{"type": "callback", "value": {}}]}),
        card({**BUTTON, "text": {"tag": "plain_text", "content": "x" * 101}}),
        card({**TABLE, "page_size": 11}),
        card({**TABLE, "rows": None}),
        card({**PANEL, "header": {"title": {"tag": "lark_md", "content": ""}}}),
        card({**PANEL, "header": {"padding": "4px 8px"}}),
        card({**COLUMN_SET, "columns": [{"tag": "column", "weight": 6}]}),
    ],
)
def test_a_value_that_is_not_documented_is_refused(one: dict[str, Any]) -> None:
    assert refusal(one).code == 200621


@pytest.mark.parametrize("name", ["7up", "with-dash", "x" * 21, ""])
def test_an_element_id_is_a_short_identifier(name: str) -> None:
    check_card(card({**HR, "element_id": "x" * 20}))
    assert refusal(card({**HR, "element_id": name})).path == f"{ROOT}(tag: hr) -> element_id"


def test_an_element_id_is_unique() -> None:
    assert "duplicate element_id: a" in str(refusal(card({**HR, "element_id": "a"}, {**DIV, "element_id": "a"})))


def test_what_a_chart_draws_is_its_own_affair() -> None:
    check_card(card({"tag": "chart", "chart_spec": {"tag": "x", "element_id": []}}))


def test_a_card_has_200_elements_at_most_and_texts_count() -> None:
    check_card(card(*[DIV] * 100))
    assert refusal(card(*[DIV] * 100, HR)).code == 300305


def test_a_card_has_five_tables_at_most() -> None:
    check_card(card(*[TABLE] * 5))
    error = refusal(card(*[TABLE] * 6))
    assert error.code == 11310
    assert "card table number over limit" in str(error)


def test_a_table_stands_at_the_root_only() -> None:
    assert "not supported tag: table" in str(refusal(card({**PANEL, "elements": [TABLE]})))


def test_containers_nest_five_deep() -> None:
    check_card(card(nested(5)))
    assert "nested more than 5 deep" in str(refusal(card(nested(6))))
