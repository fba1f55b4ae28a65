"""What arrives when everything breaks at random: the totals of the ledger over many rounds from a seed.

`python -m bench.chaos` plays them and prints a table and a JSON line. See `tests/chaos/` for what a round is.
"""

import argparse
import re
import subprocess
import sys

from bench.row import Row, report

ROUNDS, SEED = 20, 1


def main() -> None:
    """Play the rounds; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    command = [sys.executable, "-m", "tests.chaos", "--rounds", str(options.rounds), "--seed", str(options.seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as chaos:
        lines = [_passed_on(line) for line in chaos.stdout or ()]
    totals = {"rounds": options.rounds, "seed": options.seed, **summary(lines)}
    bounds = {"violations": 0}
    report("chaos", (Row(name, value, "", bounds.get(name)) for name, value in totals.items()))
    sys.exit(chaos.returncode)


def _passed_on(line: str) -> str:
    sys.stderr.write(line)
    return line


def summary(lines: list[str]) -> dict[str, int]:
    """Return the totals out of the last lines of a run."""
    faults = re.findall(r"\d+ rounds, (\d+) faults", lines[-3])
    ledger = re.findall(r"([a-z][a-z ]+) (\d+)", lines[-2].removeprefix("ledger: "))
    broken = re.findall(r" (\d+)", lines[-1])
    return {
        "faults": int(faults[0]),
        **{name: int(value) for name, value in ledger},
        "violations": sum(map(int, broken)),
    }


if __name__ == "__main__":
    main()
