import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.views import view
from tests.fakes.feishu_card import check_card
from tests.fakes.feishu_text import read, rich_text, text_message
from tocsin_consumer.labels import LABELS, Language
from tocsin_consumer.receivers.feishu_card import card_message, card_of, with_keyword
from tocsin_consumer.receivers.feishu_text import escape_in, escape_markdown, escape_text
from tocsin_consumer.samples import samples

NOTICES = [name for name in samples() if view(name).rows]


def _texts(card: Any) -> list[str]:
    """Every text of a card in the order of reading."""
    if isinstance(card, dict):
        own = [card["content"]] if isinstance(card.get("content"), str) else []
        return own + [text for child in card.values() for text in _texts(child)]
    return [text for child in card for text in _texts(child)] if isinstance(card, list) else []


@pytest.mark.parametrize("language", LABELS)
@pytest.mark.parametrize("title", [None, "XXX IoT K3S 集群告警"])
@pytest.mark.parametrize("name", samples())
def test_a_card_has_no_property_that_is_not_documented(name: str, title: str | None, language: Language) -> None:
    check_card(card_of(view(name, language=language), title=title))


@pytest.mark.parametrize(
    ("name", "colour"),
    [("node-not-ready", "red"), ("back-off", "orange"), ("node-ready", "green")],
)
def test_the_header_has_the_colour_of_the_severity(name: str, colour: str) -> None:
    assert card_of(view(name))["header"]["template"] == colour


def test_the_header_says_what_where_and_how_often() -> None:
    header = card_of(view("back-off", language="zh"))["header"]
    assert _texts(header) == [
        "BackOff · production/api-7c9f6d5b8-x2x7p",
        "edge-042",
        "×14",  # noqa: RUF001 - the sign itself
        "Pod · 容器 api · 节点 pi-3 · kubelet",
    ]


def test_the_body_says_since_when_and_what() -> None:
    assert _texts(card_of(view("back-off", language="zh"))["body"]) == [
        "首次 (UTC+8)",
        "2026-11-24 01:46:38",
        "最近 (+1 小时 32 分钟)",
        "2026-11-24 03:18:52",
        view("back-off").message,
        "建议：容器启动后反复退出。看它退出前的最后输出，以及退出码（137 多为内存超限）。",  # noqa: RUF001
        f"```bash\n{view('back-off').command}\n```",
    ]


@pytest.mark.parametrize("name", ["a`b", "a<at id=all></at>b", "a&#60;b", "a\\b", 'a"b', "数据", "a$b"])
def test_a_command_with_what_could_be_markup_is_a_plain_text(name: str) -> None:
    command = f"kubectl logs '{name}'"
    card = card_of(replace(view(), command=command))
    check_card(card)
    assert '"tag": "markdown"' not in json.dumps(card)
    assert command in _texts(card)


@given(st.text(min_size=1))
def test_no_command_mentions_anybody_or_changes_by_markdown(command: str) -> None:
    card = card_of(replace(view(), command=command))
    assert read(card_message(card)).mentions == ()
    assert command in _texts(card) or rich_text(_texts(card)[-1]).shown == command


def test_an_event_of_which_nothing_is_known_has_no_hint_on_its_card() -> None:
    assert not [text for text in _texts(card_of(view("node-ready"))) if "Hint" in text or "```" in text]


def test_what_happened_once_has_one_time_and_no_count() -> None:
    texts = _texts(card_of(view("node-not-ready")))
    assert sum("2026-11-24" in text for text in texts) == 1
    assert not any("×" in text for text in texts)  # noqa: RUF001 - the sign itself


def test_what_was_held_back_says_for_how_long_and_until_when() -> None:
    texts = _texts(card_of(view("held-back", language="zh")))
    assert "迟到 2 小时 5 分钟" in texts
    assert texts[texts.index("收到") + 1] == "2026-11-24 03:18:54"
    assert "收到" not in _texts(card_of(view("back-off", language="zh")))


@pytest.mark.parametrize("name", samples())
def test_no_field_of_a_card_is_empty(name: str) -> None:
    assert all(text.strip() for text in _texts(card_of(view(name))))


