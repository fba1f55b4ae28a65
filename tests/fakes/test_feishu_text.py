from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.feishu_text import Reading, Text, read, rich_text, text_message

HOSTILE = "<at id=all></at>"


def plain(content: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": content}


def card_2(*elements: object, **parts: object) -> Reading:
    return read(
        {"msg_type": "interactive", "card": {"schema": "2.0", "body": {"elements": list(elements)}, **parts}}
    )


def card_1(*elements: object) -> Reading:
    return read({"msg_type": "interactive", "card": {"elements": list(elements)}})


def post(*nodes: object) -> Reading:
    return read({"msg_type": "post", "content": {"post": {"zh_cn": {"title": "T", "content": [list(nodes)]}}}})


@pytest.mark.parametrize(
    "content",
    ["<at id=all></at>", "<at id='all'></at>", '<at  id = "all" >x</at>', "<AT ID=all>", "`<at id=all></at>`"],
)
def test_markdown_pings_everybody(content: str) -> None:
    assert rich_text(content).mentions == ("all",)


def test_markdown_pings_several_people_and_by_email() -> None:
    assert rich_text("<at ids=ou_1,ou_2></at> <at email=a@b.c></at>").mentions == ("ou_1", "ou_2", "a@b.c")


@pytest.mark.parametrize(
    "content", ["&#60;at id=all&#62;&#60;/at&#62;", "<\u200bat id=all></at>", "<attach id=all>", "@all"]
)
def test_escaped_markdown_pings_nobody(content: str) -> None:
    assert rich_text(content).mentions == ()


def test_escaped_markdown_is_shown_as_it_was_meant() -> None:
    assert rich_text("&#60;at id=all&#62; &#42;&#42;no&#42;&#42; &#38;#60;") == Text("<at id=all> **no** &#60;")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("**bold** and *it* and ~~gone~~ and `code`", "bold and it and gone and code"),
        ("# Heading", "Heading"),
        ("[Runbook](https://example.com)", "Runbook"),
        ("<font color='red'>x14</font> <text_tag color='blue'>ops</text_tag>", "x14 ops"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<local_datetime millisecond='1599360473000' format_type='date_num'></local_datetime>", "2020-09-06"),
        ('<local_datetime millisecond="1599360473000" format_type="time_sec"></local_datetime>', "02:47:53"),
        ("<local_datetime millisecond=1599360473000></local_datetime>", "2020-09-06"),
        ("my_pod_name * 2", "my_pod_name * 2"),
    ],
)
def test_markup_is_not_seen(content: str, shown: str) -> None:
    assert rich_text(content) == Text(shown)


def test_a_text_message_pings_by_user_id_and_shows_entities_as_they_are() -> None:
    assert text_message('<at user_id="all">all</at> &#60;') == Text("@allall &#60;", ("all",))


@pytest.mark.parametrize("content", ['<\u200bat user_id="all"></at>', "<at id=all></at>"])
def test_a_text_message_pings_nobody_otherwise(content: str) -> None:
    assert text_message(content).mentions == ()


def test_plain_text_in_a_card_is_inert() -> None:
    reading = card_2({"tag": "div", "text": plain(HOSTILE)}, header={"title": plain(HOSTILE)})
    assert (reading.title, reading.body, reading.mentions) == (HOSTILE, HOSTILE, ())


def test_markdown_anywhere_in_a_card_pings() -> None:
    lark_md = {"tag": "lark_md", "content": HOSTILE}
    column = {"tag": "column", "elements": [{"tag": "markdown", "content": HOSTILE}]}
    table = {"tag": "table", "columns": [{"name": "a", "data_type": "lark_md"}], "rows": [{"a": HOSTILE}]}
    panel = {
        "tag": "collapsible_panel",
        "header": {"title": lark_md},
        "elements": [{"tag": "div", "text": lark_md}],
    }
    reading = card_2(
        {"tag": "column_set", "columns": [column]},
        table,
        panel,
        {"tag": "div", "fields": [{"text": lark_md}]},
        header={"title": lark_md, "subtitle": lark_md, "text_tag_list": [{"tag": "text_tag", "text": lark_md}]},
    )
    assert reading.mentions == ("all",) * 8


def test_a_card_is_read_from_top_to_bottom() -> None:
    reading = card_2(
        {"tag": "div", "text": plain("first")},
        {"tag": "hr"},
        {"tag": "button", "text": plain("Runbook"), "hover_tips": plain("unseen")},
        {"tag": "person", "user_id": "ou_1"},
        header={
            "title": plain("BackOff"),
            "subtitle": plain("edge-042"),
            "text_tag_list": [{"tag": "text_tag", "text": plain(str(n))} for n in range(4)],
        },
        config={"summary": {"content": "BackOff x14"}},
    )
    assert reading == Reading(
        title="BackOff",
        subtitle="edge-042",
        tags=("0", "1", "2"),
        body="first\nRunbook\n[person ou_1]",
        preview="BackOff x14",
    )


def test_a_table_is_read_row_by_row() -> None:
    columns = [
        {"name": "pod", "display_name": "Pod", "data_type": "text"},
        {"name": "state", "display_name": "State", "data_type": "options"},
        {"name": "count", "display_name": "Count", "data_type": "number"},
    ]
    rows = [{"pod": "<at id=all>", "state": [{"text": "down", "color": "red"}], "count": 3}, {"pod": "b"}]
    reading = card_2({"tag": "table", "columns": columns, "rows": rows})
    assert reading.body == "Pod | State | Count\n<at id=all> | down | 3\nb |  | "
    assert reading.mentions == ()


def test_a_card_of_schema_1_is_read_where_its_elements_stand() -> None:
    note = {"tag": "note", "elements": [plain("small print")]}
    action = {"tag": "action", "actions": [{"tag": "button", "text": plain("Runbook")}]}
    assert card_1({"tag": "div", "text": plain("first")}, note, action).body == "first\nsmall print\nRunbook"


@pytest.mark.parametrize("odd", [{"header": "x"}, {"header": {"title": 1}, "config": []}, {"elements": [None, 1]}])
def test_an_odd_card_of_schema_1_shows_nothing(odd: dict[str, Any]) -> None:
    assert read({"msg_type": "interactive", "card": odd}) == Reading()


def test_text_in_a_post_is_inert_and_at_is_a_node_of_its_own() -> None:
    reading = post(
        {"tag": "text", "text": HOSTILE}, {"tag": "at", "user_id": "all"}, {"tag": "img", "image_key": "i"}
    )
    assert (reading.title, reading.body, reading.mentions) == ("T", f"{HOSTILE}@all[image]", ("all",))


def test_entities_in_a_post_are_resolved_on_request_only() -> None:
    kept, resolved = {"tag": "text", "text": "&lt;"}, {"tag": "text", "text": "&lt;", "un_escape": True}
    assert post(kept, resolved).body == "&lt;<"


def test_other_messages_are_named() -> None:
    assert read({"msg_type": "image", "content": {"image_key": "i"}}).body == "[image]"
