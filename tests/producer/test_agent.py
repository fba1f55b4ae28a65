"""The agent as a process between a stand-in for the API server and a real broker, while things go wrong."""

import json
import os
import random
import resource
import secrets
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apiserver import ApiServer
from tests.fakes.relay import CLEAR, Conditions, Relay, Way
from tests.mosquitto import Mosquitto
from tests.producer.agent_process import CLUSTER, AgentProcess
from tests.producer.conftest import event
from tests.schemas.session_harness import Recorder, broker_at, running
from tests.waiting import until

pytestmark = pytest.mark.broker

#: All that the client says is lost.
DEAF = Conditions(loses=frozenset({Way.UP}))
STATUS = f"k8s/v1/{CLUSTER}/status"


class Subscriber(Recorder):
    """Somebody who is always there and remembers everything."""

    def __init__(self) -> None:
        super().__init__(filters=(f"k8s/v1/{CLUSTER}/#",))

    def payloads_of(self, *, statuses: bool) -> list[dict[str, Any]]:
        return [
            json.loads(message.payload) for _, message in self.messages if (message.topic == STATUS) == statuses
        ]

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.payloads_of(statuses=False)

    @property
    def statuses(self) -> list[dict[str, Any]]:
        return self.payloads_of(statuses=True)

    def newest(self) -> dict[str, int]:
        return {event["uid"]: event["count"] for event in self.events}


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as broker:
        yield broker


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def subscriber(mosquitto: Mosquitto) -> Iterator[Subscriber]:
    someone = Subscriber()
    with running(broker_at(mosquitto.port), someone):
        until(lambda: "SUBACK" in mosquitto.log())
        yield someone


def agent(folder: Path, mosquitto: Mosquitto, api_server: ApiServer, **changes: Any) -> AgentProcess:
    return AgentProcess(folder, broker_port=mosquitto.port, api_url=api_server.url, **changes)


