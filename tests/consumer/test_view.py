import json
from dataclasses import replace
from typing import Any

import pytest

from tests.consumer.desk import Desk
from tests.consumer.test_incidents import MINUTE
from tests.consumer.views import SHANGHAI, view
from tocsin_consumer.document import document
from tocsin_consumer.labels import LABELS, Language
from tocsin_consumer.notification import Notification
from tocsin_consumer.render import Template, to_json
from tocsin_consumer.report import Report, alone
from tocsin_consumer.samples import samples
from tocsin_consumer.view import View

EVENTS = [name for name, sample in samples().items() if sample.report is None]
INCIDENTS = [name for name, sample in samples().items() if isinstance(sample.report, Report)]


def _report(name: str) -> Report:
    report = samples()[name].report
    assert isinstance(report, Report)
    return report


def _seen(report: Report, *, language: Language = "en") -> View:
    return View.of(Notification(report.event, report.received_at, report), SHANGHAI, language=language)


@pytest.mark.parametrize("language", LABELS)
@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_an_incident_of_one_line(name: str, language: Language) -> None:
    sample = samples()[name]
    shown = view(name, language=language)
    assert shown == _seen(alone(sample.event, sample.received_at), language=language)
    [line] = shown.lines
    for field in ("object", "reason", "count", "first_at", "last_at", "message", "title", "severity"):
        assert getattr(line, field) == getattr(shown, field)
    assert (shown.cause, shown.changes, shown.remainder, line.mark) == ("first", "", "", "")


@pytest.mark.parametrize("language", LABELS)
@pytest.mark.parametrize("name", INCIDENTS)
def test_the_figures_of_the_lines_add_up(name: str, language: Language) -> None:
    shown = view(name, language=language)
    assert sum(line.count for line in shown.lines) + shown.beyond == shown.count
    assert min(line.first_at for line in shown.lines) == shown.first_at
    assert max(line.last_at for line in shown.lines) == shown.last_at


@pytest.mark.parametrize(
    ("name", "en", "zh"),
    [
        ("incident-replicas", "BackOff · production/api", "BackOff · production/api"),
        ("incident-group", "BackOff · 9 objects in production", "BackOff · production 中 9 个对象"),
        ("incident-long", "BackOff · 159+ objects in production", "BackOff · production 中 159+ 个对象"),
        ("incident-partly-recovered", "NodeNotReady · 3 nodes", "NodeNotReady · 3 个节点"),
        ("incident-recovered", "NodeNotReady · pi-3 recovered", "NodeNotReady · pi-3 已恢复"),
        (
            "incident-quiet",
            "BackOff · production/billing gone quiet",
            "BackOff · production/billing 未再出现",
        ),
        (
            "incident-mixed-end",
            "BackOff and 1 more · 2 objects, all over",
            "BackOff 等 2 种问题 · 2 个对象，均已结束",  # noqa: RUF001 - Chinese comma
        ),
        ("incident-clusters", "Cluster offline · 3 clusters", "集群失联 · 3 个集群"),
        ("incident-cluster-repeat", "Cluster offline", "集群失联"),
        ("incident-cluster-back", "Cluster back online", "集群已恢复连接"),
    ],
)
def test_a_title_says_what_it_is_of_how_many_and_whether_it_is_over(name: str, en: str, zh: str) -> None:
    assert view(name).title == en
    assert view(name, language="zh").title == zh


