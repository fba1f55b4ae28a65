import json
from dataclasses import replace
from typing import Any

import pytest

from tests.consumer.views import SHANGHAI, view
from tests.fakes.feishu_card import check_card
from tests.fakes.feishu_text import Reading, read
from tocsin_consumer.labels import LABELS, Language
from tocsin_consumer.notification import Notification
from tocsin_consumer.receiver_settings import FeishuSettings
from tocsin_consumer.receivers.feishu import BODY_LIMIT, FeishuReceiver, fitting
from tocsin_consumer.receivers.feishu_card import card_message, card_of
from tocsin_consumer.receivers.feishu_group import LINES_LISTED
from tocsin_consumer.report import Report
from tocsin_consumer.samples import samples
from tocsin_consumer.view import View

INCIDENTS = [name for name, sample in samples().items() if sample.report]


def _card(name: str, *, language: Language = "en") -> dict[str, Any]:
    return card_of(view(name, language=language))


def _read(name: str, *, language: Language = "en") -> Reading:
    return read(card_message(_card(name, language=language)))


def _talkative(name: str = "incident-long", *, language: Language = "zh", length: int = 9000) -> View:
    """Return an incident whose every message is as long as can be."""
    sample = samples()[name]
    assert isinstance(sample.report, Report)
    lines = tuple(
        replace(line, event=line.event.model_copy(update={"msg": "网络插件尚未就绪。" * (length // 9)}))
        for line in sample.report.lines
    )
    report = replace(sample.report, lines=lines)
    return View.of(Notification(report.event, sample.received_at, report), SHANGHAI, language=language)


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("incident-partly-recovered", "red"),
        ("incident-group", "orange"),
        ("incident-recovered", "green"),
        ("incident-cluster-back", "green"),
        ("incident-quiet", "grey"),
    ],
)
def test_the_colour_says_whether_to_get_up(name: str, colour: str) -> None:
    assert _card(name)["header"]["template"] == colour


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("incident-group", ("edge-042", "×132")),  # noqa: RUF001 - the sign itself
        ("incident-recovered", ("edge-042", "历时 33 分钟 58 秒")),
        ("incident-repeat", ("edge-042", "仍在持续")),
        ("incident-clusters", ("edge-042 +2",)),
        ("incident-cluster-back", ("edge-042",)),
    ],
)
def test_beside_the_title_stands_where_and_how_often_or_for_how_long(name: str, tags: tuple[str, ...]) -> None:
    assert _read(name, language="zh").tags == tags


def test_below_the_title_of_a_group_stands_how_much_of_it_is_how_bad() -> None:
    assert _read("incident-partly-recovered").subtitle == "2 critical · 1 recovered"


def test_a_group_is_told_line_by_line_with_what_is_new_marked() -> None:
    shown = view("incident-group", language="zh")
    body = _read("incident-group", language="zh").body.splitlines()
    assert body[4] == shown.changes
    start = body.index("checkout")
    assert body[start : start + 5] == [
        "checkout",
        "Deployment · 2 个对象 · 03:18",
        shown.lines[0].message,
        "×9",  # noqa: RUF001 - the sign itself
        "新增",
    ]
    assert [text for text in body if text in {"新增", "未再出现"}] == ["新增", "新增", "未再出现"]


def test_a_line_tells_the_day_only_if_it_is_another() -> None:
    assert "StatefulSet · 03:18" in _read("incident-group", language="zh").body
    report = samples()["incident-group"].report
    assert isinstance(report, Report)
    first, *others = report.lines
    older = replace(report, lines=(replace(first, began_at=first.began_at - 86400), *others))
    shown = View.of(Notification(report.event, report.received_at, older), SHANGHAI, language="en")
    assert "11-23 03:18 → 03:18" in read(card_message(card_of(shown))).body


def test_a_recovered_line_says_for_how_long_it_was() -> None:
    assert "Node · 02:44 → 03:18 (33 min 58 s)" in _read("incident-partly-recovered").body


def test_a_group_of_one_owner_names_its_objects() -> None:
    names = view("incident-replicas").lines[0].objects
    assert ", ".join(names) in _read("incident-replicas").body
    assert _read("incident-replicas").subtitle == "Deployment · 5 objects · container api · kubelet"


@pytest.mark.parametrize(("more", "said"), [(False, "and 4 more"), (True, "and 4+ more")])
def test_objects_that_are_not_named_are_counted(more: bool, said: str) -> None:
    report = samples()["incident-replicas"].report
    assert isinstance(report, Report)
    [line] = report.lines
    named = replace(line, objects=tuple(f"api-{number}" for number in range(9)), has_more=more)
    told = replace(report, lines=(named,))
    shown = View.of(Notification(report.event, report.received_at, told), SHANGHAI, language="en")
    assert f"api-3, api-4 {said}" in read(card_message(card_of(shown))).body


@pytest.mark.parametrize("language", LABELS)
def test_a_long_group_is_cut_and_says_by_how_much(language: Language) -> None:
    shown = view("incident-long", language=language)
    body = _read("incident-long", language=language).body.splitlines()
    assert [line.label for line in shown.lines if line.label in body] == [
        line.label for line in shown.lines[:LINES_LISTED]
    ]
    remainder = shown.with_lines(LINES_LISTED).remainder
    assert body[-2:] == [f"{shown.labels['hint']}{shown.labels['colon']}{shown.hint}", shown.command]
    assert body[-3] == remainder
    assert "50" in remainder


