"""From the API server to people: everything that has to arrive does, once, and nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.recording import Notification, read_recording
from tests.producer.conftest import event
from tests.schemas.session_harness import Recorder, running
from tests.stage.site import API_TOKEN, CLUSTER, FEISHU_SECRET, Site
from tests.waiting import until
from tocsin_producer.event import EventState, read_event
from tocsin_producer.filter import EventFilter
from tocsin_producer.settings import EventSettings

RECORDING = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"
DEFAULTS = EventSettings()
FILTER = EventFilter([rule.rule() for rule in DEFAULTS.include], [rule.rule() for rule in DEFAULTS.exclude])

pytestmark = pytest.mark.broker


def node_event(uid: str, reason: str = "NodeNotReady", count: int = 1) -> dict[str, object]:
    return event(uid, involvedObject={"kind": "Node", "name": "pi-1"}, type="Normal", reason=reason, count=count)


def in_steps(recording: list[Notification]) -> Iterator[list[Notification]]:
    """Cut a recording into runs in which no Event has two states, so that none may replace another on the way."""
    step: list[Notification] = []
    uids: set[str] = set()
    for notification in recording:
        uid = notification.event["metadata"]["uid"]
        if uid in uids:
            yield step
            step, uids = [], set()
        step.append(notification)
        uids.add(uid)
    yield step


def passing(notifications: list[Notification]) -> list[EventState]:
    states = (read_event(notification.event) for notification in notifications)
    return [state for state in states if FILTER.passes(state)]


def test_each_distinct_state_that_passes_the_filter_arrives_once_and_no_other_does(site: Site) -> None:
    recording = list(read_recording(RECORDING))
    expected: list[tuple[str, int]] = []
    site.start()
    for step in in_steps(recording):
        for notification in step:
            site.api_server.events.put(notification.event)
        expected += [(state.uid, state.count) for state in passing(step)]
        arrived = partial(lambda wanted: len(site.recorded()) >= wanted, len(expected))
        until(arrived)
    until(lambda: len(site.hooked()) >= len(expected))

    assert sorted(site.states()) == sorted(set(expected))
    assert sorted(site.hooked()) == sorted(set(expected))
    assert site.producer.stop() == 0
    assert site.consumer.stop() == 0
    assert (site.sums()["published"], site.sums()["malformed"], site.sums()["lost"]) == (len(expected), 0, 0)


def test_counts_never_go_backwards_at_a_receiver(site: Site) -> None:
    site.start()
    for count in (1, 2, 5, 9):
        site.api_server.events.put(event("a", count=count))
    until(lambda: ("a", 9) in site.states() and ("a", 9) in site.hooked())
    for states in (site.states(), site.hooked()):
        assert [count for _, count in states] == sorted(count for _, count in states)


def test_a_critical_event_is_a_card_in_the_feishu_group(site: Site) -> None:
    site.start()
    site.api_server.events.put(node_event("n", count=2))
    (message,) = site.feishu.wait_for(1, timeout_seconds=20)
    assert "NodeNotReady" in message.title
    assert "pi-1" in message.title
    assert CLUSTER in message.tags
    assert "\u00d72" in message.tags
    assert "2026-11-23 18:05:00" in message.body
    assert message.payload["card"]["header"]["template"] == "red"
    assert len(site.feishu.refused) == 0


def test_what_happened_while_the_link_was_down_arrives_when_it_is_back(site: Site) -> None:
    site.start()
    site.uplink.cut()
    for number in range(50):
        site.api_server.events.put(event(str(number)))
    site.api_server.events.put(event("0", count=7))
    site.producer.wait_for_log("connection lost")
    assert site.states() == []
    site.uplink.restore()
    until(lambda: len(site.states()) == 50)
    assert dict(site.states()) == {"0": 7} | {str(number): 3 for number in range(1, 50)}


def test_a_producer_that_was_killed_neither_misses_nor_repeats(site: Site) -> None:
    site.start()
    site.api_server.events.put(event("before"))
    until(lambda: site.states() == [("before", 3)] and site.waiting() == 0)
    site.uplink.cut()
    site.api_server.events.put(event("held back"))
    until(lambda: b"held back" in (site.folder / "outbox.db-wal").read_bytes())
    site.producer.kill()
    site.api_server.events.put(event("meanwhile"))
    site.uplink.restore()
    site.start_producer()
    until(lambda: len(site.states()) == 3)
    assert site.producer.stop() == 0
    assert site.states() == [("before", 3), ("held back", 3), ("meanwhile", 3)]
    assert site.sums()["repeated"] == 2  # at the API server
    assert site.sums()["published"] in (2, 3)  # with what the broker had acknowledged just before the kill


def test_a_producer_without_a_state_file_repeats_after_a_restart_and_nobody_is_told_twice(site: Site) -> None:
    site.configure_producer(outbox={})
    site.start()
    site.api_server.events.put(event("a"))
    until(lambda: site.states() == [("a", 3)])
    site.producer.kill()
    site.start_producer()
    site.api_server.events.put(event("b"))
    until(lambda: ("b", 3) in site.states())
    assert site.states() == [("a", 3), ("b", 3)]


def test_a_consumer_that_was_killed_gets_what_it_missed_and_repeats_nothing(site: Site) -> None:
    site.start()
    site.api_server.events.put(event("before"))
    until(lambda: site.states() == [("before", 3)] == site.hooked() and not site.pending())
    site.consumer.kill()
    for number in range(20):
        site.api_server.events.put(event(str(number)))
    site.start_consumer()
    until(lambda: len(site.states()) == 21 and len(site.hooked()) == 21)
    assert len(set(site.states())) == len(set(site.hooked())) == 21


def test_a_receiver_that_is_down_holds_nobody_else_up_and_gets_everything_later(site: Site) -> None:
    site.start()
    with site.webhook.refusing_connections():
        site.api_server.events.put(event("a"))
        site.api_server.events.put(event("b"))
        until(lambda: len(site.states()) == 2)
        site.consumer.wait_for_log("hook")
    until(lambda: sorted(site.hooked()) == [("a", 3), ("b", 3)], within_seconds=40)


class Statuses(Recorder):
    """What the broker holds, and then hears, about producers."""

    def __init__(self) -> None:
        super().__init__(filters=("k8s/v1/+/status",))

    def last(self) -> dict[str, Any]:
        payloads = self.payloads()
        return dict(json.loads(payloads[-1])) if payloads else {}


def test_a_producer_that_is_stopped_says_so_itself(site: Site) -> None:
    site.start()
    statuses = Statuses()
    with running(site.client("ops"), statuses):
        until(lambda: statuses.last().get("k8s") == "v1.36.2")
        assert site.producer.stop() == 0
        until(lambda: statuses.last()["state"] == "offline")
    assert (statuses.last()["waiting"], statuses.last()["k8s"]) == (0, "v1.36.2")


def test_the_broker_says_for_a_producer_that_was_killed_that_it_is_offline(site: Site) -> None:
    site.start()
    statuses = Statuses()
    with running(site.client("ops"), statuses):
        until(lambda: statuses.last().get("k8s") == "v1.36.2")
        boot = statuses.last()["boot"]
        site.producer.kill()
        until(lambda: statuses.last()["state"] == "offline")
    assert statuses.last()["boot"] == boot


@pytest.mark.parametrize("topic", ["k8s/v1/edge-666/event/shop/Pod/BackOff", "k8s/v1/edge-666/status", "other"])
def test_a_site_cannot_write_as_another(site: Site, topic: str) -> None:
    assert site.publish(CLUSTER, topic, b"{}") == "Not authorized"


@pytest.mark.parametrize("topic", [f"k8s/v1/{CLUSTER}/event/shop/Pod/BackOff", "k8s/v1/ops/status"])
def test_a_consumer_cannot_write_not_even_as_a_cluster_of_its_own_name(site: Site, topic: str) -> None:
    assert site.publish("ops", topic, b"{}") == "Not authorized"


def test_a_site_cannot_read_what_others_write(site: Site) -> None:
    reader, witness = Recorder(filters=("k8s/v1/#",)), Recorder(filters=("k8s/v1/#",))
    with running(site.client("edge-666"), reader), running(site.client("ops"), witness):
        until(lambda: witness.connections and (reader.connections or reader.lost))
        site.publish(CLUSTER, f"k8s/v1/{CLUSTER}/status", b"secret", retain=True)
        until(lambda: witness.payloads() == [b"secret"])
    assert reader.payloads() == []


def test_nobody_gets_in_without_an_account(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    stranger = Recorder()
    with caplog.at_level("WARNING"), running(site.client(""), stranger):
        until(lambda: "refused by the broker: Not authorized" in caplog.text)
    assert stranger.connections == []


PAYLOAD = {
    "v": 1,
    "cluster": CLUSTER,
    "type": "Warning",
    "reason": "BackOff",
    "kind": "Pod",
    "ns": "shop",
    "name": "api",
    "msg": "",
    "count": 1,
    "first": 0,
    "last": 0,
    "uid": "u",
    "boot": 1,
    "seq": 1,
}
HOSTILE = [
    (f"k8s/v1/{CLUSTER}/event/shop/Pod/BackOff", b"this is not JSON", "JSON"),
    (f"k8s/v1/{CLUSTER}/event/shop/Pod/BackOff", b'{"v":1,"cluster":"\xff"}', "UTF-8"),
    (f"k8s/v1/{CLUSTER}/event/shop/Pod/BackOff", b'{"v":2,"cluster":"edge-042"}', "version 2"),
    (f"k8s/v1/{CLUSTER}/event/shop/Pod/BackOff", b"[" * 60_000, "JSON"),
    (f"k8s/v1/{CLUSTER}/event/shop/Pod/BackOff", b'{"v":1}', "cluster"),
    (f"k8s/v1/{CLUSTER}/event/shop/Pod/Other", json.dumps(PAYLOAD).encode(), "topic"),
    (f"k8s/v1/{CLUSTER}/event/shop/Pod/BackOff", b"x" * 1_000_000, "larger"),
]


def test_hostile_payloads_become_dead_letters_and_the_next_message_is_told(tmp_path: Path) -> None:
    # Our own broker takes nothing this large; somebody else's may.
    with Site(tmp_path, broker_extra="max_packet_size 2097152") as site:
        check_hostile_payloads(site)


def check_hostile_payloads(site: Site) -> None:
    site.start()
    for topic, payload, _ in HOSTILE:
        assert site.publish(CLUSTER, topic, payload) is None
    site.api_server.events.put(event("a"))
    until(lambda: site.states() == [("a", 3)])
    reasons = [line["message"] for line in site.consumer.log_lines() if "dead letter" in line["message"]]
    assert len(reasons) == len(HOSTILE)
    assert [why for (_, _, why), reason in zip(HOSTILE, reasons, strict=True) if why not in reason] == []


def test_no_secret_is_in_any_log(site: Site) -> None:
    site.start()
    site.api_server.events.put(node_event("n"))
    site.feishu.wait_for(1, timeout_seconds=20)
    with site.feishu.refusing_connections():
        site.api_server.events.put(node_event("m"))
        site.consumer.wait_for_log("group", times=2)
        site.broker.kill()
        site.producer.wait_for_log("connection lost")
    site.consumer.stop()
    site.producer.stop()
    passwords = [account.password for account in site.accounts.values()]
    secrets = [API_TOKEN, FEISHU_SECRET, "feishu-t0ken", *passwords]
    logs = site.producer.log + site.consumer.log
    assert [secret for secret in secrets if secret in logs] == []


def test_the_agent_shows_no_secret_in_its_arguments_or_its_environment(site: Site) -> None:
    site.start()
    process = Path(f"/proc/{site.producer.pid}")
    if not process.exists():
        pytest.skip("there is no /proc to look into")
    shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert API_TOKEN.encode() not in shown
    assert site.accounts[CLUSTER].password.encode() not in shown
    assert b"tocsin_producer.start" in shown


def test_the_agent_imports_neither_pydantic_nor_the_kubernetes_package() -> None:
    program = "import sys, tocsin_producer.agent; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert not loaded & {"pydantic", "kubernetes", "yaml", "click", "requests", "jinja2"}


def test_a_link_whose_budget_is_spent_holds_the_rest_back_and_people_are_told(site: Site) -> None:
    site.configure_producer(budget={"per_day": "256KiB"})
    site.start()
    for number in range(1000):
        site.api_server.events.put(event(str(number)))
    until(lambda: "EventsHeld" in [told["reason"] for told in site.recorded()], within_seconds=60)
    (notice,) = [told for told in site.recorded() if told["reason"] == "EventsHeld"]
    assert (notice["cluster"], notice["type"]) == (CLUSTER, "Warning")
    until(lambda: site.published() + site.waiting() == 1000)
    assert (site.waiting() > 0, site.lost()) == (True, 0)
    assert site.producer.stop() == 0
