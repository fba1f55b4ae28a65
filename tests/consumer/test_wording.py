import json
from zoneinfo import ZoneInfo

import pytest

from tests.consumer.messages import NOW, event
from tests.consumer.views import SHANGHAI, view
from tocsin_consumer.digest import Digest
from tocsin_consumer.labels import LABELS, Language
from tocsin_consumer.notice import Facts, Reason, facts_of
from tocsin_consumer.notification import Notification
from tocsin_consumer.receivers.feishu_card import card_of
from tocsin_consumer.receivers.feishu_text import DEFAULT_TEXT
from tocsin_consumer.receivers.stdout import describe
from tocsin_consumer.render import Template
from tocsin_consumer.samples import samples
from tocsin_consumer.view import View
from tocsin_consumer.wording import cluster_name, kind_name, words

NOTICES = [name for name in samples() if view(name).rows]


@pytest.mark.parametrize(("language", "said"), [("zh", "全部集群"), ("en", "all clusters")])
@pytest.mark.parametrize("name", ["storm", "storm-over", "merged"])
def test_a_digest_of_many_clusters_is_of_all_of_them_in_every_text(
    name: str, language: Language, said: str
) -> None:
    shown = view(name, language=language)
    assert said in describe(shown, coloured=False)
    assert f"[{said}]" in json.dumps(card_of(shown), ensure_ascii=False)
    assert Template(DEFAULT_TEXT).render(shown).startswith(f"[{said}]")


def test_only_a_digest_is_of_all_clusters_and_only_a_notice_of_our_kind() -> None:
    assert cluster_name("fleet", "ClusterOffline", "zh") == "fleet"
    assert cluster_name("edge-1", "EventStorm", "zh") == "edge-1"
    assert kind_name("Cluster", "ClusterOffline", "zh") == "集群"
    assert kind_name("Cluster", "MachineHealthCheck", "zh") == "Cluster"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "cluster-offline",
            (
                "Offline since 2026-11-24 03:13:54, last heard 2026-11-24 03:02:11. "
                "What happens there is held back, and comes when it returns."
            ),
        ),
        ("cluster-online", "Back after 2 h 14 min. Events held back: 37, lost: 0."),
        (
            "events-lost",
            (
                "118 in all. Given up by the producer, whose outbox was full: 100; "
                "published and never received: 18."
            ),
        ),
        (
            "events-held",
            (
                "37 so far: the daily budget of its link is nearly or all spent. Until it is reset "
                "(budget.reset_at), only first occurrences and conditions of nodes come, and with all of it "
                "spent, nothing. What is held comes after that."
            ),
        ),
    ],
)
def test_a_notice_reads_as_a_sentence_with_its_times_in_the_zone_of_the_receiver(name: str, said: str) -> None:
    assert view(name).message == said


def test_a_notice_of_losses_has_a_row_that_says_since_when_they_are_noticed() -> None:
    assert view("events-lost").rows[0][0].startswith("Lost since")


def test_a_notice_speaks_the_language_of_the_receiver() -> None:
    shown = view("cluster-online", language="zh")
    assert shown.title == "集群已恢复连接"
    assert shown.message == "失联 2 小时 14 分钟后恢复。积压事件 37 条，丢失 0 条。"  # noqa: RUF001 - Chinese comma
    assert ("失联时长", "2 小时 14 分钟") in shown.rows


@pytest.mark.parametrize("language", LABELS)
@pytest.mark.parametrize("name", NOTICES)
def test_every_notice_says_all_it_knows_in_every_language(name: str, language: Language) -> None:
    shown = view(name, language=language)
    assert "?" not in shown.message
    facts = facts_of(samples()[name].event)
    assert facts is not None
    tops = 3 if isinstance(samples()[name].report, Digest) else 0
    assert len(shown.rows) == len(facts[1].model_dump(exclude_none=True, exclude={"cause"})) + tops


def test_the_first_time_names_the_zone_of_all() -> None:
    labels = [label for label, _ in view("cluster-online").rows]
    assert labels == ["Offline since (UTC+8)", "Back since", "Away for", "Held back", "Lost"]


@pytest.mark.parametrize(
    ("reason", "facts", "said"),
    [
        (Reason.ONLINE, Facts(online_since=1), "Seen for the first time."),
        (Reason.ONLINE, Facts(online_since=1, drops=4, held=1, lost=0), "Steady again after 4 drop-outs."),
        (Reason.OFFLINE, Facts(cause="status", offline_since=1), "since when is not known"),
        (Reason.OFFLINE, Facts(cause="silence", offline_since=1), "Neither an event nor a status"),
    ],
)
def test_a_special_case_is_said_to_be_one(reason: Reason, facts: Facts, said: str) -> None:
    assert said in words(reason, facts, ZoneInfo("UTC"), language="en").message


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "Cluster", "from": "tocsin", "reason": "ClusterOnline", "away_seconds": "x"},
        {"kind": "Cluster", "from": "tocsin", "reason": "ClusterBurning"},
        {"kind": "Cluster", "from": "capi", "reason": "ClusterOffline"},
        {"kind": "Pod", "from": "tocsin", "reason": "ClusterOffline"},
    ],
)
def test_what_only_looks_like_a_notice_is_an_event_like_any_other(fields: dict[str, str]) -> None:
    shown = View.of(Notification(event(**fields), NOW), SHANGHAI, language="en")
    assert shown.message == "Back-off restarting failed container"
    assert shown.rows == ()


def test_a_notice_that_lacks_its_facts_is_readable_all_the_same() -> None:
    forged = event(kind="Cluster", reason="ClusterOnline", away_seconds=1, **{"from": "tocsin"})
    shown = View.of(Notification(forged, NOW), SHANGHAI, language="en")
    assert shown.message == "Back after 1 s. Events held back: ?, lost: ?."
