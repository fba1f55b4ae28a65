"""A configuration that changes while the consumer runs, over the real Mosquitto."""

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
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
from tocsin_consumer.errors import StoreError
from tocsin_consumer.run import Consumer, run
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
        loaded = file.load()
        self._thread = threading.Thread(
            target=lambda: setattr(self, "code", run(file, loaded, stop=self._stop, reload=self.reload))
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

    def ask_to_stop(self) -> None:
        self._stop.set()

    def stop(self) -> None:
        self.ask_to_stop()
        self._thread.join(30)


@pytest.fixture
def stage(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(run_module, "_LOOK_SECONDS", 0.05)
    stage = Stage(Site(tmp_path, broker.port))
    stage.start()
    yield stage
    stage.stop()
    assert stage.code == 0


class Pages:
    """Looks at all counters again and again, as Prometheus does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._highest: dict[str, float] = {}
        #: Those that were smaller than before, or gone.
        self.fallen: list[str] = []

    def look(self) -> bool:
        """Look once, and tell whether somebody answered."""
        try:
            _, text = page(self._port, "/metrics")
        except OSError:
            return False
        found = re.findall(r"(?m)^tocsin_consumer_(\S+_total\S*) (\S+)$", text)
        now = {name: float(value) for name, value in found}
        self.fallen += [name for name, before in self._highest.items() if now.get(name, -1.0) < before]
        self._highest |= now
        return True

    def are_at(self, name: str, expected: float) -> bool:
        """Look once, and tell whether that counter is as high as expected."""
        return self.look() and self._highest.get(name) == expected


def in_between(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Do something while one consumer has stopped and the next has not started."""
    stop = Consumer.stop

    def stop_and_act(consumer: Consumer) -> bool:
        stopped = stop(consumer)
        action()
        return stopped

    monkeypatch.setattr(Consumer, "stop", stop_and_act)


def threads_and_files() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


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


def test_a_start_that_fails_half_way_gives_everything_back_to_the_configuration_before(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury = Store.bury_all_but

    def fail_with_more(store: Store, receivers: Any, *arguments: Any, **options: Any) -> int:
        if "more" in receivers:
            raise StoreError("the disk is full")
        return bury(store, receivers, *arguments, **options)

    monkeypatch.setattr(Store, "bury_all_but", fail_with_more)
    stage.write(**two_files(stage.site))
    until(lambda: "the one before is in force again: the disk is full" in caplog.text)
    until(lambda: stage.metric("config_last_reload_successful") == 0)
    stage.site.publish(event())
    until(lambda: len(stage.site.delivered()) == 1)


def test_a_secret_that_is_gone_before_its_receiver_starts_leaves_the_old_configuration_in_force(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "url"
    secret.write_text("https://example.com/secret")
    in_between(monkeypatch, lambda: secret.unlink(missing_ok=True))
    hook = {"name": "hook", "webhook": {"url_file": str(secret)}}
    stage.write(receivers=[hook], route={"receivers": ["hook"]})
    until(lambda: f"in force again: {secret} cannot be read: No such file" in caplog.text)
    stage.site.publish(event())
    until(lambda: len(stage.site.delivered()) == 1)


def test_a_consumer_that_is_to_stop_while_it_reloads_does_not_start_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Consumer] = []
    monkeypatch.setattr(Consumer, "start", started.append)
    in_between(monkeypatch, stage.ask_to_stop)
    stage.write(**two_files(stage.site))
    until(lambda: stage.code is not None)
    assert (stage.code, started) == (0, [])


def test_a_signal_that_comes_while_a_configuration_is_taken_over_is_heeded_afterwards(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    in_between(monkeypatch, stage.reload.set)
    stage.write(**two_files(stage.site))
    until(lambda: "says what is in force" in caplog.text)
    assert stage.metric("connections_total") == 2


def test_no_counter_ever_falls_and_nothing_piles_up_however_often_the_configuration_changes(stage: Stage) -> None:
    stage.write(**two_files(stage.site))
    until(lambda: stage.metric("connections_total") == 2)
    pages = Pages(stage.port)
    held: list[tuple[int, int]] = []
    for number in range(8):
        stage.write(**two_files(stage.site), language="zh" if number % 2 == 0 else "en")
        until(partial(pages.are_at, "connections_total", number + 3))
        stage.site.publish(event(uid=f"u{number}", seq=number + 1))
        until(partial(pages.are_at, 'deliveries_total{receiver="out"}', number + 1))
        held.append(threads_and_files())
    assert pages.fallen == []
    until(lambda: all(now <= before for now, before in zip(threads_and_files(), held[1], strict=True)))


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
