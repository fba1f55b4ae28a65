"""The wired consumer over the real Mosquitto."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.consumer.messages import event, payload
from tests.consumer.receivers.trickling import trickling
from tests.consumer.site import Site, connected, consumer, page
from tests.fakes.webhook import WebhookFake
from tests.mosquitto import Mosquitto, free_port
from tests.stage.process import Process
from tests.waiting import until
from tocsin_consumer import run as run_module
from tocsin_consumer.clock import utc_now
from tocsin_consumer.config_file import ConfigFile
from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Inbox
from tocsin_consumer.receivers.file import FileReceiver
from tocsin_consumer.receivers.receiver import Receipt
from tocsin_consumer.run import Consumer, run
from tocsin_consumer.store import Store
from tocsin_schemas.event import EventPayload

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def site(broker: Mosquitto, tmp_path: Path) -> Site:
    return Site(tmp_path, broker.port)


def test_an_event_arrives_at_a_receiver_once_and_a_repeat_never(site: Site) -> None:
    with consumer(site.settings()) as made:
        connected(made)
        site.publish(event(count=1), event(count=1), event(count=3, seq=2), event(count=2, seq=3))
        until(lambda: made.pipeline.counters.seen == 4)
        until(lambda: len(site.delivered()) == 2)
    assert site.delivered() == [("uid-1", 1), ("uid-1", 3)]
    assert site.query("SELECT state, COUNT(*) FROM deliveries GROUP BY state") == [("delivered", 2)]


def test_what_was_published_while_the_consumer_was_away_arrives_at_its_next_start(site: Site) -> None:
    with consumer(site.settings()) as made:
        connected(made)
    site.publish(event(uid="a"), event(uid="b", seq=2))
    with consumer(site.settings()):
        until(lambda: len(site.delivered()) == 2)
    with consumer(site.settings()) as made:
        connected(made)
        assert made.pipeline.counters.seen == 0
    assert site.delivered() == [("a", 1), ("b", 1)]


def test_a_backlog_many_times_the_inbox_arrives_over_one_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Mosquitto 2.0.11 sends all of it at once, whatever we say that we take."""
    monkeypatch.setattr(run_module, "Inbox", partial(Inbox, messages=30))
    said = [event(uid=f"u{number:03}", seq=number) for number in range(1, 501)]
    with consumer(site.settings()) as made:
        connected(made)
    site.publish(*said)
    with consumer(site.settings()):
        until(lambda: len(site.delivered()) == len(said))
    assert site.delivered() == [(one.uid, 1) for one in said]
    assert "more came than the inbox holds" not in caplog.text


def test_bad_messages_are_dead_letters_and_the_next_message_arrives_over_the_same_connection(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [b"", b"{", b"\xff", b"x" * 1_000_000, b'{"v":2}', payload(event(cluster="edge-2"))]
    caplog.set_level("INFO", logger="tocsin_schemas")
    with consumer(site.settings()) as made:
        connected(made)
        caplog.clear()
        site.publish(*bad, event())
        until(site.delivered)
    assert site.query("SELECT reason FROM dead_letters ORDER BY id") == [
        ("payload is empty",),
        ("payload is not JSON (EOF while parsing an object at line 1 column 1)",),
        ("payload is not UTF-8 (byte 0)",),
        ("payload is larger than 256 KiB",),
        ("version 2 is not known",),
        ("payload names another cluster than its topic",),
    ]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_message_is_not_acknowledged_while_the_store_fails_and_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []

    def fail(*_: object, **__: object) -> None:
        failures.append("full")
        raise StoreError("full")

    with consumer(site.settings()) as made:
        connected(made)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "record", fail)
            site.publish(event())
            until(lambda: failures)
            assert made.stop()
    assert site.delivered() == []
    with consumer(site.settings()):
        until(lambda: site.delivered() == [("uid-1", 1)])


def test_deliveries_to_a_receiver_that_is_gone_from_the_configuration_are_dead_letters(site: Site) -> None:
    broken = {"name": "old", "file": {"path": str(site.folder / "none" / "out.ndjson")}}
    with consumer(site.settings(receivers=[broken], route={"receivers": ["old"]})) as made:
        connected(made)
        site.publish(event())
        until(lambda: made.pipeline.counters.deliveries)
    with consumer(site.settings()):
        pass
    [(receiver, reason)] = site.query("SELECT receiver, reason FROM dead_letters")
    assert (receiver, reason) == ("old", "the receiver is no longer in the configuration")


