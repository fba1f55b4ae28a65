from pathlib import Path

import pytest

from tocsin_producer.budget import UNLIMITED, Allowance, Budget
from tocsin_producer.database import Database

DAY = 86_400
MIB = 1024**2


class Clock:
    def __init__(self, time: float) -> None:
        self.time = time

    def now(self) -> float:
        return self.time


def budget(clock: Clock, database: Database | None = None, *, reset_seconds: int = 0) -> Budget:
    return Budget(database or Database(None), bytes_per_day=MIB, reset_seconds=reset_seconds, now=clock.now)


def test_as_it_is_spent_less_may_go() -> None:
    spending = budget(Clock(0.0))
    found = []
    for _ in range(11):
        found.append(spending.allowance())
        spending.spend(MIB // 10 + 1)
    assert found == [Allowance.ALL] * 8 + [Allowance.URGENT] * 2 + [Allowance.NOTHING]


def test_a_new_day_begins_at_its_hour() -> None:
    clock = Clock(100 * DAY + 57_000)
    spending = budget(clock, reset_seconds=57_600)
    spending.spend(MIB)
    assert spending.allowance() is Allowance.NOTHING
    clock.time += 599
    assert spending.allowance() is Allowance.NOTHING
    clock.time += 1
    assert (spending.allowance(), spending.spent) == (Allowance.ALL, 0)
    spending.spend(10)
    assert spending.spent == 10


def test_a_restart_goes_on_with_what_was_spent(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with_state = Database(path)
    budget(Clock(DAY), with_state).spend(MIB)
    with_state.close()
    assert budget(Clock(DAY + 10), Database(path)).allowance() is Allowance.NOTHING


def test_a_state_that_cannot_be_written_keeps_nothing_from_being_counted(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    spending = budget(Clock(DAY), database)
    database.close()
    with pytest.raises(Exception, match="closed"):
        spending.spend(MIB)
    assert spending.allowance() is Allowance.NOTHING


def test_without_a_bound_everything_goes() -> None:
    UNLIMITED.spend(10**12)
    assert (UNLIMITED.allowance(), UNLIMITED.spent) == (Allowance.ALL, 0)
