import logging
import sqlite3
from pathlib import Path

import pytest

from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.database import BOOT_LIMIT, Database, later_boot, next_boot
from tocsin_producer.errors import StateError
from tocsin_producer.message import Message
from tocsin_producer.outbox import Outbox


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


def test_what_is_set_aside_keeps_its_log(tmp_path: Path) -> None:
    path, log = tmp_path / "state.db", tmp_path / "state.db-wal"
    path.write_bytes(b"not a database at all, but longer than a header would be" * 40)
    log.write_bytes(b"what was committed last")
    Database(path, now=lambda: 99.0).close()
    assert (tmp_path / "state.db.unusable-99-wal").read_bytes() == b"what was committed last"


def test_who_waits_for_a_file_that_another_process_uses_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    other = Database(path)
    with pytest.raises(StateError):
        Database(path, lock_seconds=0.05)
    other.close()
    assert f"another process uses {path}; waiting 0.05 s" in caplog.text


def test_a_file_that_another_process_uses_is_not_shared(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    other = Database(path)
    with pytest.raises(
        StateError, match=f"cannot open {path}: another process uses it; each producer needs a file"
    ):
        Database(path, lock_seconds=0.05)
    other.close()
    Database(path, lock_seconds=0.05).close()


def test_a_file_that_turns_out_to_be_damaged_is_reported_for_a_new_start_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = Database(path)
    for number in range(200):
        database.keep_number(f"number-{number}-{'x' * 10_000}", number)
    damage: list[None] = []
    database.on_damage = lambda: damage.append(None)
    for file in tmp_path.glob("state.db*"):
        content = file.read_bytes()
        file.write_bytes(content[:32] + b"\xff" * (len(content) - 32))
    with pytest.raises(StateError, match="the state file is damaged .*; it is set aside at the next start"):
        look_at_everything(database)
    assert damage
    database.close()
    assert Database(path, now=lambda: 99.0).number("boot") == 0


def look_at_everything(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT SUM(LENGTH(name)) FROM numbers").fetchone()


def test_damage_to_what_sums_are_kept_of_is_reported_too(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = Database(path)
    outbox = Outbox(database, max_messages=5000, max_bytes=8 * 1024**2)
    Checkpoint(database)
    with database.transaction():
        for number in range(2000):
            outbox.put(message(f"uid-{number}"))
    for pragma in ("wal_checkpoint(TRUNCATE)", "shrink_memory"):
        database._connection.execute(f"PRAGMA {pragma}")
    content = path.read_bytes()
    path.write_bytes(content[: 3 * 4096] + b"\xff" * (len(content) - 3 * 4096))
    damage: list[None] = []
    database.on_damage = lambda: damage.append(None)
    for look in (lambda: outbox.put(message("late")), lambda: outbox.take(2000), outbox.oldest_seconds):
        with pytest.raises(StateError, match="the state file is damaged"):
            look()
    assert len(damage) == 3
    database.close()


def message(uid: str) -> Message:
    return Message(uid, 1, 1, "a/topic", "x" * 600)


def test_sums_that_could_not_be_read_after_a_rollback_are_read_before_the_next_transaction() -> None:
    database = Database(None)
    sums: list[int] = []

    def recount() -> None:
        sums.append(database.number("n"))
        if len(sums) == 2:
            raise sqlite3.OperationalError("disk I/O error")

    database.on_rollback(recount)
    with pytest.raises(ValueError, match="what went wrong"):
        keep_and_fail(database)
    assert sums == [0, 0]
    database.keep_number("n", 8)
    assert sums == [0, 0, 0]
    database.keep_number("n", 9)
    assert sums == [0, 0, 0]


def keep_and_fail(database: Database) -> None:
    with database.transaction():
        database.keep_number("n", 7)
        raise ValueError("what went wrong")


def test_what_cannot_be_written_is_said_once_and_so_is_that_it_can_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    database = Database(None)
    with database.transaction() as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON numbers BEGIN SELECT RAISE(ABORT, 'full'); END")
    for _ in range(5):
        with pytest.raises(sqlite3.Error):
            database.keep_number("n", 1)
        assert database.number("n") == 0  # reading goes on, and does not mean that writing does
        assert str(database.trouble) == "full"
    with database.transaction() as connection:
        connection.execute("DROP TRIGGER full")
    database.keep_number("n", 1)
    assert database.trouble is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_a_later_boot_is_kept_if_it_can_be_and_used_if_it_cannot(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = Database(path)
    assert later_boot(database, 5_000_000_000) == 5_000_000_001
    with database.transaction() as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON numbers BEGIN SELECT RAISE(ABORT, 'full'); END")
    assert later_boot(database, 6_000_000_000) == 6_000_000_001
    with database.transaction() as connection:
        connection.execute("DROP TRIGGER full")
    assert next_boot(database) == 5_000_000_002
    database.close()


def test_no_boot_is_higher_than_the_limit_whatever_was_found_or_kept() -> None:
    database = Database(None)
    assert later_boot(database, BOOT_LIMIT - 1) == BOOT_LIMIT
    assert next_boot(database) == BOOT_LIMIT
    assert later_boot(database, 2**63 - 2) == BOOT_LIMIT
    database.keep_number("boot", 2**63 - 1)
    assert next_boot(database) == BOOT_LIMIT


def test_a_file_that_can_be_neither_used_nor_set_aside_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database at all")
    path.with_name("state.db.unusable-99").mkdir()
    with pytest.raises(StateError, match=r"state.db cannot be used \(.*\), and not be set aside: Is a directory"):
        Database(path, now=lambda: 99.0)


def test_of_what_was_set_aside_the_latest_two_are_kept_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for second in (9, 10, 11, 5):
        path.write_bytes(b"not a database at all")
        path.with_name("state.db-wal").write_bytes(b"its log")
        Database(path, now=lambda second=second: second).close()  # type: ignore[misc]
    aside = sorted(file.name.removeprefix("state.db.unusable-") for file in tmp_path.glob("*.unusable-*"))
    assert aside == ["11", "11-wal", "5", "5-wal"]


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