def test_without_a_broker_the_consumer_goes_on_trying_and_stops_cleanly(tmp_path: Path) -> None:
    with consumer(Site(tmp_path, free_port()).settings()) as made:
        assert made.look_after()


def test_a_receiver_that_hangs_cuts_the_stop_short(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang(*_: object) -> Receipt:
        entered.set()
        leave.wait(60)
        return Receipt("written")

    monkeypatch.setattr(FileReceiver, "deliver", hang)
    monkeypatch.setattr(run_module, "DELIVER_SECONDS", 0.05)
    made = Consumer(site.settings())
    made.start()
    connected(made)
    site.publish(event())
    assert entered.wait(20)
    assert not made.stop()
    leave.set()
    assert made._deliver_jobs[0].join(20)
    made.close()


def test_a_thread_that_ends_ends_the_consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr("tocsin_consumer.feed.Feed.run", lambda *_: None)
    file = ConfigFile(Site(tmp_path, free_port()).write_settings(), {})
    assert run(file, file.load(), stop=threading.Event(), reload=threading.Event()) == 1


def test_what_is_older_than_the_retention_is_forgotten(site: Site) -> None:
    with consumer(site.settings(retention="8d")) as made:
        connected(made)
        site.publish(event())
        until(lambda: site.query("SELECT state FROM deliveries") == [("delivered",)])
        assert made.look_after()
    assert site.query("SELECT COUNT(*) FROM events") == [(1,)]
    with consumer(site.settings(retention="8d"), clock=lambda: utc_now() + timedelta(days=9)) as made:
        assert made.look_after()
    assert site.query("SELECT COUNT(*) FROM events") == [(0,)]


def test_the_command_ends_with_0_when_it_is_told_to(site: Site) -> None:
    arguments = ("-m", "tocsin_consumer", "run", "--config", str(site.write_settings()))
    with Process("consumer", *arguments, folder=site.folder) as process:
        process.wait_for_log("connected to")
        site.publish(event())
        until(site.delivered)
        assert process.stop() == 0
    assert "messages: seen=1 statuses=0" in process.log


def test_after_a_kill_what_was_acknowledged_is_delivered_and_nothing_is_lost(site: Site) -> None:
    arguments = ("-m", "tocsin_consumer", "run", "--config", str(site.write_settings()))
    said = [event(uid=f"u{number:03}", seq=number) for number in range(1, 301)]
    with Process("consumer", *arguments, folder=site.folder) as process:
        process.wait_for_log("connected to")
        site.publish(*said[:150])
        process.kill()
        site.publish(*said[150:])
        process.start()
        until(lambda: len(set(site.delivered())) == len(said))
        assert process.stop() == 0
    assert set(site.delivered()) == {(one.uid, 1) for one in said}


def test_a_kill_in_the_midst_of_a_burst_repeats_one_notification_at_most(site: Site, broker: Mosquitto) -> None:
    said = [event(uid=f"u{number:03}", seq=number) for number in range(1, 301)]
    with WebhookFake() as hook:
        receivers = [{"name": "hook", "grouped": False, "webhook": {"url": hook.url}}]
        file = site.write_settings(receivers=receivers, route={"receivers": ["hook"]})
        arguments = ("-m", "tocsin_consumer", "run", "--config", str(file))
        with Process("consumer", *arguments, folder=site.folder) as process:
            until(lambda: f"SUBACK to {site.client_id}" in broker.log())
            site.publish(*said)
            until(lambda: len(hook.requests) > 40)
            process.kill()
            assert len(hook.requests) < len(said)
            process.start()
            until(lambda: len({request.json()["uid"] for request in hook.requests}) == len(said))
            assert process.stop() == 0
    assert len(hook.requests) <= len(said) + 1


def test_a_receiver_whose_answer_never_ends_does_not_hold_up_the_stop_and_loses_nothing(
    site: Site, broker: Mosquitto
) -> None:
    with trickling(b"HTTP/1.1 200 OK\r\n") as url:
        receivers = [{"name": "hook", "webhook": {"url": url, "timeout": "1s"}}]
        file = site.write_settings(receivers=receivers, route={"receivers": ["hook"]})
        arguments = ("-m", "tocsin_consumer", "run", "--config", str(file))
        with Process("consumer", *arguments, folder=site.folder) as process:
            until(lambda: f"SUBACK to {site.client_id}" in broker.log())
            site.publish(event())
            until(lambda: site.query("SELECT state FROM deliveries"))
            assert process.stop() == 0
    assert site.query("SELECT state FROM deliveries") == [("pending",)]


def test_a_store_that_is_deleted_ends_the_command_and_what_it_would_have_held_comes_again(
    site: Site, broker: Mosquitto
) -> None:
    arguments = ("-m", "tocsin_consumer", "run", "--config", str(site.write_settings()))
    with Process("consumer", *arguments, folder=site.folder) as process:
        until(lambda: f"SUBACK to {site.client_id}" in broker.log())
        site.publish(event(uid="a"))
        until(lambda: site.delivered() == [("a", 1)])
        for file in site.folder.glob("tocsin.db*"):
            file.unlink()
        site.publish(event(uid="b", seq=2))
        assert process.wait() == 1
        assert "the store was deleted or replaced while it was in use; stopping" in process.log
        process.start()
        until(lambda: ("b", 1) in site.delivered())


def test_a_store_that_cannot_be_used_ends_the_command_with_one_clear_line(site: Site) -> None:
    (site.folder / "tocsin.db").write_bytes(b"SQLite format 3\0 and nothing that fits behind it" * 99)
    arguments = ("-m", "tocsin_consumer", "run", "--config", str(site.write_settings()))
    with Process("consumer", *arguments, folder=site.folder) as process:
        assert process.wait() == 1
    assert process.log.startswith(f"store {site.folder}/tocsin.db: file is not a database; put back a copy of it")
    assert process.log.count("\n") == 1


def test_two_consumers_on_one_store_are_one_clear_error_and_a_kill_leaves_no_lock(site: Site) -> None:
    arguments = ("-m", "tocsin_consumer", "run", "--config", str(site.write_settings()))
    second = Process("second", *arguments, folder=site.folder)
    with Process("first", *arguments, folder=site.folder) as first:
        first.wait_for_log("connected to")
        second.start()
        assert second.wait() == 1
        assert second.log == (
            f"store {site.folder}/tocsin.db: in use by another tocsin-consumer (process {first.pid}); "
            "each consumer needs a store and a broker.client_id of its own\n"
        )
        first.kill()
        second.start()
        second.wait_for_log("connected to")
        assert second.stop() == 0


def test_probes_and_metrics_tell_the_truth_about_the_running_consumer(site: Site) -> None:
    port = free_port()
    with consumer(site.settings(http={"listen": f"127.0.0.1:{port}"})) as made:
        connected(made)
        site.publish(event())
        until(site.delivered)
        until(lambda: page(port, "/readyz") == (200, "ok\n"))
        assert page(port, "/healthz") == (200, "ok\n")
        until(lambda: 'tocsin_consumer_deliveries_total{receiver="file"} 1.0' in page(port, "/metrics")[1])


def test_an_offline_consumer_is_alive_and_not_ready_and_sends_no_heartbeat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with WebhookFake() as service:
        settings = Site(tmp_path, free_port()).settings(
            http={"listen": f"127.0.0.1:{port}"}, heartbeat={"url": service.url, "every": "1s"}
        )
        with consumer(settings):
            assert page(port, "/healthz") == (200, "ok\n")
            assert page(port, "/readyz") == (503, "not connected to the broker\n")
            until(lambda: "no heartbeat is sent: not connected to the broker" in caplog.text)
        assert len(service.requests) == 0


def test_a_port_that_is_taken_ends_the_command_with_one_clear_line(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = str(site.write_settings(http={"listen": listen}))
        with Process(
            "consumer", "-m", "tocsin_consumer", "run", "--config", config, folder=site.folder
        ) as process:
            assert process.wait() == 1
    assert process.log == f"http.listen: {listen}: Address already in use\n"


def test_tail_shows_live_events_takes_nothing_from_a_consumer_and_leaves_no_session(
    site: Site, broker: Mosquitto
) -> None:
    command = [sys.executable, "-m", "tocsin_consumer", "tail", "--config", str(site.write_settings()), "--json"]
    with consumer(site.settings()) as made:
        connected(made)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert "connected to" in process.stderr.readline()
            until(lambda: "Received SUBSCRIBE from tocsin-tail-" in broker.log())
            site.publish(event())
            line = process.stdout.readline()
            process.terminate()
            assert process.wait(20) == 0
            process.stderr.read()
        until(lambda: site.delivered() == [("uid-1", 1)])
        assert made._intake.uplink
    assert EventPayload.model_validate_json(line) == event()
