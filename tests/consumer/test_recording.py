import gzip
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import NOW, event, payload, topic
from tests.consumer.produced import RECORDING
from tocsin_consumer.errors import EventFileError
from tocsin_consumer.notification import Notification
from tocsin_consumer.receiver_settings import FileSettings
from tocsin_consumer.receivers.file import FileReceiver
from tocsin_consumer.recording import Recorded, Recording, read_recording, recording
from tocsin_consumer.samples import samples
from tocsin_consumer.tail import show_json
from tocsin_schemas.status import StatusPayload

SAID = event(count=3, last=1_795_420_100)
HAPPENED_AT = datetime.fromtimestamp(1_795_420_100, tz=UTC)
STATUS = {"v": 1, "cluster": "edge-1", "state": "online", "boot": 1, "since": 1_795_420_000, "version": "1"}


def read(*lines: Any) -> Recording:
    """Return what lines say; an object is written as JSON."""
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    return recording(text.encode() for text in texts)


def one(*lines: Any, **arguments: Any) -> Recorded:
    found = read(*lines, **arguments)
    assert found.bad == []
    [said] = found.recorded
    return said


def test_a_line_of_tail_is_of_the_time_of_its_last_occurrence() -> None:
    assert one(show_json(Notification(SAID, NOW))) == Recorded(SAID, HAPPENED_AT)


def test_a_line_of_the_file_receiver_is_of_the_time_at_which_it_came(tmp_path: Path) -> None:
    receiver = FileReceiver("dump", FileSettings(path=tmp_path / "dump"), time_zone=ZoneInfo("UTC"), language="en")
    receiver.deliver(receiver.render(Notification(SAID, NOW)))
    assert read_recording(tmp_path / "dump").recorded == [Recorded(SAID, NOW)]


@pytest.mark.parametrize("embedded", [True, False])
def test_a_line_of_mosquitto_sub_is_of_the_time_that_it_tells(embedded: bool) -> None:
    said = payload(SAID).decode()
    message = {
        "tst": "2026-11-24T16:00:00.000000+0800",
        "topic": topic(SAID),
        "qos": 1,
        "payloadlen": len(said),
        "payload": json.loads(said) if embedded else said,
    }
    assert one(message) == Recorded(SAID, NOW)


def test_what_the_broker_had_kept_is_known_as_such() -> None:
    message = {
        "topic": "k8s/v1/edge-1/status",
        "payload": STATUS,
        "tst": "2026-11-24T16:00:00+0800",
        "retain": True,
    }
    assert (one(message).is_retained, one(message | {"retain": 0}).is_retained) == (True, False)


def test_a_line_of_mosquitto_sub_may_be_a_topic_and_a_payload() -> None:
    assert one(f"{topic(SAID)} {payload(SAID).decode()}") == Recorded(SAID, HAPPENED_AT)


def test_a_status_is_of_the_time_of_the_line_before_unless_it_tells_one() -> None:
    found = read(show_json(Notification(SAID, NOW)), f"k8s/v1/edge-1/status {json.dumps(STATUS)}")
    [_, status] = found.recorded
    assert isinstance(status.said, StatusPayload)
    assert status.at == HAPPENED_AT


def test_a_status_that_was_cleared_is_passed_over() -> None:
    assert read({"topic": "k8s/v1/edge-1/status", "payload": "", "tst": "2026-11-24T16:00:00Z"}).passed_over == 1


def test_a_recorded_watch_is_of_the_times_at_which_its_lines_came() -> None:
    found = read_recording(RECORDING)
    assert (found.lines, len(found.recorded), found.bad) == (1198, 1198, [])
    seconds = [json.loads(line)["at"] for line in gzip.decompress(RECORDING.read_bytes()).splitlines()]
    start = found.recorded[0].at
    assert [round((one.at - start).total_seconds(), 3) for one in found.recorded] == [
        round(at - seconds[0], 3) for at in seconds
    ]
    assert all(one.is_watched and one.said.cluster == "example" for one in found.recorded)


