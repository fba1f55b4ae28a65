"""What the consumer promises under faults, each by name: the real process, a real broker."""

import resource
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.consumer.messages import event
from tests.consumer.site import Site, connected, consumer, page
from tests.mosquitto import Mosquitto, free_port
from tests.stage.process import Process
from tests.waiting import until
from tocsin_consumer.receivers.file import FileReceiver
from tocsin_consumer.receivers.receiver import Note, Receipt

pytestmark = pytest.mark.broker

#: The consumer, which kills itself where `place` is reached.
_KILLED = """
import os, signal
from tocsin_consumer.{module} import {place}
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
{method} = die
from pathlib import Path
from tocsin_consumer.service import main
main(Path({config!r}))
"""


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def site(broker: Mosquitto, tmp_path: Path) -> Site:
    return Site(tmp_path, broker.port)


def process(site: Site, **changes: Any) -> Process:
    config = str(site.write_settings(**changes))
    return Process("consumer", "-m", "tocsin_consumer", "run", "--config", config, folder=site.folder)


def until_subscribed(site: Site, broker: Mosquitto) -> None:
    """Wait until the consumer has a session that gets what is published: a connection alone does not."""
    until(lambda: f"SUBACK to {site.client_id}" in broker.log())


def killed_at(site: Site, module: str, place: str, method: str) -> Process:
    """Return the consumer that dies as soon as it reaches `method`."""
    config = str(site.write_settings())
    code = _KILLED.format(module=module, place=place, method=f"{place}.{method}", config=config)
    return Process("killed", "-c", code, folder=site.folder)


def test_a_kill_before_the_commit_loses_nothing(site: Site, broker: Mosquitto) -> None:
    with killed_at(site, "store", "Store", "record") as first:
        until_subscribed(site, broker)
        site.publish(event())
        assert first.wait() == -signal.SIGKILL
    with process(site) as second:
        until(lambda: site.delivered() == [("uid-1", 1)])
        assert second.stop() == 0


def test_a_kill_between_the_commit_and_the_acknowledgement_repeats_nothing(site: Site, broker: Mosquitto) -> None:
    with killed_at(site, "intake", "Intake", "hand_back") as first:
        until_subscribed(site, broker)
        site.publish(event())
        assert first.wait() == -signal.SIGKILL
    assert site.query("SELECT COUNT(*) FROM events") == [(1,)]
    port = free_port()
    with process(site, http={"listen": f"127.0.0.1:{port}"}) as second:
        second.wait_for_log("connected to")
        until(lambda: 'messages_total{outcome="repeat"} 1.0' in page(port, "/metrics")[1])
        until(site.delivered)
        assert second.stop() == 0
    assert site.delivered() == [("uid-1", 1)]
    assert site.query("SELECT COUNT(*) FROM dead_letters") == [(0,)]


@pytest.mark.parametrize(
    ("module", "place", "method", "are_kept"),
    [("store", "cluster_rows", "keep_positions", False), ("intake", "Intake", "hand_back", True)],
    ids=["within the commit", "between commit and acknowledgement"],
)
def test_a_batch_whose_consumer_is_killed_is_kept_as_a_whole_or_not_at_all_and_told_once_in_its_order(
    site: Site, broker: Mosquitto, module: str, place: str, method: str, *, are_kept: bool
) -> None:
    said = [event(uid=f"u{number:03}", seq=number) for number in range(1, 301)]
    with process(site) as away:
        until_subscribed(site, broker)
        assert away.stop() == 0
    site.publish(*said)
    with killed_at(site, module, place, method) as first:
        assert first.wait() == -signal.SIGKILL
    [(kept,)] = site.query("SELECT COUNT(*) FROM events")
    assert bool(kept) == are_kept
    assert site.query("SELECT COUNT(*) FROM deliveries") == [(kept,)]
    port = free_port()
    with process(site, http={"listen": f"127.0.0.1:{port}"}) as second:
        until(lambda: len(site.delivered()) >= len(said))
        until(lambda: f'messages_total{{outcome="repeat"}} {kept:.1f}' in page(port, "/metrics")[1])
        assert second.stop() == 0
    assert site.delivered() == [(one.uid, 1) for one in said]
    assert site.query("SELECT COUNT(*) FROM dead_letters") == [(0,)]


