"""`make demo` is the first thing that people try."""

import re
import subprocess
import sys

import pytest

#: The demo ends by itself within 40 s on an idle machine.
PATIENCE_SECONDS = 120


@pytest.mark.broker
@pytest.mark.parametrize(("arguments", "broker"), [([], "Mosquitto"), (["--embedded"], "amqtt")])
def test_the_demo_shows_cards_loses_nothing_and_says_which_broker_it_runs(
    arguments: list[str], broker: str
) -> None:
    command = [sys.executable, "-m", "tests.demo", *arguments]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True).stdout
    assert shown.startswith(f"broker: {broker}")
    assert "NodeNotReady · pi-1" in shown
    assert re.search(r"losses +0\b", shown)
    assert int(re.findall(r"cards in the Feishu group +(\d+)", shown)[0]) == shown.count("╭─")
