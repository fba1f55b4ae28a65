"""`tocsin-producer doctor` at a whole site: the real broker with our ACL, and a producer that may be at work."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.relay import Conditions
from tests.schemas.checkups import Report
from tests.schemas.fake_broker import ACCEPTED, CONNECT, SUBSCRIBE, CurtBroker, FakeBroker
from tests.schemas.session_harness import Recorder, broker_at, running
from tests.stage.site import CLUSTER, Site
from tests.waiting import until
from tocsin_producer.doctor import check_publishing, check_status, examine
from tocsin_producer.resolve import from_kubeconfig
from tocsin_producer.settings import ProducerSettings, load_settings
from tocsin_schemas import visit as visit_module
from tocsin_schemas.checkup import Finding, Mark
from tocsin_schemas.connection import MQTT_3_1_1
from tocsin_schemas.visit import Visit

SETTINGS = ProducerSettings.model_validate({"cluster": CLUSTER, "broker": {"url": "mqtt://localhost"}})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def examined(site: Site, **broker: Any) -> Report:
    """Examine a producer whose settings of the broker are changed."""
    access = site.broker.access(site.accounts[CLUSTER], port=site.uplink.port)
    site.configure_producer(broker=access | broker)
    settings, _ = load_settings(site.folder / "producer.yaml", {})
    report = Report()
    kubeconfig = str(site.folder / "kubeconfig")
    examine(report.checkup, settings, lambda: from_kubeconfig(kubeconfig), kubeconfig)
    return report


def doctor(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin_producer", "doctor", "--config", str(site.folder / "producer.yaml")]
    environment = {**os.environ, "KUBECONFIG": str(site.folder / "kubeconfig")}
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.broker
def test_at_a_site_that_is_fine_every_step_is_ok(site: Site) -> None:
    report = examined(site)
    assert set(report.marks().values()) == {Mark.OK}
    assert report["publish"].text == f"{CLUSTER} may write below k8s/v1/{CLUSTER}/"
    assert report["status"].text.startswith("none is retained")


@pytest.mark.broker
def test_beside_a_producer_that_is_at_work_it_disturbs_nobody(site: Site) -> None:
    listener = Recorder(filters=("k8s/v1/+/event/#", "k8s/v1/+/status"))
    with running(site.client("ops"), listener):
        until(lambda: listener.connections)
        site.start_producer()
        until(listener.messages.copy)
        before = len(listener.messages)
        done = doctor(site)
        site.publish(CLUSTER, f"k8s/v1/{CLUSTER}/event/a/b/c", b"last")
        until(lambda: listener.payloads()[-1] == b"last")
    assert done.returncode == 0, done.stdout
    assert len(listener.messages) == before + 1  # nothing of the doctor's
    assert site.log_count(site.producer, "connected to") == 1
    assert "is in use by a running process" in done.stdout
    assert re.search(
        r"a producer \(\S+\) that started at .* UTC is online; 0 events waited, 0 were lost", done.stdout
    )
    assert site.lost() == 0


@pytest.mark.broker
def test_an_account_of_another_cluster_may_not_publish_and_the_cause_names_both(site: Site) -> None:
    other = site.accounts["edge-666"]
    report = examined(site, username=other.username, password_file=str(other.password_file))
    finding = report.only_failure()
    assert finding is report["publish"]
    assert finding.text == f"edge-666 may not publish to k8s/v1/{CLUSTER}/doctor: Not authorized"
    assert finding.cause == (
        f"the account is edge-666 and the cluster {CLUSTER}: an account may write below its own name only"
    )
    assert finding.run == "on the broker: see its acl_file for: pattern write k8s/v1/%u/#"


@pytest.mark.broker
def test_a_wrong_password_ends_the_way_at_the_login(site: Site) -> None:
    report = examined(site, password_file=str(site.accounts["edge-666"].password_file))
    assert report.only_failure() is report["broker login"]
    assert f"is not the one of {CLUSTER}" in report.only_failure().cause
    assert f"private/clients/{CLUSTER}/password" in report.only_failure().run
    assert report["publish"].text == report["status"].text == "not looked at: it needs broker login"


@pytest.mark.broker
def test_an_expired_certificate_of_the_broker_is_told(site: Site) -> None:
    site.broker.stop()
    site.broker.certify(expired=True)
    site.broker.start()
    finding = examined(site).only_failure()
    assert finding.text.startswith("the certificate expired on ")
    assert "the clock of this machine" in finding.cause
    assert "mosquitto/setup renew" in finding.run


@pytest.mark.broker
def test_a_handshake_that_breaks_off_on_the_way_is_told(site: Site) -> None:
    site.uplink.change(Conditions(stalls_after=300))
    finding = examined(site, connect_timeout="1s").only_failure()
    assert finding.text.endswith("does not answer to TLS within 1 s")
    assert "drops large packets (MTU)" in finding.cause
    assert finding.run.startswith("openssl s_client")


@pytest.mark.broker
def test_a_line_that_is_dead_is_told_by_its_port(site: Site) -> None:
    site.uplink.change(Conditions(refuses=True))
    report = examined(site)
    assert report.only_failure() is report["broker TCP"]


@pytest.mark.broker
def test_state_that_is_damaged_is_told_and_left_as_it_is(site: Site) -> None:
    (site.folder / "outbox.db").write_bytes(b"not a database")
    report = examined(site)
    assert report.only_failure() is report["outbox"]
    assert (site.folder / "outbox.db").read_bytes() == b"not a database"


@pytest.mark.broker
def test_secrets_are_not_told(site: Site) -> None:
    told = doctor(site).stdout + doctor(site, "--json").stdout
    assert site.accounts[CLUSTER].password_file.read_text().strip() not in told
    assert "api-t0ken" not in told


@pytest.mark.broker
def test_for_programs_there_is_an_object_per_step_and_the_same_exit_code(site: Site) -> None:
    site.api_server.forbid()
    done = doctor(site, "--json")
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["step"] for step in steps if step["mark"] == "FAILED"] == ["list Events"]
    assert all(step["next"] for step in steps if step["mark"] == "FAILED")
    assert done.returncode == 1


@pytest.mark.broker
def test_a_wrong_configuration_ends_with_2_and_nothing_is_connected(site: Site) -> None:
    site.write("producer.yaml", "cluster: edge-042\nbrokre: {}\n")
    done = doctor(site)
    assert done.returncode == 2
    assert "producer.yaml:2: brokre: unknown key; did you mean broker?" in done.stdout
    assert f"next:   tocsin-producer check --config {site.folder}/producer.yaml" in done.stdout
    assert not site.api_server.requests


@pytest.mark.broker
def test_events_that_the_budget_holds_are_told(site: Site) -> None:
    status = {"v": 1, "cluster": CLUSTER, "state": "online", "boot": 1, "since": 1, "version": "1", "waiting": 5}
    site.publish(CLUSTER, f"k8s/v1/{CLUSTER}/status", json.dumps(status | {"held": 3}).encode(), retain=True)
    assert "5 events waited (3 of them for the budget), 0 were lost" in examined(site)["status"].text


@pytest.mark.broker
def test_what_is_no_status_on_the_topic_of_the_status_is_a_warning(site: Site) -> None:
    site.publish(CLUSTER, f"k8s/v1/{CLUSTER}/status", b"up", retain=True)
    finding = examined(site)["status"]
    assert (finding.mark, finding.text) == (
        Mark.WARNING,
        f"what is retained on k8s/v1/{CLUSTER}/status is no status",
    )


@pytest.mark.broker
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_within_a_pod_it_has_room_beside_the_producer(site: Site) -> None:
    """The agent takes up to 28 MiB of the Pod's 96 MiB."""
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from tocsin_producer.doctor import examine\n"
        "from tocsin_producer.plan import ApiServer\n"
        "from tocsin_producer.settings import load_settings\n"
        "from tocsin_schemas.checkup import Checkup\n"
        "checkup = Checkup(lambda step: None)\n"
        "settings, _ = load_settings(Path(sys.argv[1]), {})\n"
        "examine(checkup, settings, lambda: ApiServer(sys.argv[2], token='api-t0ken'), 'the Pod')\n"
        "assert not {'kubernetes', 'requests', 'jinja2'} & sys.modules.keys()\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]\n"
        "print(checkup.exit_code, int(peak) // 1024)\n"
    )
    arguments = [str(site.folder / "producer.yaml"), site.api_server.url]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    exit_code, mebibytes = map(int, done.stdout.split())
    assert exit_code == 0
    assert mebibytes < 64