def test_a_kill_between_delivery_and_its_record_repeats_that_delivery_and_loses_none(
    site: Site, broker: Mosquitto
) -> None:
    with process(site) as first:
        until_subscribed(site, broker)
        site.publish(event(uid="a"))
        until(lambda: site.query("SELECT state FROM deliveries") == [("delivered",)])
        assert first.stop() == 0
    with killed_at(site, "store", "Store", "settle") as second:
        second.wait_for_log("connected to")
        site.publish(event(uid="b", seq=2))
        assert second.wait() == -signal.SIGKILL
    with process(site) as third:
        until(lambda: site.query("SELECT DISTINCT state FROM deliveries") == [("delivered",)])
        assert third.stop() == 0
    assert site.delivered() == [("a", 1), ("b", 1), ("b", 1)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")
def test_on_a_full_disk_nothing_is_acknowledged_and_nothing_lost(site: Site, broker: Mosquitto) -> None:
    """The limit on the size of files is what a process without quota or a disk of its own can have filled."""
    port = free_port()
    said = [event(uid=f"u{number}", seq=number, msg="x" * 4000) for number in range(1, 201)]
    with process(site, http={"listen": f"127.0.0.1:{port}"}, receivers=[{"name": "file", "stdout": {}}]) as sut:
        until_subscribed(site, broker)
        limit = (site.folder / "tocsin.db-wal").stat().st_size + 50_000
        resource.prlimit(sut.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        site.publish(*said)
        sut.wait_for_log("nothing is acknowledged until it works")
        assert page(port, "/healthz")[0] == 200
        assert page(port, "/readyz") == (503, "the store does not work\n")
        assert site.query("SELECT COUNT(*) FROM events")[0][0] < len(said)
        resource.prlimit(sut.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: site.query("SELECT state, COUNT(*) FROM deliveries GROUP BY state") == [("delivered", 200)])
        assert sut.stop() == 0
    assert site.query("SELECT COUNT(*) FROM dead_letters") == [(0,)]


def test_a_store_that_another_writer_has_locked_makes_the_consumer_wait_and_lose_nothing(
    site: Site, broker: Mosquitto
) -> None:
    with process(site) as sut:
        until_subscribed(site, broker)
        with closing(sqlite3.connect(site.folder / "tocsin.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            site.publish(event())
            sut.wait_for_log("database is locked; nothing is acknowledged until it works")
            assert site.delivered() == []
        until(lambda: site.delivered() == [("uid-1", 1)])
        assert sut.stop() == 0


def test_a_damaged_store_ends_the_consumer_with_what_to_do_and_is_left_as_it_is(
    site: Site, broker: Mosquitto
) -> None:
    with process(site) as first:
        until_subscribed(site, broker)
        site.publish(*(event(uid=f"u{number}", seq=number, msg="x" * 2000) for number in range(1, 51)))
        until(lambda: len(site.delivered()) == 50)
        assert first.stop() == 0
    store = site.folder / "tocsin.db"
    content = bytearray(store.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    store.write_bytes(content)
    with process(site) as second:
        assert second.wait() == 1
        last = second.log.splitlines()[-1]
    assert last.startswith(f"store {store}: ")
    assert "put back a copy of it, or move it away" in last
    assert store.read_bytes() == content


def test_a_receiver_that_hangs_holds_up_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    leave = threading.Event()
    deliver = FileReceiver.deliver

    def hang(self: FileReceiver, rendering: Any, note: Note) -> Receipt:
        if self.name == "stuck":
            leave.wait(60)
        return deliver(self, rendering, note)

    monkeypatch.setattr(FileReceiver, "deliver", hang)
    receivers = [{"name": name, "file": {"path": f"{site.folder}/{name}.ndjson"}} for name in ("stuck", "fine")]
    with consumer(site.settings(receivers=receivers, route={"receivers": ["stuck", "fine"]})) as made:
        connected(made)
        site.publish(event(uid="a"), event(uid="b", seq=2))
        until(lambda: len(site.lines("fine.ndjson")) == 2)
        assert site.lines("stuck.ndjson") == []
        leave.set()
        until(lambda: len(site.lines("stuck.ndjson")) == 2)


def test_a_session_that_the_broker_forgot_is_made_anew_and_what_it_lost_is_known(
    site: Site, broker: Mosquitto
) -> None:
    with process(site) as sut:
        until_subscribed(site, broker)
        site.publish(event(uid="a", seq=1))
        until(lambda: len(site.delivered()) == 1)
        broker.kill()
        broker.start()
        sut.wait_for_log("the broker has forgotten our session")
        site.publish(event(uid="b", seq=5))
        until(lambda: site.delivered() == [("a", 1), ("b", 1)])
        assert sut.stop() == 0
    assert "cluster edge-1: 3 of the events that it published have not come" in sut.log
    assert site.query("SELECT cluster, at_broker FROM losses") == [("edge-1", 3)]


def test_a_configured_cluster_that_was_never_seen_is_told_once_through_a_kill(site: Site) -> None:
    with process(site, presence={"clusters": ["edge-9"], "offline_after": "1s"}) as sut:
        sut.wait_for_log("connected to")
        until(lambda: site.query("SELECT state FROM deliveries") == [("delivered",)])
        sut.kill()
        sut.start()
        sut.wait_for_log("connected to", times=2)
        site.tell("offline", cluster="edge-2")
        until(lambda: site.query("SELECT state FROM deliveries") == [("delivered",)] * 2)
        assert sut.stop() == 0
    told = [(line["cluster"], line["reason"]) for line in site.lines()]
    assert told == [("edge-9", "ClusterNeverSeen"), ("edge-2", "ClusterOffline")]


def test_a_cluster_that_goes_dark_and_returns_is_told_once_each_through_restarts_of_the_consumer(
    site: Site,
) -> None:
    quickly = {"offline_after": "1s", "steady_after": "0s"}
    site.tell("online")
    with process(site, presence=quickly) as sut:
        sut.wait_for_log("connected to")
        until(lambda: site.query("SELECT link FROM presences") == [("online",)])
        site.tell("offline", lost=2)
        until(lambda: site.query("SELECT state FROM deliveries") == [("delivered",)])
        sut.kill()
        sut.start()
        sut.wait_for_log("connected to", times=2)
        site.tell("online", waiting=37, lost=5)
        until(lambda: len(site.lines()) == 2)
        site.clear()
        until(lambda: site.query("SELECT COUNT(*) FROM presences") == [(0,)])
        assert sut.stop() == 0
    dark, back = site.lines()
    assert (dark["reason"], dark["kind"], dark["cause"]) == ("ClusterOffline", "Cluster", "status")
    assert (back["reason"], back["held"], back["lost"]) == ("ClusterOnline", 37, 3)
    assert site.query("SELECT COUNT(*) FROM dead_letters") == [(0,)]