@pytest.mark.parametrize(
    ("name", "en", "zh"),
    [
        ("incident-replicas", "", ""),
        (
            "incident-group",
            "Since it was last told (11-24 03:13): 2 new, 1 gone quiet, 31 more occurrences.",
            "自上次通知（11-24 03:13）以来：新增 2 项，1 项未再出现，又发生 31 次。",  # noqa: RUF001
        ),
        (
            "incident-repeat",
            "Still going on since 11-23 23:18; nothing new since it was last told.",
            "自 11-23 23:18 起仍在持续，上次通知以来没有新情况。",  # noqa: RUF001
        ),
        ("incident-recovered", "", ""),
        (
            "incident-partly-recovered",
            "Since it was last told (11-24 03:09): 1 recovered.",
            "自上次通知（11-24 03:09）以来：恢复 1 项。",  # noqa: RUF001
        ),
        (
            "incident-quiet",
            (
                "Since it was last told (11-24 01:18): 4 more occurrences. "
                "Nothing more was heard of it since, which does not prove that it is over."
            ),
            (
                "自上次通知（11-24 01:18）以来：又发生 4 次。"  # noqa: RUF001
                "此后没有再收到相关事件，但这不等于已经恢复。"  # noqa: RUF001
            ),
        ),
    ],
)
def test_what_has_changed_is_what_the_receiver_was_not_told(name: str, en: str, zh: str) -> None:
    assert view(name).changes == en
    assert view(name, language="zh").changes == zh


def test_a_repeat_counts_what_has_happened_since() -> None:
    assert _seen(replace(_report("incident-repeat"), since_told=1)).changes == (
        "Still going on since 11-23 23:18. Since it was last told (11-23 23:18): 1 more occurrence."
    )


@pytest.mark.parametrize(
    ("name", "status", "severity"),
    [
        ("incident-group", "open", "warning"),
        ("incident-partly-recovered", "open", "critical"),
        ("incident-recovered", "recovered", "recovered"),
        ("incident-mixed-end", "recovered", "recovered"),
        ("incident-quiet", "quiet", "info"),
        ("node-ready", "recovered", "recovered"),
        ("back-off", "open", "warning"),
    ],
)
def test_an_incident_is_as_bad_as_the_worst_of_it_that_goes_on(name: str, status: str, severity: str) -> None:
    shown = view(name)
    assert (shown.status, shown.severity) == (status, severity)


def test_what_is_told_is_over_though_something_goes_on_that_is_muted() -> None:
    recovered = replace(_report("incident-recovered"), state=_report("incident-repeat").state, muted=1)
    shown = _seen(recovered)
    assert (shown.status, shown.remainder) == ("recovered", "1 muted")


def test_of_what_is_told_first_nothing_is_marked_as_new() -> None:
    assert {line.mark for line in view("incident-long").lines} == {""}
    assert [line.mark for line in view("incident-group").lines] == ["new", "new", "", "quiet"]


def test_a_count_is_shown_only_if_something_happened_twice() -> None:
    assert view("incident-partly-recovered").times == ""
    assert view("incident-group").times == "×132"  # noqa: RUF001 - the sign itself


def test_objects_with_two_problems_are_counted_once() -> None:
    report = _report("incident-replicas")
    [line] = report.lines
    other = replace(line, reason="Unhealthy")
    shown = _seen(replace(report, lines=(line, other), occurrences=2 * line.occurrences))
    assert shown.object_count == 5
    assert shown.title == "BackOff and 1 more · 5 objects in production"
    assert [line.label for line in shown.lines] == ["BackOff · api", "Unhealthy · api"]


def test_objects_of_clusters_and_namespaces_of_one_name_are_told_apart() -> None:
    report = _report("incident-recovered")
    [line] = report.lines
    lines = (line, replace(line, cluster="edge-043"), replace(line, namespace="shop"))
    shown = _seen(replace(report, lines=lines))
    assert shown.object_count == 3
    assert [line.label for line in shown.lines] == ["edge-042 · pi-3", "edge-043 · pi-3", "edge-042 · shop/pi-3"]


def test_what_a_route_groups_by_stands_in_the_title_where_it_says_where() -> None:
    report = _report("incident-partly-recovered")
    assert "in node pi-1\\x1b" in _seen(replace(report, group={"node": "pi-1\x1b"})).title


@pytest.mark.parametrize("limit", range(1, 62))
def test_lines_that_are_left_out_are_counted_exactly(limit: int) -> None:
    whole = view("incident-long")
    cut = whole.with_lines(min(limit + 5, 60)).with_lines(limit)
    assert len(cut.lines) + cut.left_out == len(whole.lines) == cut.line_count
    assert sum(line.count for line in cut.lines) + cut.left_out_count + cut.beyond == cut.count
    said = f"and {cut.left_out} more, ×{cut.left_out_count} in all"  # noqa: RUF001 - the sign itself
    assert (said in cut.remainder) == (cut.left_out > 0)
    assert cut.remainder.endswith("and others that are not told apart, ×12; 2 muted")  # noqa: RUF001 - the sign
    assert (cut.title, cut.tally, cut.object_count) == (whole.title, whole.tally, whole.object_count)


