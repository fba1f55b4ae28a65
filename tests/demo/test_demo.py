"""`make demo` is the first thing that people try."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

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
    assert "NodeNotReady · pi-1 recovered" in shown
    assert re.search(r"BackOff · \d objects in factory", shown)
    assert 0 < shown.index("Cluster offline") < shown.index("Cluster back online")
    assert re.search(r"losses +0\b", shown)
    assert int(re.findall(r"cards in the Feishu group +(\d+)", shown)[0]) == shown.count("╭─")


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_the_demo_impatiently_gets_no_traceback_and_nothing_stays_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    command, environment = [sys.executable, "-m", "tests.demo", "--stay"], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.send_signal(number)
        demo.send_signal(number)
        try:
            _, errors = demo.communicate(timeout=PATIENCE_SECONDS)
        finally:
            demo.kill()
    assert errors == ""
    assert demo.returncode in (0, 128 + signal.SIGINT)
    assert list(tmp_path.iterdir()) == []  # all that runs is ended before its folder goes