def visited(broker: FakeBroker) -> Visit:
    visit = Visit(broker_at(broker.port, connect_timeout_seconds=2.0))
    visit.open()
    return visit


def check(visit: Visit, what: str) -> Finding[None]:
    try:
        return check_publishing(visit, SETTINGS, CLUSTER) if what == "publish" else check_status(visit, SETTINGS)
    finally:
        visit.close()


@pytest.mark.broker
def test_with_3_1_1_nobody_can_know_whether_it_may_publish(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit_module, "MQTT_5", MQTT_3_1_1)
    report = examined(site)
    assert report["broker login"].text.endswith("speaks MQTT 3.1.1")
    assert report["publish"].mark == Mark.WARNING
    assert "acknowledges also what it throws away" in report["publish"].cause
    assert "Denied PUBLISH" in report["publish"].run


def test_a_broker_that_hangs_up_on_what_it_forbids_is_told() -> None:
    with CurtBroker() as curt:
        finding = check(visited(curt), "publish")
    assert finding.mark == Mark.FAILED
    assert finding.text.startswith(
        f"the broker ended the connection when asked to publish below k8s/v1/{CLUSTER}/"
    )
    assert "hanging up" in finding.cause
    assert "ACL" in finding.run


class Strict(FakeBroker):
    """Accepts everyone, and refuses every subscription."""

    def answer(self, kind: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            return ACCEPTED
        return b"\x90\x04" + body[:2] + b"\x00\x87" if kind == SUBSCRIBE else b""


def test_a_status_that_may_not_be_read_is_a_warning_since_a_producer_works_without() -> None:
    with Strict() as strict:
        finding = check(visited(strict), "status")
    assert finding.mark == Mark.WARNING
    assert "a second producer for this cluster would not be noticed" in finding.cause
    assert finding.run == "on the broker: add to its acl_file: pattern read k8s/v1/%u/status"
