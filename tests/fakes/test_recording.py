"""Recordings are read as they are, and played in their rhythm with dates that stay consistent."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes.apiserver import ApiServer
from tests.fakes.apiserver_exchange import LIST, NODE_FAILURES, Client, an_event
from tests.fakes.apiserver_store import Event
from tests.fakes.recording import Notification, happened_at, play, read_recording, redate

ROOT = Path(__file__).parent.parent.parent


def notification(at_seconds: float, event: Event) -> Notification:
    return Notification(at_seconds, "ADDED", event)


def test_the_recording_is_what_its_description_says() -> None:
    notifications = list(read_recording(NODE_FAILURES))
    warnings = [one for one in notifications if one.event["type"] == "Warning"]
    assert len(notifications) == 1198
    assert len(warnings) == 660
    assert len({one.event["metadata"]["uid"] for one in warnings}) == 122
    assert len({one.event["reason"] for one in warnings}) == 20


def test_a_recording_may_be_plain_or_gzipped(tmp_path: Path) -> None:
    line = json.dumps({"at": 1.5, "line": {"type": "DELETED", "object": an_event()}}).encode()
    (tmp_path / "plain.ndjson").write_bytes(line + b"\n")
    (tmp_path / "packed.ndjson.gz").write_bytes(gzip.compress(line + b"\n"))
    for name in ("plain.ndjson", "packed.ndjson.gz"):
        assert list(read_recording(tmp_path / name)) == [Notification(1.5, "DELETED", an_event())]


def test_a_recording_is_played_in_its_rhythm_divided_by_the_speed(server: ApiServer) -> None:
    pauses: list[float] = []
    recording = [notification(at, an_event(str(at))) for at in (90.0, 91.0, 91.0, 101.0)]
    play(server.events, recording, speed=10, stop=threading.Event(), sleep=pauses.append)
    assert pauses == [0.1, 1.0]
    assert len(server.events.served) == 4


def test_a_played_recording_ends_in_the_recorded_state(server: ApiServer, client: Client) -> None:
    recording = list(read_recording(NODE_FAILURES))
    play(server.events, recording, speed=1, stop=threading.Event(), sleep=lambda _: None)
    last = {one.event["metadata"]["uid"]: one.event["message"] for one in recording}
    items = client.ask(LIST).json()["items"]
    assert {item["metadata"]["uid"]: item["message"] for item in items} == last
    assert len(server.events.served) == len(recording)


def test_a_deletion_is_played_as_one(server: ApiServer, client: Client) -> None:
    recording = [notification(0, an_event()), Notification(1, "DELETED", an_event())]
    play(server.events, recording, speed=1, stop=threading.Event(), sleep=lambda _: None)
    assert client.ask(LIST).json()["items"] == []


def test_playing_ends_when_it_is_told_to(server: ApiServer) -> None:
    stop = threading.Event()
    recording = [notification(0, an_event("a")), notification(3600, an_event("b"))]
    play(server.events, recording, speed=1, stop=stop, sleep=lambda _: stop.set())
    assert [state.uid for state in server.events.served] == ["uid-of-a"]


def test_a_shifted_recording_begins_now_and_keeps_its_distances_divided_by_the_speed(
    server: ApiServer, client: Client
) -> None:
    begin = datetime(2030, 1, 1, tzinfo=UTC)
    recording = list(read_recording(NODE_FAILURES))
    stop = threading.Event()
    play(server.events, recording, speed=2, stop=stop, sleep=lambda _: None, shift_to=begin)
    played = {item["metadata"]["uid"]: happened_at(item) for item in client.ask(LIST).json()["items"]}
    recorded = {one.event["metadata"]["uid"]: happened_at(one.event) for one in recording}
    start = happened_at(recording[0].event)
    assert recorded.keys() == played.keys()
    for uid, at in recorded.items():
        assert abs(played[uid] - (begin + (at - start) / 2)) <= timedelta(seconds=1)


def test_every_time_is_moved_and_keeps_its_format() -> None:
    event = an_event(
        firstTimestamp="2026-11-23T09:00:00Z",
        lastTimestamp=None,
        eventTime="2026-11-23T09:00:00.000715Z",
        series={"count": 2, "lastObservedTime": "2026-11-23T09:00:01.500000Z"},
    )
    event["metadata"]["creationTimestamp"] = "2026-11-23T23:59:59Z"
    moved = redate(event, lambda at: at + timedelta(days=1))
    assert moved["metadata"]["creationTimestamp"] == "2026-11-24T23:59:59Z"
    assert moved["firstTimestamp"] == "2026-11-24T09:00:00Z"
    assert moved["lastTimestamp"] is None
    assert moved["eventTime"] == "2026-11-24T09:00:00.000715Z"
    assert moved["series"]["lastObservedTime"] == "2026-11-24T09:00:01.500000Z"
    assert event["firstTimestamp"] == "2026-11-23T09:00:00Z"


def test_every_recorded_time_survives_a_move_there_and_back() -> None:
    for one in read_recording(NODE_FAILURES):
        there = redate(one.event, lambda at: at + timedelta(hours=1))
        assert redate(there, lambda at: at - timedelta(hours=1)) == one.event


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_by_itself_and_ends_when_it_is_told_to(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.fakes.apiserver", "--recording", str(NODE_FAILURES), "--speed", "1e9"]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}{LIST}?limit=1", timeout=10) as response:  # noqa: S310 - our own
                assert json.load(response)["kind"] == "EventList"
        finally:
            process.send_signal(number)
        assert process.wait(timeout=10) == 0
