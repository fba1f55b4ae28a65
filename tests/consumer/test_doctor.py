"""`tocsin-consumer doctor` at a whole site: the real broker with our ACL, and a consumer that may be at work."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.mosquitto import Mosquitto
from tests.schemas.checkups import Report
from tests.schemas.session_harness import broker_at
from tests.stage.site import CLUSTER, FEISHU_SECRET, Site
from tocsin_consumer.doctor import check_clusters, check_events, check_queues, examine
from tocsin_consumer.settings import ConsumerSettings, load_settings
from tocsin_schemas.checkup import Mark
from tocsin_schemas.session import ConnectionLostError, Received
from tocsin_schemas.visit import Visit


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def examined(site: Site, **changes: Any) -> Report:
    site.configure_consumer(**changes)
    settings, _ = load_settings(site.folder / "consumer.yaml", {})
    report = Report()
    examine(report.checkup, settings)
    return report


def tell_status(site: Site, cluster: str, state: str) -> None:
    said = {"v": 1, "cluster": cluster, "state": state, "boot": 1, "since": 1, "version": "1"}
    site.publish(cluster, f"k8s/v1/{cluster}/status", json.dumps(said).encode(), retain=True)


def doctor(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin_consumer", "doctor", "--config", str(site.folder / "consumer.yaml")]
    return subprocess.run(
        [*command, *arguments], env=dict(os.environ), capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.broker
def test_at_a_site_that_is_fine_every_step_is_ok_and_nobody_is_sent_anything(site: Site) -> None:
    tell_status(site, CLUSTER, "online")
    tell_status(site, "edge-666", "offline")
    report = examined(site, presence={"clusters": [CLUSTER]})
    assert set(report.marks().values()) == {Mark.OK}
    assert report["clusters"].text == "1 online, offline: edge-666"
    assert not site.webhook.requests
    assert not site.feishu.messages


@pytest.mark.broker
def test_beside_a_consumer_that_is_at_work_it_disturbs_nobody(site: Site) -> None:
    site.start()
    done = doctor(site)
    assert done.returncode == 0, done.stdout
    assert "a consumer is running with it (process " in done.stdout
    assert "tocsin.db is whole" in done.stdout
    assert site.log_count(site.consumer, "connected to") == 1
    assert site.log_count(site.producer, "connected to") == 1


@pytest.mark.broker
def test_an_account_that_the_acl_does_not_know_sees_no_cluster_and_that_is_a_warning(site: Site) -> None:
    """Mosquitto takes every subscription, whatever the ACL says."""
    tell_status(site, CLUSTER, "online")
    access = site.broker.access(site.accounts["edge-666"])
    report = examined(site, broker=access)
    assert report["events"].mark == Mark.OK
    assert report["clusters"].mark == Mark.WARNING
    assert "the ACL gives this account nothing" in report["clusters"].cause
    assert "mosquitto/setup list" in report["clusters"].run


@pytest.mark.broker
def test_a_cluster_that_is_expected_and_was_never_seen_is_a_warning(site: Site) -> None:
    tell_status(site, CLUSTER, "online")
    finding = examined(site, presence={"clusters": [CLUSTER, "edge-777"]})["clusters"]
    assert (finding.mark, finding.text) == (Mark.WARNING, "1 online, never seen: edge-777")
    assert finding.run == "on edge-777: tocsin-producer doctor"


@pytest.mark.broker
def test_secrets_are_told_neither_in_lines_nor_in_objects(site: Site) -> None:
    told = doctor(site).stdout + doctor(site, "--json").stdout
    for secret in (site.accounts["ops"].password_file.read_text().strip(), FEISHU_SECRET, "feishu-t0ken"):
        assert secret not in told


@pytest.mark.broker
def test_a_failure_makes_the_exit_code_1(site: Site) -> None:
    (site.folder / "tocsin.db").write_bytes(b"SQLite format 3\0 which it is not" * 500)
    done = doctor(site, "--json")
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    (failure,) = [step for step in steps if step["mark"] == "FAILED"]
    assert failure["step"] == "store"
    assert "put back a copy" in failure["next"]
    assert done.returncode == 1


@pytest.mark.broker
def test_a_template_that_fits_no_event_is_a_wrong_configuration(site: Site) -> None:
    site.configure_consumer(receivers=[{"name": "dump", "stdout": {"template": "{{ nothing }}"}}])
    done = doctor(site)
    assert done.returncode == 2
    assert "receivers[0].stdout.template" in done.stdout
    assert "next:   tocsin-consumer check" in done.stdout


@dataclass
class Told:
    """A visit at a broker that answers every question alike."""

    refusal: str | None = None
    messages: Sequence[tuple[str, str]] = ()
    hangs_up: bool = False
    asked: list[str] = field(default_factory=list)

    def subscribe(self, topic_filter: str) -> str | None:
        self.asked.append(topic_filter)
        if self.hangs_up:
            raise ConnectionLostError("closed without a word")
        return self.refusal

    def look(self, topic_filter: str) -> tuple[str | None, list[Received]]:
        return self.subscribe(topic_filter), [
            Received(topic, payload.encode(), 0, retained=True) for topic, payload in self.messages
        ]

    @property
    def visit(self) -> Visit:
        return cast("Visit", self)


def settings(**changes: Any) -> ConsumerSettings:
    return ConsumerSettings.model_validate(
        {
            "broker": {"url": "mqtt://localhost", "username": "ops"},
            "receivers": [{"name": "dump", "stdout": {}}],
            "route": {"receivers": ["dump"]},
        }
        | changes
    )


def test_a_subscription_that_is_refused_is_a_failure_with_the_line_that_the_acl_needs() -> None:
    told = Told(refusal="Not authorized")
    for finding in (check_events(told.visit, "k8s/v1"), check_clusters(told.visit, settings())):
        assert finding.mark == Mark.FAILED
        assert finding.text.endswith("may not be subscribed to: Not authorized")
        assert "mosquitto/setup add-consumer" in finding.run
    assert told.asked == ["k8s/v1/+/event/#", "k8s/v1/+/status"]


def test_a_broker_that_hangs_up_on_a_subscription_is_told() -> None:
    told = Told(hangs_up=True)
    for finding in (check_events(told.visit, "k8s/v1"), check_clusters(told.visit, settings())):
        assert finding.mark == Mark.FAILED
        assert "hanging up" in finding.cause


def test_of_many_clusters_that_are_offline_some_are_named() -> None:
    status = {"v": 1, "state": "offline", "boot": 1, "since": 1, "version": "1"}
    names = [f"edge-{n:03}" for n in range(30)]
    told = Told(messages=[(f"k8s/v1/{name}/status", json.dumps(status | {"cluster": name})) for name in names])
    text = check_clusters(told.visit, settings()).text
    assert text == f"0 online, offline: {', '.join(names[:8])} and 22 more"


def test_a_status_that_is_none_counts_for_nothing() -> None:
    told = Told(messages=[("k8s/v1/edge-1/status", "{}"), ("k8s/v1/edge-2/status", "")])
    assert check_clusters(told.visit, settings()).text == "no cluster has told a status"


SYS = "$SYS/broker"


def test_queues_are_told_where_the_broker_shows_them() -> None:
    told = Told(messages=[(f"{SYS}/store/messages/count", "35"), (f"{SYS}/publish/messages/dropped", "0")])
    finding = check_queues(told.visit)
    assert (finding.mark, finding.text) == (
        Mark.OK,
        "35 messages are kept, none was dropped since the broker started",
    )


def test_messages_that_the_broker_has_dropped_are_a_warning() -> None:
    told = Told(messages=[(f"{SYS}/store/messages/count", "35"), (f"{SYS}/publish/messages/dropped", "7")])
    finding = check_queues(told.visit)
    assert finding.mark == Mark.WARNING
    assert "7 were dropped" in finding.text
    assert "raise max_queued_messages" in finding.run


@pytest.mark.parametrize("told", [Told(), Told(refusal="Not authorized"), Told(hangs_up=True)])
def test_queues_that_are_not_for_us_to_see_are_no_trouble(told: Told) -> None:
    finding = check_queues(told.visit)
    assert finding.mark == Mark.OK
    assert "topic read $SYS/broker/#" in finding.text


@pytest.mark.broker
def test_mosquitto_tells_its_queues_under_these_names(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as mosquitto:
        visit = Visit(broker_at(mosquitto.port))
        visit.open()
        finding = check_queues(visit)
        visit.close()
    assert finding.text.endswith("messages are kept, none was dropped since the broker started")
