import json
from pathlib import Path
from typing import Self

import pytest

from tests.consumer.views import SHANGHAI
from tocsin_consumer.errors import TemporaryError
from tocsin_consumer.receiver_settings import FileSettings
from tocsin_consumer.receivers.file import FileReceiver
from tocsin_consumer.receivers.receiver import Receipt, Rendering
from tocsin_consumer.samples import samples


def _receiver(path: Path, *, max_size: int = 1024, backups: int = 2) -> FileReceiver:
    settings = FileSettings(path=path, max_size=max_size, backups=backups)
    return FileReceiver("file", settings, time_zone=SHANGHAI, language="en")


def _line(letter: str) -> Rendering:
    return Rendering(letter * 599, "application/json")


def _letters(path: Path) -> str:
    return "".join(line[:1] for line in path.read_text().splitlines())


def test_each_event_is_a_line_of_json_at_once(tmp_path: Path) -> None:
    receiver = _receiver(tmp_path / "events", max_size=10**6)
    for number, notification in enumerate(samples().values(), start=1):
        receiver.deliver(receiver.render(notification))
        lines = (tmp_path / "events").read_text().splitlines()
        assert len(lines) == number
        assert json.loads(lines[-1])["msg"] == notification.event.msg


def test_a_file_is_rotated_before_it_grows_too_large_and_the_oldest_backup_goes(tmp_path: Path) -> None:
    receiver = _receiver(tmp_path / "events")
    for letter in "abcd":
        receiver.deliver(_line(letter))
    assert [_letters(tmp_path / name) for name in ("events", "events.1", "events.2")] == ["d", "c", "b"]
    assert len(list(tmp_path.iterdir())) == 3


def test_without_backups_a_full_file_begins_anew(tmp_path: Path) -> None:
    receiver = _receiver(tmp_path / "events", backups=0)
    for letter in "ab":
        receiver.deliver(_line(letter))
    assert [path.name for path in tmp_path.iterdir()] == ["events"]
    assert _letters(tmp_path / "events") == "b"


def test_a_line_larger_than_a_file_is_written_all_the_same(tmp_path: Path) -> None:
    receiver = _receiver(tmp_path / "events")
    (tmp_path / "events").touch()
    receiver.deliver(Rendering("x" * 5000, "application/json"))
    assert (tmp_path / "events").stat().st_size == 5001
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    receiver = _receiver(tmp_path / "events")
    receiver.deliver(_line("a"))
    (tmp_path / "events").rename(tmp_path / "moved")
    receiver.deliver(_line("b"))
    assert _letters(tmp_path / "events") == "b"
    assert _letters(tmp_path / "moved") == "a"


def test_a_half_line_of_a_crash_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "events").write_text('{"half": ')
    receiver = _receiver(tmp_path / "events", max_size=10**6)
    receiver.deliver(receiver.render(samples()["back-off"]))
    assert json.loads((tmp_path / "events").read_text().splitlines()[1])["reason"] == "BackOff"


def test_a_full_disk_is_temporary() -> None:
    with pytest.raises(TemporaryError, match="cannot write /dev/full: No space left on device"):
        _receiver(Path("/dev/full")).deliver(_line("a"))


def test_what_a_full_disk_took_of_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = _receiver(tmp_path / "events", max_size=10**6)
    receiver.deliver(_line("a"))
    real_open = Path.open

    class Filling:
        def __init__(self, path: Path) -> None:
            self._file = real_open(path, "a+b", buffering=0)
            self._left = 100

        def write(self, data: bytes) -> int:
            if not self._left:
                raise OSError(28, "No space left on device")
            written = self._file.write(data[: self._left])
            self._left -= written
            return written

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    monkeypatch.setattr(Path, "open", lambda path, *_, **__: Filling(path))
    with pytest.raises(TemporaryError, match="No space left"):
        receiver.deliver(_line("b"))
    monkeypatch.undo()
    assert (tmp_path / "events").read_text() == "a" * 599 + "\n"


def test_a_missing_directory_is_temporary(tmp_path: Path) -> None:
    with pytest.raises(TemporaryError, match="No such file or directory"):
        _receiver(tmp_path / "missing" / "events").deliver(_line("a"))
    (tmp_path / "missing").mkdir()
    assert _receiver(tmp_path / "missing" / "events").deliver(_line("a")) == Receipt("written")