@pytest.mark.parametrize("has_state", [True, False], ids=["state file", "no state"])
@pytest.mark.parametrize("fold_seconds", [0.0, 1.0], ids=["not folding", "folding"])
def test_killed_at_any_instant_it_loses_nothing_goes_never_backwards_and_its_state_stays_whole(
    tmp_path: Path,
    mosquitto: Mosquitto,
    api_server: ApiServer,
    subscriber: Subscriber,
    has_state: bool,
    fold_seconds: float,
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    path = tmp_path / "outbox.db" if has_state else None
    counts: dict[str, int] = {}
    with Relay(mosquitto.port) as link:
        process = AgentProcess(
            tmp_path,
            broker_port=link.port,
            api_url=api_server.url,
            outbox_path=str(path) if path else None,
            fold_seconds=fold_seconds,
            http_listen=None,
        )
        for _ in range(20):
            link.change(CLEAR)
            connections = process.log.count("connected to")
            process.start()
            if chance.random() < 0.7:  # else it may be killed while it starts
                until(lambda before=connections: process.log.count("connected to") > before)  # type: ignore[misc]
            run_for(chance.uniform(0, 0.3), lambda: churn(api_server, counts, chance))
            link.change(DEAF)
            run_for(chance.uniform(0, 0.05), lambda: churn(api_server, counts, chance))
            process.kill()
        link.change(CLEAR)
        with process:
            until(lambda: subscriber.newest() == counts, otherwise="something was lost")
            assert process.stop() == 0
    assert process.log.count("unusable") == 0
    per_event: dict[str, list[int]] = {}
    for payload in subscriber.events:
        per_event.setdefault(payload["uid"], []).append(payload["count"])
    assert [told for told in per_event.values() if told != sorted(told)] == []
    if path is not None:
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        numbers = [(payload["boot"], payload["seq"]) for payload in subscriber.events]
        assert numbers == sorted(set(numbers))


def run_for(seconds: float, act: Callable[[], object]) -> None:
    """Do the same again and again for a while."""
    deadline = time.monotonic() + seconds
    until(lambda: act() or time.monotonic() > deadline)


def churn(api_server: ApiServer, counts: dict[str, int], chance: random.Random) -> None:
    """Let a new Event occur, or one of some Events once more."""
    uid = f"event-{len(counts)}" if chance.random() < 0.5 else f"event-{chance.randrange(40)}"
    counts[uid] = counts.get(uid, 0) + 1
    api_server.events.put(event(uid, count=counts[uid]))


def test_started_while_api_server_and_broker_are_both_away_it_waits_for_both(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    mosquitto = Mosquitto(tmp_path / "broker")
    with ApiServer() as api_server, agent(tmp_path, mosquitto, api_server) as process:
        api_server.refuse_connections()
        until(lambda: "no connection to the broker: Connection refused" in process.probe("/readyz")[1])
        assert process.probe("/readyz")[0] == 503
        assert process.probe("/healthz") == (200, "ok\n")
        api_server.events.put(event("a"))
        api_server.accept_connections()
        until(lambda: process.figure("waiting") == 1)
        someone = Subscriber()
        with mosquitto, running(broker_at(mosquitto.port), someone):
            until(lambda: someone.newest() == {"a": 3})
            until(lambda: process.probe("/readyz") == (200, "ok\n"))
            assert process.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")
def test_while_the_state_cannot_be_written_it_says_so_once_and_afterwards_nothing_is_missing(
    tmp_path: Path, mosquitto: Mosquitto, api_server: ApiServer, subscriber: Subscriber
) -> None:
    path = tmp_path / "outbox.db"
    process = agent(tmp_path, mosquitto, api_server, outbox_path=str(path))
    process.start(before=limit_files)
    with stopping(process):
        until(lambda: process.probe("/readyz")[0] == 200)
        expected = {}
        for number in range(400):
            expected[f"event-{number}"] = 3
            api_server.events.put(event(f"event-{number}", message="x" * 900))
        process.wait_for_log("the state cannot be written")
        until(lambda: process.figure("state_failing") == 1)
        assert process.probe("/healthz")[0] == 200
        assert "the state cannot be written" in process.probe("/readyz")[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: subscriber.newest() == expected, within_seconds=60)
        until(lambda: process.probe("/readyz")[0] == 200, within_seconds=60)
        assert process.log.count("cannot be written") == 1
        assert "the state can be written again" in process.log
        until(lambda: process.figure("waiting") == 0)


def limit_files() -> None:
    """Let no file grow beyond 128 KiB: to SQLite the same as a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 * 1024, resource.RLIM_INFINITY))


@contextmanager
def stopping(process: AgentProcess) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


def test_a_state_file_that_another_producer_uses_ends_it_with_a_clear_error(
    tmp_path: Path, mosquitto: Mosquitto, api_server: ApiServer
) -> None:
    path = tmp_path / "outbox.db"
    other = tmp_path / "other"
    other.mkdir()
    with agent(tmp_path, mosquitto, api_server, outbox_path=str(path)) as first:
        until(lambda: first.probe("/readyz")[0] == 200)
        with agent(other, mosquitto, api_server, outbox_path=str(path)) as second:
            assert second.wait() == 2
        assert f"cannot open {path}: another process uses it" in second.log
        assert first.stop() == 0


def test_a_corrupt_state_file_is_set_aside_and_what_it_held_is_listed_again(
    tmp_path: Path, mosquitto: Mosquitto, api_server: ApiServer
) -> None:
    path = tmp_path / "outbox.db"
    mosquitto.kill()
    for number in range(50):
        api_server.events.put(event(f"event-{number}"))
    with agent(tmp_path, mosquitto, api_server, outbox_path=str(path)) as process:
        until(lambda: process.figure("waiting") == 50)
        process.stop()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    someone = Subscriber()
    with mosquitto, running(broker_at(mosquitto.port), someone):
        until(lambda: someone.connections)
        with process:
            until(lambda: someone.newest() == {f"event-{number}": 3 for number in range(50)})
            assert process.stop() == 0
    (aside,) = tmp_path.glob("outbox.db.unusable-*")
    assert aside.read_bytes() == content
    assert f"set aside as {aside.name} and begun anew" in process.log


def test_without_its_port_for_probes_it_ends_with_a_clear_error(
    tmp_path: Path, mosquitto: Mosquitto, api_server: ApiServer
) -> None:
    listen = f"127.0.0.1:{api_server.port}"
    with agent(tmp_path, mosquitto, api_server, http_listen=listen) as process:
        assert process.wait() == 2
    assert f"cannot listen on {listen} (http.listen): Address already in use" in process.log


def test_a_message_that_a_broker_of_mqtt_5_has_no_room_for_is_given_up_and_all_others_arrive(
    tmp_path: Path, api_server: ApiServer
) -> None:
    (tmp_path / "broker").mkdir()
    small = "listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 800\n"
    with Mosquitto(tmp_path / "broker", small) as mosquitto:
        someone = Subscriber()
        with running(broker_at(mosquitto.port), someone):
            until(lambda: someone.connections)
            for number in range(20):
                api_server.events.put(event(f"event-{number}", message="x" * (1000 if number == 3 else 10)))
            with agent(tmp_path, mosquitto, api_server) as process:
                until(lambda: len(someone.newest()) == 19)
                until(lambda: process.figure('lost_total{reason="size"}') == 1)
                assert process.figure("reconnects_total") == 0
                assert process.stop() == 0
        assert "event-3" not in someone.newest()
        assert "the broker takes packets of 800 at most" in process.log
