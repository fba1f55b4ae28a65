import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.consumer.site import Site
from tests.mosquitto import free_port
from tests.stage.process import Process
from tocsin_consumer import cli, start

_LOADED = """
import sys
from pathlib import Path
from tocsin_consumer import start
from tocsin_schemas.put_off import PutOff, put_off
put_off(start.PUT_OFF, start.READY)
from tocsin_consumer import service
from tocsin_consumer.check import load_checked
load_checked(Path(sys.argv[1]), {{}})
print({found})
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    feishu = {"url": "https://open.feishu.cn/open-apis/bot/v2/hook/0123456789abcdef"}
    receivers = [{"name": "ops", "feishu": feishu}, {"name": "hook", "webhook": {"url": "http://localhost:1"}}]
    return Site(tmp_path, free_port()).write_settings(receivers=receivers, route={"receivers": ["ops", "hook"]})


def loaded(config: Path, found: str) -> tuple[str, str]:
    """Return what a process finds, and complains about, that has started and read its configuration."""
    command = [sys.executable, "-P", "-c", _LOADED.format(found=found), str(config)]
    environment = os.environ | start.ENVIRONMENT
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


def test_a_consumer_with_every_kind_of_connection_loads_nothing_that_was_put_off(config: Path) -> None:
    found = "[name for name in start.PUT_OFF if type(sys.modules[name]) is not PutOff]"
    assert loaded(config, found) == ("[]", "")


def test_a_consumer_that_runs_has_nothing_of_the_commands(config: Path) -> None:
    found = "[name for name in sys.modules if name == 'click' or name.endswith(('command', 'cli'))]"
    assert loaded(config, found) == ("['tocsin_consumer.hints.command']", "")


def test_run_becomes_the_small_process_in_which_threads_share_their_memory(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], str | None]] = []
    monkeypatch.setattr(
        os, "execve", lambda _path, command, variables: became.append((command, variables["MALLOC_ARENA_MAX"]))
    )
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert CliRunner().invoke(cli.main, ["run", "--config", str(config)]).exit_code == 0
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert CliRunner().invoke(cli.main, ["run", "--config", str(config)]).exit_code == 0
    command = [sys.executable, "-P", "-m", "tocsin_consumer.start", str(config)]
    assert became == [(command, "1"), (command, "4")]


def test_a_configuration_that_cannot_be_used_ends_run_with_2_before_anything_is_connected(
    config: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text().replace("tocsin.db", "none/tocsin.db"))
    with Process("consumer", "-m", "tocsin_consumer", "run", "--config", str(config), folder=tmp_path) as process:
        assert process.wait() == 2
    assert process.log.endswith(f": store: there is no directory {tmp_path}/none on this machine; create it\n")
    assert process.log.count("\n") == 1