def test_a_quiet_incident_says_that_this_proves_nothing() -> None:
    assert "does not prove that it is over" in _read("incident-quiet").body


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("incident-recovered", "[edge-042] NodeNotReady · pi-3 已恢复：历时 33 分钟 58 秒"),  # noqa: RUF001
        (
            "incident-repeat",
            "[edge-042] 严重 NodeNotReady · pi-3：自 11-23 23:18 起仍在持续，上次通知以来没有新情况。",  # noqa: RUF001
        ),
        (
            "incident-cluster-back",
            "[edge-042] 集群已恢复连接：失联 2 小时 14 分钟后恢复。积压事件 37 条，丢失 0 条。",  # noqa: RUF001
        ),
    ],
)
def test_the_locked_screen_says_what_has_become_of_it(name: str, said: str) -> None:
    assert _read(name, language="zh").preview == said


@pytest.mark.parametrize("name", INCIDENTS)
def test_a_card_of_an_incident_says_something_in_every_text(name: str) -> None:
    card = _card(name)
    check_card(card)
    assert all(text.strip() for text in _read(name).body.splitlines())


# Size.


@pytest.mark.parametrize("language", LABELS)
def test_a_group_that_says_too_much_is_shortened_and_keeps_its_lines(language: Language) -> None:
    fitted = fitting(_talkative(language=language), lambda seen: card_message(card_of(seen)), limit=10_500)
    card = json.loads(fitted)["card"]
    check_card(card)
    body = read(card_message(card)).body
    assert "…" in body
    assert "store-009" in body


def _list(seen: View) -> dict[str, Any]:
    return {"lines": [(line.name, line.message) for line in seen.lines], "rest": seen.remainder}


@pytest.mark.parametrize("limit", [400, 700, 1500, 3000, 9000, BODY_LIMIT])
def test_lines_that_do_not_fit_are_left_out_and_counted_exactly(limit: int) -> None:
    whole = _talkative(language="en")
    fitted = fitting(whole, _list, limit=limit)
    assert len(fitted.encode()) <= limit
    said = json.loads(fitted)
    left_out = len(whole.lines) - len(said["lines"])
    assert said["rest"] == whole.with_lines(len(said["lines"])).remainder
    assert (f"and {left_out} more" in said["rest"]) == (left_out > 0)


def test_a_line_more_would_not_fit_while_messages_say_what_they_are_about() -> None:
    whole, limit = _talkative(language="en"), 3000
    said = json.loads(fitting(whole, _list, limit=limit))
    one_more = whole.with_lines(len(said["lines"]) + 1).with_message(80)
    assert 1 < len(said["lines"]) < len(whole.lines)
    assert len(json.dumps(_list(one_more), ensure_ascii=False, separators=(",", ":")).encode()) > limit


def test_messages_take_the_room_that_lines_leave() -> None:
    fitted = fitting(_talkative("incident-group", language="en"), _list, limit=5000)
    said = json.loads(fitted)
    assert len(said["lines"]) == 4
    assert 5000 - 4 * 12 < len(fitted.encode()) <= 5000


def _receiver(**settings: Any) -> FeishuReceiver:
    given = {"url": "https://open.feishu.cn/open-apis/bot/v2/hook/0", **settings}
    return FeishuReceiver("ops", FeishuSettings.model_validate(given), time_zone=SHANGHAI, language="zh")


def test_the_text_lists_what_the_card_lists() -> None:
    fallback = _receiver().render(samples()["incident-long"]).fallback
    assert fallback is not None
    text = json.loads(fallback)["content"]["text"]
    assert text.count("\n- ") == LINES_LISTED
    assert "另有 50 项未列出（共 1325 次）" in text  # noqa: RUF001 - Chinese brackets


def test_a_text_says_for_how_long_it_was_and_what_has_changed() -> None:
    def text(name: str) -> str:
        return str(json.loads(_receiver().render(samples()[name]).fallback or "")["content"]["text"])

    assert text("incident-recovered").splitlines() == [
        "[edge-042] NodeNotReady · pi-3 已恢复",
        "Node pi-3 status is now: NodeReady",
        "首次 2026-11-24 02:44:54 · 最近 2026-11-24 03:18:52 (历时 33 分钟 58 秒)",
    ]
    assert text("incident-repeat").splitlines()[1] == view("incident-repeat", language="zh").changes
    assert "- [新增] checkout (2 个对象) ×9: Back-off pulling" in text("incident-group")  # noqa: RUF001


def test_a_template_for_one_event_serves_an_incident() -> None:
    receiver = _receiver(template="**{{ reason }}** {{ object }} {{ times }} {{ message }}", title="告警")
    card = json.loads(receiver.render(samples()["incident-replicas"]).content)["card"]
    check_card(card)
    message = view("incident-replicas").message
    assert read(card_message(card)).body == f"BackOff production/api-7c9f6d5b8-x2x7p ×57 {message}"  # noqa: RUF001