@pytest.mark.parametrize("language", LABELS)
@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_says_below_its_rows_nothing_that_stands_in_them(name: str, language: Language) -> None:
    shown = view(name, language=language)
    texts = _texts(card_of(shown)["body"])
    said = texts[2 * len(shown.rows) :]
    assert not [value for _, value in shown.rows if any(value in text for text in said)]
    assert shown.message not in texts


@pytest.mark.parametrize(("language", "said"), [("zh", "tocsin 通知"), ("en", "notice from tocsin")])
def test_below_the_title_of_a_notice_stands_whose_it_is_in_the_language_of_the_receiver(
    language: Language, said: str
) -> None:
    card = card_of(view("cluster-online", language=language))
    assert card["header"]["subtitle"]["content"] == said
    assert said in _texts(card_of(view("cluster-online", language=language), title="x")["body"])


def test_the_locked_screen_shows_all_that_a_notice_says() -> None:
    summary = card_of(view("cluster-online"))["config"]["summary"]["content"]
    assert (
        summary
        == "[edge-042] recovered Cluster back online: Back after 2 h 14 min. Events held back: 37, lost: 0."
    )


def test_a_title_of_ones_own_is_above_reason_and_object() -> None:
    card = card_of(view("back-off"), title="XXX IoT K3S 集群告警")
    assert card["header"]["title"]["content"] == "XXX IoT K3S 集群告警"
    assert _texts(card["body"])[:2] == [
        "BackOff · production/api-7c9f6d5b8-x2x7p",
        "Pod · container api · node pi-3 · kubelet",
    ]


def test_the_locked_screen_shows_the_most_important() -> None:
    summary = card_of(view("back-off"))["config"]["summary"]["content"]
    assert summary.startswith("[edge-042] warning BackOff · production/api-7c9f6d5b8-x2x7p ×14: Back-off")  # noqa: RUF001
    assert len(card_of(view("long-message"))["config"]["summary"]["content"]) == 120


def test_an_event_without_a_message_has_none_on_its_card() -> None:
    card = card_of(view("node-not-ready").with_message(0))
    silent = card_of(replace(view("node-not-ready"), message=""))
    check_card(silent)
    assert len(_texts(silent["body"])) == len(_texts(card["body"])) - 1
    assert silent["config"]["summary"]["content"] == "[edge-042] critical NodeNotReady · pi-3"


def test_a_message_stands_where_nothing_is_markup() -> None:
    hostile = replace(view("hostile"), hint=view().hint, command=view().command)
    card = card_of(hostile)
    plain = [element for element in card["body"]["elements"] if element["tag"] != "markdown"]
    assert len(plain) == len(card["body"]["elements"]) - 1
    assert '"tag": "lark_md"' not in json.dumps(card)
    assert hostile.message in _texts(plain)


@given(st.text() | st.from_regex(r"(<at (user_)?id=[\"']?\w+[\"']?>|</at>|\*\*|_|`|&#60;|[a-z ]|\n){1,30}"))
def test_no_text_mentions_anybody_or_changes_by_markdown(text: str) -> None:
    shown = rich_text(escape_markdown(text))
    assert shown.mentions == ()
    assert shown.shown == text
    assert text_message(escape_text(text)).mentions == ()


def test_the_escapes_would_be_needed() -> None:
    assert rich_text("<at id=all></at>").mentions == ("all",)
    assert text_message('<at user_id="all">x</at>').mentions == ("all",)


def test_values_are_escaped_by_the_component_that_they_stand_in() -> None:
    assert escape_in({"tag": "markdown"})("*") == "&#42;"
    assert escape_in({"tag": "lark_md"})("*") == "&#42;"
    assert escape_in({"tag": "plain_text"})("*") == "*"


@pytest.mark.parametrize(
    "card",
    [{"schema": "2.0", "body": {"elements": []}}, {"elements": []}],
)
def test_a_keyword_goes_into_a_text_of_either_version(card: dict[str, Any]) -> None:
    with_it = with_keyword(card, "告警")
    check_card(with_it)
    assert _texts(with_it) == ["告警"]
    assert _texts(card) == []


def test_a_card_without_elements_is_left_alone() -> None:
    assert with_keyword({"i18n_elements": {}}, "x") == {"i18n_elements": {}}
