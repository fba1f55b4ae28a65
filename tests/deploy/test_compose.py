"""deploy/compose/: as far as it can be told without Docker, and everything that its containers would run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.commands import ROOT, commands_of, run
from tests.mosquitto import Mosquitto
from tests.stage.process import Process
from tests.waiting import until
from tocsin_schemas import __version__

COMPOSE = ROOT / "deploy" / "compose"
README = COMPOSE / "README.md"
CONSUMER = "65532"


def services() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"])


def test_the_file_has_the_shape_that_the_specification_has() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(COMPOSE / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_key_that_the_specification_does_not_know_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(
        (COMPOSE / "compose.yaml").read_text(encoding="utf-8").replace("read_only: true\n", "readonly: true\n", 1)
    )
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(wrong)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("name", ["broker", "consumer"])
def test_a_container_can_do_nothing_but_its_work(name: str) -> None:
    service = services()[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) > 0
    assert not {"privileged", "network_mode", "pid", "environment"} & service.keys()
    assert service["restart"] == "unless-stopped"


def test_the_image_is_of_this_version() -> None:
    assert services()["consumer"]["image"] == f"tocsin/tocsin-consumer:{__version__}"


def test_there_are_more_files_than_connections() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "mosquitto").rglob("*.conf")]
    connections = sum(int(number) for text in texts for number in re.findall(r"(?m)^max_connections (\d+)$", text))
    assert services()["broker"]["ulimits"]["nofile"] > connections
    unit = (ROOT / "deploy/systemd/mosquitto.service.d/tocsin.conf").read_text(encoding="utf-8")
    assert f"LimitNOFILE={services()['broker']['ulimits']['nofile']}\n" in unit


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A copy of the folder, in which everything was done that the README says comes before Docker's part."""
    if os.geteuid() != 0:
        pytest.skip("needs root, as the commands do")
    shutil.copytree(ROOT / "mosquitto", tmp_path / "mosquitto")
    folder = tmp_path / "deploy" / "compose"
    shutil.copytree(COMPOSE, folder)
    for command in commands_of(README):
        run(command, folder)
    return folder


def test_every_folder_that_is_mounted_is_there_and_belongs_to_who_reads_it(prepared: Path) -> None:
    mounts = {
        prepared / volume["source"]: name
        for name, service in services().items()
        for volume in service["volumes"]
        if volume["type"] == "bind"
    }
    assert len(mounts) == 4
    for source, name in mounts.items():
        user = int(services()[name]["user"].partition(":")[0])
        files = [path for path in source.rglob("*") if path.is_file() and path.name != "consumer.yaml"]
        assert {path.stat().st_uid for path in files} <= {user}
        assert {path.stat().st_mode & 0o077 for path in files} <= {0}
        if name == "broker":
            assert user in (source.stat().st_uid, source.stat().st_gid)
    assert not any((prepared / "broker/private").is_relative_to(source) for source in mounts)


def test_nothing_secret_can_be_committed(prepared: Path) -> None:
    run(["git", "init", "-q"], prepared)
    shown = run(["git", "status", "--porcelain", "--untracked-files=all"], prepared).split()
    assert {name for name in shown if name != "??"} == {
        ".gitignore",
        "README.md",
        "compose.yaml",
        "consumer/consumer.yaml",
    }


@pytest.mark.broker
def test_with_these_files_broker_and_consumer_run_and_find_each_other(prepared: Path) -> None:
    """As the containers would, but as processes, on a port of the loopback, which is one name more."""
    setup = [str(ROOT / "mosquitto/setup"), "--dir", str(prepared / "broker")]
    run([*setup, "init", "broker.example.com", "broker", "localhost"], prepared)
    broker = _Contained(prepared / "broker")
    text = (prepared / "consumer/consumer.yaml").read_text(encoding="utf-8")
    text = text.replace("mqtts://broker:", "mqtts://localhost:").replace(":8883", f":{broker.port}")
    text = text.replace("/etc/tocsin/", f"{prepared}/consumer/").replace("/var/lib/tocsin/", f"{prepared}/")
    (prepared / "consumer.yaml").write_text(text, encoding="utf-8")
    consumer = Process(
        "consumer", "-m", "tocsin_consumer", "run", "--config", str(prepared / "consumer.yaml"), folder=prepared
    )
    with broker, consumer:
        until(lambda: "connected to" in consumer.log, otherwise="the consumer does not connect")
        consumer.stop()


class _Contained(Mosquitto):
    """The broker with what setup has made for a container, its paths moved to where that is."""

    preamble = ""

    def __init__(self, folder: Path) -> None:
        file = folder / "config" / "mosquitto.conf"
        text = file.read_text(encoding="utf-8").replace(" /mosquitto/", f" {folder}/")
        super().__init__(folder, text.replace("listener 8883\n", "listener {port} 127.0.0.1\n"), file=file)
