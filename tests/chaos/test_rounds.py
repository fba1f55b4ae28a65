"""A handful of rounds; `make chaos` plays as many as one likes."""

from pathlib import Path

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.round import play
from tests.chaos.schedule import plan

pytestmark = pytest.mark.broker

#: Rounds without a half-open connection, which takes two keepalives to notice.
SEEDS = (1, 3, 2003, 1008)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_arrives_once_whatever_goes_wrong_meanwhile(seed: int, tmp_path: Path) -> None:
    outcome = play(plan(seed, KINDS), tmp_path)
    assert outcome.balance.violations == ()
    assert outcome.balance.totals["delivered"] > 0