def test_a_shortened_incident_has_no_long_message_anywhere() -> None:
    short = view("incident-group").with_message(7)
    assert short.longest_message == 7
    assert {len(short.message), len(short.event["msg"]), *(len(line.message) for line in short.lines)} == {7}


def test_every_text_of_a_hostile_incident_is_inert_and_of_one_line_but_for_messages() -> None:
    shown = view("incident-hostile")
    texts = [shown.title, *shown.group.values()]
    for line in shown.lines:
        texts += [line.namespace, line.kind, line.name, line.reason, line.label, line.title, *line.objects]
    assert all("\\x1b[31mred" in text for text in texts)
    assert not any(active in text for text in texts for active in ("\x1b", "\u202e", "\x9b", "\x00"))
    assert not any("\n" in text for text in texts)


def test_lines_can_be_put_out_as_json() -> None:
    said = json.loads(Template("{{ lines | tojson }}").render(view("incident-group")))
    assert [line["name"] for line in said] == ["checkout", "ledger", "api", "billing"]
    assert said[0]["objects"] == ["checkout-5d8c7b9f4-j8s2k", "checkout-5d8c7b9f4-q7w3e"]


# What machines are given.


def _incident(name: str) -> dict[str, Any]:
    said = json.loads(to_json(document(samples()[name])))
    incident = said["incident"]
    assert isinstance(incident, dict)
    return incident


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_that_is_told_as_it_came_has_no_incident_beside_it(name: str) -> None:
    assert "incident" not in document(samples()[name])


@pytest.mark.parametrize("name", INCIDENTS)
def test_machines_are_given_every_line_and_nothing_that_is_null(name: str) -> None:
    incident = _incident(name)
    assert len(incident["lines"]) == len(_report(name).lines)
    assert "null" not in to_json(incident)


def test_machines_are_given_what_there_is_most_of_in_a_storm() -> None:
    said = document(samples()["storm"])
    assert said["incidents"] == 990
    assert said["digest"]["scope"] == "*"
    assert said["digest"]["reasons"] == {
        "top": {"ClusterOffline": 970, "NodeNotReady": 14, "BackOff": 6},
        "others": 0,
    }


def test_machines_are_given_an_incident_in_the_names_of_the_wire() -> None:
    said = _incident("incident-recovered")
    [line] = said.pop("lines")
    assert said == {
        "id": 7,
        "cause": "recovered",
        "state": "recovered",
        "group": {"cluster": "edge-042", "namespace": "", "reason": "NodeNotReady"},
        "first": 1_795_459_494,
        "last": 1_795_461_532,
        "count": 1,
        "new_count": 0,
        "told_at": "2026-11-23T18:45:54.000Z",
        "muted": 0,
        "beyond": 0,
    }
    assert line == {
        "cluster": "edge-042",
        "kind": "Node",
        "name": "pi-3",
        "reason": "NodeNotReady",
        "severity": "recovered",
        "objects": ["pi-3"],
        "more": False,
        "count": 1,
        "first": 1_795_459_494,
        "last": 1_795_461_532,
        "msg": "Node pi-3 status is now: NodeReady",
        "news": True,
        "end": "recovered",
    }


# What the engine really makes.


def test_a_group_that_changes_is_told_as_it_has_changed() -> None:
    desk = Desk()
    desk.say(name="api-0", count=3)
    [first] = desk.pass_(MINUTE)
    desk.say(name="web-0", count=2)
    [news] = desk.pass_(10 * MINUTE)
    assert _seen(first).changes == ""
    told = _seen(news)
    assert ": 1 new, 2 more occurrences." in told.changes
    assert [line.is_new for line in told.lines] == [True, False]
