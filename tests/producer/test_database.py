import logging
import sqlite3
from pathlib import Path

import pytest

from tocsin_producer.database import Database, next_boot
from tocsin_producer.errors import StateError


def test_a_boot_is_higher_than_every_earlier_one_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    assert next_boot(database, now=lambda: 1000.0) == 1000
    assert next_boot(database, now=lambda: 5.0) == 1001
    database.close()
    assert next_boot(Database(tmp_path / "state.db"), now=lambda: 2000.0) == 2000


def test_a_file_that_is_no_database_is_set_aside_and_begun_anew(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database at all, but longer than a header would be" * 40)
    with caplog.at_level(logging.ERROR):
        database = Database(path, now=lambda: 99.0)
    database.keep_number("n", 1)
    assert database.number("n") == 1
    assert (tmp_path / "state.db.unusable-99").read_bytes().startswith(b"not a database")
    assert "set aside as state.db.unusable-99" in caplog.text


def test_a_damaged_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = Database(path)
    for number in range(2000):
        database.keep_number(f"number-{number}", number)
    database.close()
    content = bytearray(path.read_bytes())
    content[8192:20480] = b"\xff" * 12288
    path.write_bytes(content)
    assert Database(path, now=lambda: 99.0).number("number-7") == 0
    assert (tmp_path / "state.db.unusable-99").exists()


def test_a_database_of_another_version_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 77")
    connection.close()
    Database(path, now=lambda: 99.0)
    assert (tmp_path / "state.db.unusable-99").exists()


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot open .*/file/state.db"):
        Database(tmp_path / "file" / "state.db")


def test_a_path_that_is_a_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=f"cannot open {tmp_path}"):
        Database(tmp_path)
