"""`pipx install 'tocsin[consumer]'`: the wheel that is built, in an environment that has nothing else."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.deploy.commands import ROOT
from tocsin_schemas import __version__

#: What the consumer must not draw in: the producer's half, and what tests need.
FOREIGN = ("kubernetes", "pytest", "trustme", "amqtt", "rich")


def pip(*arguments: str) -> None:
    """Run pip, which asks the package index: without one, people skip the test, and CI fails."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"pip cannot: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are of an environment with the wheel and its extra `consumer`."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    pip("--python", str(folder / "bin/python"), "install", f"{wheel}[consumer]")
    return folder / "bin"


def output(*command: str | Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    packages = {"tocsin_consumer", "tocsin_producer", "tocsin_schemas"}
    assert tops == {*packages, f"tocsin-{__version__}.dist-info"}
    assert {f"{package}/py.typed" for package in packages} <= set(names)


def test_the_installed_consumer_says_its_version(programs: Path) -> None:
    assert output(programs / "tocsin-consumer", "--version").split()[-1] == __version__


def test_the_installed_consumer_checks_a_configuration_and_draws_a_card(programs: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "consumer.yaml"
    configuration.write_text(
        f"broker: {{url: 'mqtts://broker.example.com', username: ops}}\nstore: 'sqlite:///{tmp_path}/tocsin.db'\n"
        "time_zone: Asia/Shanghai\nreceivers:\n  - {name: dump, stdout: {}}\n"
        "  - {name: feishu, feishu: {url: 'https://open.feishu.cn/open-apis/bot/v2/hook/0'}}\n"
        "route: {receivers: [dump, feishu]}\n",
        encoding="utf-8",
    )
    assert "is fine" in output(programs / "tocsin-consumer", "check", "--config", configuration)
    assert "BackOff" in output(programs / "tocsin-consumer", "preview", "--config", configuration)


def test_the_installed_consumer_brings_nothing_that_it_does_not_need(programs: Path) -> None:
    program = "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))"
    installed = set(output(programs / "python", "-c", program).replace("_", "-").split())
    assert installed.isdisjoint(FOREIGN)
    assert {"tocsin", "paho-mqtt", "jinja2", "requests", "prometheus-client"} <= installed
