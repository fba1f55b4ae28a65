"""A configuration that changes while the consumer runs, over the real Mosquitto."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.consumer.messages import event
from tests.consumer.site import Site, page
from tests.fakes.webhook import WebhookFake
from tests.mosquitto import Mosquitto, free_port
from tests.stage.process import Process
from tests.waiting import until
from tocsin_consumer import run as run_module
from tocsin_consumer.config_file import ConfigFile
from tocsin_consumer.run import run
from tocsin_consumer.store import Store

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as started:
        yield started


class Stage:
    """A consumer in this process that looks at its file often."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.port = free_port()
        self.reload = threading.Event()
        self.code: int | None = None
        self._stop = threading.Event()
        self.write()
        file = ConfigFile(site.folder / "consumer.yaml", {})
        settings = file.load()
        self._thread = threading.Thread(
            target=lambda: setattr(self, "code", run(file, settings, stop=self._stop, reload=self.reload))
        )

    def write(self, **changes: Any) -> None:
        self.site.write_settings(**{"http": {"listen": f"127.0.0.1:{self.port}"}, **changes})

    def metric(self, name: str) -> float:
        """Return a figure; -1 while nobody answers."""
        try:
            _, text = page(self.port, "/metrics")
        except OSError:
            return -1.0
        found = re.search(rf"(?m)^tocsin_consumer_{name} (\S+)$", text)
        return float(found[1]) if found else -1.0

    def start(self) -> None:
        self._thread.start()
        until(lambda: self.metric("connected") == 1)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.fixture
def stage(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(run_module, "_LOOK_SECONDS", 0.05)
    stage = Stage(Site(tmp_path, broker.port))
    stage.start()
    yield stage
    stage.stop()
    assert stage.code == 0


def two_files(site: Site) -> dict[str, Any]:
    receivers = [{"name": name, "file": {"path": str(site.folder / f"{name}.ndjson")}} for name in ("out", "more")]
    return {"receivers": receivers, "route": {"receivers": ["out", "more"]}}


def test_a_changed_file_takes_effect_without_a_loss_or_a_repeat_and_counters_go_on(stage: Stage) -> None:
    site = stage.site
    site.publish(event(uid="a"))
    until(lambda: len(site.delivered()) == 1)
    stage.write(**two_files(site))
    for number in range(40):
        site.publish(event(uid=f"u{number}", seq=number + 2))
    until(lambda: stage.metric('messages_total{outcome="event"}') == 41)
    until(lambda: len(site.delivered()) == 41)
    assert site.delivered() == [("a", 1), *((f"u{number}", 1) for number in range(40))]
    site.publish(event(uid="z", seq=42))
    until(lambda: site.lines("more.ndjson")[-1:] and site.lines("more.ndjson")[-1]["uid"] == "z")
    assert stage.metric("config_last_reload_successful") == 1


def test_a_wrong_file_leaves_the_old_one_in_force_says_why_and_shows_until_it_is_mended(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    before = stage.metric("config_last_reload_success_timestamp_seconds")
    stage.write(route={"receivers": ["nobody"]})
    until(lambda: stage.metric("config_last_reload_successful") == 0)
    assert "route.receivers[0]: no receiver is called 'nobody'; there are file" in caplog.text
    assert caplog.text.count("the one before stays in force") == 1
    stage.site.publish(event())
    until(lambda: len(stage.site.delivered()) == 1)
    stage.write()
    until(lambda: stage.metric("config_last_reload_successful") == 1)
    assert stage.metric("config_last_reload_success_timestamp_seconds") >= before


def test_a_configuration_that_cannot_start_gives_way_to_the_one_before(
    stage: Stage, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    other = Site(tmp_path / "full", stage.site.port)
    taken = Store(f"sqlite:///{tmp_path}/full/tocsin.db", exclusive=True)
    stage.write(store=other.settings().store)
    until(lambda: "the one before is in force again" in caplog.text)
    until(lambda: stage.metric("config_last_reload_successful") == 0)
    stage.site.publish(event())
    until(lambda: len(stage.site.delivered()) == 1)
    taken.close()


def test_a_reload_that_changes_nothing_starts_nothing_anew(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    connections = stage.metric("connections_total")
    stage.reload.set()
    until(lambda: "says what is in force" in caplog.text)
    assert stage.metric("connections_total") == connections


def test_a_secret_in_a_file_of_its_own_that_is_replaced_is_taken_over(stage: Stage, tmp_path: Path) -> None:
    with WebhookFake() as first, WebhookFake() as second:
        secret = tmp_path / "url"
        secret.write_text(first.url)
        hook = {"name": "hook", "grouped": False, "webhook": {"url_file": str(secret)}}
        stage.write(receivers=[hook], route={"receivers": ["hook"]})
        until(lambda: stage.metric("connections_total") == 2)
        stage.site.publish(event(uid="a"), event(uid="b", seq=2))
        until(lambda: len(first.requests) == 2)
        news = tmp_path / "news"
        news.write_text(second.url)
        news.replace(secret)
        until(lambda: stage.metric("connections_total") == 3)
        stage.site.publish(event(uid="c", seq=3))
        until(lambda: [request.json()["uid"] for request in second.requests] == ["c"])
        assert [request.json()["uid"] for request in first.requests] == ["a", "b"]


def test_sighup_loads_the_file_anew(broker: Mosquitto, tmp_path: Path) -> None:
    site = Site(tmp_path, broker.port)
    file = site.write_settings()
    arguments = ("-m", "tocsin_consumer", "run", "--config", str(file))
    with Process("consumer", *arguments, folder=tmp_path) as process:
        process.wait_for_log("connected to")
        file.write_text(json.dumps({**json.loads(file.read_text()), "nonsense": 1}))
        process.hang_up()
        process.wait_for_log("nonsense: unknown key")
        assert process.stop() == 0
