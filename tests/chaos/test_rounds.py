"""A handful of rounds; `make chaos` plays as many as one likes."""

from pathlib import Path

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.round import play
from tests.chaos.schedule import plan

pytestmark = pytest.mark.broker

#: Rounds of many faults, but none with a half-open connection, which takes two keepalives to notice:
#: broker and consumer killed; a storm; a producer killed that has memory only; a consumer killed at its store.
SEEDS = (270, 100, 1460, 1898)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_arrives_once_whatever_goes_wrong_meanwhile(seed: int, tmp_path: Path) -> None:
    outcome = play(plan(seed, KINDS), tmp_path)
    assert outcome.balance.violations == ()
    assert outcome.balance.totals["delivered"] > 0
