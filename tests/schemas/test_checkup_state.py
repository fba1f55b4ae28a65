import os
import shutil
import sqlite3
import tempfile
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tocsin_schemas.checkup import Mark
from tocsin_schemas.checkup_state import check_database, check_folder


def database(path: Path, *, rows: int = 100) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * rows)
        connection.commit()
    return path


def test_a_folder_that_can_be_written_is_fine_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    finding = check_folder(tmp_path / "a" / "b" / "state.db", "outbox.path")
    assert (finding.mark, finding.value) == (Mark.OK, tmp_path / "a" / "b" / "state.db")
    assert finding.text.startswith(f"{tmp_path} can be written by user {os.geteuid()}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_with_who_we_are() -> None:
    finding = check_folder(Path("/proc/state.db"), "outbox.path")
    assert finding.mark == Mark.FAILED
    assert finding.text.startswith(f"/proc cannot be written by user {os.geteuid()}: ")
    assert "outbox.path is on a read-only file system" in finding.cause
    assert finding.run == "ls -ld /proc; df -h /proc"


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil's
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 20 * 1024**2))
    finding = check_folder(tmp_path / "state.db", "store")
    assert (finding.mark, finding.text) == (Mark.WARNING, f"{tmp_path} has 20 MiB left")
    assert "df -h" in finding.run


def test_a_database_that_is_whole_is_fine_and_stays_as_it_is(tmp_path: Path) -> None:
    path = database(tmp_path / "state.db")
    before = path.read_bytes()
    assert check_database(path).text == f"{path} is whole"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_database_that_is_not_there_yet_is_fine_and_not_made(tmp_path: Path) -> None:
    assert "is not there yet" in check_database(tmp_path / "state.db").text
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_a_process_keeps_for_itself_is_in_use_which_is_no_failure(tmp_path: Path) -> None:
    path = database(tmp_path / "state.db")
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("INSERT INTO t VALUES ('y')")
        holder.commit()
        finding = check_database(path)
    assert finding.mark == Mark.OK
    assert "is in use by a running process" in finding.text


def test_a_database_that_others_read_and_write_can_be_checked(tmp_path: Path) -> None:
    path = database(tmp_path / "state.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert check_database(path).text == f"{path} is whole"


@pytest.mark.parametrize(
    "contents", [b"this is a letter", b"SQLite format 3\0 and then nothing of the kind" * 200]
)
def test_what_is_no_database_is_damaged_and_left_as_it_is(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(contents)
    finding = check_database(path)
    assert finding.mark == Mark.FAILED
    assert finding.text.startswith(f"{path} is damaged: ")
    assert f"mv {path} {path}.damaged" in finding.run
    assert path.read_bytes() == contents


def test_damage_within_is_found(tmp_path: Path) -> None:
    path = database(tmp_path / "state.db")
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)
    finding = check_database(path)
    assert (finding.mark, finding.text.partition(": ")[0]) == (Mark.FAILED, f"{path} is damaged")
    assert "\n" not in finding.text


def test_a_database_too_large_to_be_read_through_is_fine_as_far_as_it_was(tmp_path: Path) -> None:
    path = database(tmp_path / "state.db", rows=20_000)
    assert "is large" in check_database(path, seconds=0.0).text


def test_a_file_of_another_user_is_told_with_who_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    finding = check_database(tmp_path / "state.db")
    assert finding.text == f"{tmp_path}/state.db cannot be opened by user {os.geteuid()}: Permission denied"
    assert finding.run.startswith("ls -l")


def test_the_folder_is_that_of_the_file_and_not_the_one_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # as in an image whose root is read-only
    assert check_folder(tmp_path / "state.db", "store").mark == Mark.OK
