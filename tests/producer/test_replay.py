import gzip
import json
import threading
from pathlib import Path

import pytest

from tests.fakes.recording import Notification
from tests.producer.conftest import RECORDING, MakePipeline, event
from tocsin_producer.errors import RecordingError
from tocsin_producer.replay import ReplaySource


class Pauses(threading.Event):
    """A stop event whose waits take no time and are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return self.is_set()


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_recording_is_fed_to_its_end(make_pipeline: MakePipeline, recording: list[Notification]) -> None:
    pipeline = make_pipeline()
    ends: list[str] = []
    ReplaySource(RECORDING, pipeline.intake, speed=0, on_end=lambda: ends.append("end")).run(threading.Event())
    assert sum(pipeline.intake.sums().values()) == len(recording)
    assert ends == ["end"]


def test_pauses_are_those_of_the_recording_divided_by_the_speed(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    lines = [{"at": at, "line": {"type": "ADDED", "object": event(str(at))}} for at in (10.0, 12.0, 12.5)]
    stop = Pauses()
    path = write(tmp_path / "watch.ndjson", *lines)
    ReplaySource(path, make_pipeline().intake, speed=4, on_end=lambda: None).run(stop)
    assert stop.seconds == [0.5, 0.125]


def test_a_replay_that_is_stopped_does_not_end_itself(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    stop = threading.Event()
    stop.set()
    ReplaySource(RECORDING, pipeline.intake, speed=1, on_end=pytest.fail).run(stop)
    assert pipeline.told() == []


def test_a_recorded_deletion_is_one(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    pipeline = make_pipeline()
    path = write(
        tmp_path / "watch.ndjson",
        {"at": 0, "line": {"type": "ADDED", "object": event()}},
        {"at": 1, "line": {"type": "DELETED", "object": event()}},
    )
    ReplaySource(path, pipeline.intake, speed=0, on_end=lambda: None).run(threading.Event())
    assert pipeline.checkpoint.seen("uid-1").count == 0


def test_what_is_no_event_in_a_recording_is_passed_over(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    pipeline = make_pipeline()
    path = write(
        tmp_path / "watch.ndjson",
        {"at": 0, "line": {"type": "BOOKMARK", "object": {"kind": "Event"}}},
        {"at": 1, "line": {"type": "ERROR", "object": {"kind": "Status", "code": 410}}},
        {"at": 2, "line": {"type": "ADDED", "object": event("a")}},
    )
    ReplaySource(path, pipeline.intake, speed=0, on_end=lambda: None).run(threading.Event())
    assert pipeline.told() == [("a", 3)]
    assert pipeline.intake.sums()["malformed"] == 0


GOOD = b'{"at": 0, "line": {"type": "BOOKMARK"}}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"7",
        b'{"at": 0}',
        b'{"at": 0, "line": null}',
        b'{"at": 0, "line": "ADDED"}',
        b'{"at": 0, "line": {"type": null}}',
        b'{"at": null, "line": {"type": "ADDED"}}',
        b"[" * 200_000,
    ],
)
def test_a_line_that_is_none_of_a_recording_is_named(
    make_pipeline: MakePipeline, tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "watch.ndjson.gz"
    path.write_bytes(gzip.compress(GOOD + line + b"\n"))
    source = ReplaySource(path, make_pipeline().intake, speed=0, on_end=pytest.fail)
    with pytest.raises(RecordingError, match=r"watch\.ndjson\.gz:2: not a line of a recorded watch"):
        source.run(threading.Event())


@pytest.mark.parametrize(
    "contents", [gzip.compress(GOOD * 99)[:-9], b"no gzip", gzip.compress(GOOD)[:12] + b"x" * 9]
)
def test_a_recording_that_is_cut_off_is_told(make_pipeline: MakePipeline, tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "watch.ndjson.gz"
    path.write_bytes(contents)
    source = ReplaySource(path, make_pipeline().intake, speed=0, on_end=pytest.fail)
    with pytest.raises(RecordingError, match=r"watch\.ndjson\.gz: cannot be read after line \d+"):
        source.run(threading.Event())
