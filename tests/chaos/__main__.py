"""Lets things go wrong at random, in round after round, and checks that nothing of it shows.

A round that breaks a promise ends with exit code 1; its seed plays the same faults at the same times again.
"""

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.faults import KINDS
from tests.chaos.ledger import Balance, Violation
from tests.chaos.round import Outcome, play
from tests.chaos.schedule import Plan, plan
from tests.mosquitto import is_installed

#: One mistake breaks many promises.
_MOST_SHOWN = 10


def main() -> None:
    """Play rounds and say what they came to."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, help="of the first round; those behind it count on from there")
    options = parser.parse_args()
    if not is_installed():
        sys.exit("chaos needs Mosquitto")
    first = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and with us the processes that we started
    folder = Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))
    outcomes = [_play(seed, folder / str(seed)) for seed in range(first, first + options.rounds)]
    _say(_summary(outcomes))
    sys.exit(any(outcome.balance.violations for outcome in outcomes))


def _play(seed: int, folder: Path) -> Outcome:
    folder.mkdir()
    outcome = _finish(plan(seed, KINDS), folder)
    _say(_report(outcome))
    if outcome.balance.violations:
        _say([f"    {violation}" for violation in outcome.balance.violations[:_MOST_SHOWN]])
        _say([f"    seed {seed}; its logs are in {folder}"])
    else:
        shutil.rmtree(folder)
    return outcome


def _finish(to_play: Plan, folder: Path) -> Outcome:
    """Play a round; one that breaks off has broken every promise, and the rounds behind it go on."""
    try:
        return play(to_play, folder)
    except Exception as error:  # noqa: BLE001 - the top of a round
        (folder / "error.log").write_text(traceback.format_exc(), encoding="utf-8")
        return Outcome(to_play, Balance((Violation("broken off", repr(error)[:200]),), Counter()), 0.0, 0.0)


def _report(outcome: Outcome) -> list[str]:
    played = outcome.plan
    kept = "state file" if played.has_state else "memory only"
    took = f"{outcome.seconds:.1f} s, settled after {outcome.settled_after_seconds:.1f} s"
    return [
        f"round {played.seed} ({kept}{', storm' if played.is_storm else ''}) took {took}",
        f"    faults: {'; '.join(map(str, played.faults))}",
        f"    ledger: {_counts(outcome.balance.totals)}",
    ]


def _summary(outcomes: Iterable[Outcome]) -> list[str]:
    outcomes = list(outcomes)
    totals = sum((outcome.balance.totals for outcome in outcomes), Counter[str]())
    faults = Counter(f"{fault.part} {fault.kind}" for outcome in outcomes for fault in outcome.plan.faults)
    broken = Counter(violation.kind for outcome in outcomes for violation in outcome.balance.violations)
    return [
        f"{len(outcomes)} rounds, {faults.total()} faults: {_counts(faults)}",
        f"ledger: {_counts(totals)}",
        f"violations: {_counts(broken) or 'none'}",
    ]


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