def test_events_of_kubernetes_are_of_the_cluster_that_is_said_and_others_of_their_own() -> None:
    watched = read_recording(RECORDING, cluster="edge-7")
    assert {one.said.cluster for one in watched.recorded} == {"edge-7"}
    wired = recording([payload(SAID)], cluster="edge-7")
    assert [one.said.cluster for one in wired.recorded] == ["edge-1"]


@pytest.mark.parametrize("kind", ["DELETED", "BOOKMARK", "ERROR"])
def test_what_a_watch_says_besides_is_passed_over(kind: str) -> None:
    found = read({"at": 3, "line": {"type": kind, "object": {"kind": "Event", "metadata": {}}}})
    assert (found.passed_over, found.recorded, found.bad) == (1, [], [])


def test_what_is_recorded_comes_in_the_order_of_time() -> None:
    later = event(uid="b", last=SAID.last + 60)
    found = read(*(show_json(Notification(said, NOW)) for said in (later, SAID)))
    assert [said.uid for said in found.events] == ["uid-1", "b"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "holds neither an object of JSON nor a topic with one"),
        ("hello world", "holds neither an object of JSON nor a topic with one"),
        ("[1]", "holds no object of JSON"),
        ("\udcff", "holds neither"),
        ({}, "holds no event"),
        ({"v": 2, "cluster": "edge-1"}, "v: Input should be 1"),
        ({"at": True, "line": {"type": "ADDED", "object": {}}}, "at: expected seconds"),
        ({"type": "ADDED", "object": {"metadata": {}}}, "type: Field required"),
        ({"involvedObject": {}, "lastTimestamp": "yesterday"}, "expected a time"),
        (json.loads(payload(SAID)) | {"received_at": "yesterday"}, "expected a time"),
        ({"topic": "t", "payload": "x", "tst": "2026-11-24T16:00:00Z"}, "holds neither"),
        ("[" * 100_000, "holds neither|recursion"),
        ('{"v": 1' + " " * 2_000_000 + "}", "is larger than 1024 KiB"),
        ({"at": 1e300, "line": {"type": "ADDED", "object": {"involvedObject": {}}}}, "type: Field required"),
    ],
)
def test_a_line_that_nobody_understands_is_told_with_its_number_and_the_others_count(line: Any, why: str) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    found = recording([payload(SAID), b"\n", text.encode("utf-8", "surrogateescape"), payload(event(uid="b"))])
    [bad] = found.bad
    assert bad.number == 3
    assert re.search(why, bad.reason), bad.reason
    assert (len(found.recorded), found.lines) == (2, 3)


def test_the_incidents_of_a_file_are_no_recording_of_events(tmp_path: Path) -> None:
    receiver = FileReceiver("dump", FileSettings(path=tmp_path / "dump"), time_zone=ZoneInfo("UTC"), language="en")
    receiver.deliver(receiver.render(samples()["incident-group"]))
    [bad] = read_recording(tmp_path / "dump").bad
    assert "grouped" in bad.reason


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["v", "at", "line", "object", "type", "topic", "payload", "tst", "metadata", "state"]),
            below,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@given(st.lists(st.binary(max_size=30) | _json.map(lambda value: json.dumps(value).encode()), max_size=5))
def test_whatever_stands_in_a_file_every_line_of_it_is_accounted_for(lines: list[bytes]) -> None:
    found = recording(lines)
    assert len(found.recorded) + len(found.bad) + found.passed_over == found.lines
    assert found.lines == sum(bool(line.strip()) for line in lines)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_recording_may_come_through_a_pipe(compressed: bool) -> None:
    content = payload(SAID) + b"\n"
    reading, writing = os.pipe()
    os.write(writing, gzip.compress(content) if compressed else content)
    os.close(writing)
    assert read_recording(Path(f"/dev/fd/{reading}")).recorded == [Recorded(SAID, HAPPENED_AT)]
    os.close(reading)


def test_a_file_that_is_cut_short_or_missing_is_told(tmp_path: Path) -> None:
    half = tmp_path / "half.gz"
    half.write_bytes(RECORDING.read_bytes()[:1000])
    for path in (half, tmp_path / "none", tmp_path):
        with pytest.raises(EventFileError, match="cannot be read"):
            read_recording(path)
