"""deploy/systemd/: what systemd says of the units, and what is in them of ours."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import trustme

from tests.deploy.commands import ROOT, blocks, lines
from tocsin_consumer import run as consumer_run
from tocsin_consumer.settings import load_settings

SYSTEMD = ROOT / "deploy" / "systemd"
UNIT = SYSTEMD / "tocsin-consumer.service"
CREDENTIALS = "/run/credentials/tocsin-consumer.service/tocsin_"
#: What Debian's package has, as far as our addition to it matters.
DEBIANS_BROKER = """\
[Unit]
Description=Mosquitto MQTT Broker
[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/sbin/mosquitto -c /etc/mosquitto/mosquitto.conf
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
ExecStartPre=/bin/mkdir -m 740 -p /var/log/mosquitto
"""
#: As the README quotes them.
EXPOSURE = {"tocsin-consumer.service": "1.2", "mosquitto.service": "2.0"}

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def service() -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's keys have capitals
    parser.read(UNIT, encoding="utf-8")
    return dict(parser["Service"])


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with both units, and programs in the place of those that they start."""
    shutil.copytree(SYSTEMD, tmp_path, dirs_exist_ok=True)
    (tmp_path / "mosquitto.service").write_text(DEBIANS_BROKER, encoding="utf-8")
    for file in (tmp_path / UNIT.name, tmp_path / "mosquitto.service.d/tocsin.conf"):
        text = re.sub(
            r"/usr/(local/bin/tocsin-consumer|sbin/mosquitto)", "/bin/true", file.read_text(encoding="utf-8")
        )
        file.write_text(text, encoding="utf-8")
    return tmp_path


def analyze(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["systemd-analyze", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize("unit", EXPOSURE)
def test_systemd_finds_nothing_wrong_with_a_unit(units: Path, unit: str) -> None:
    assert analyze(units, "verify", f"./{unit}") == ""


@needs_systemd
def test_a_mistake_in_a_unit_would_be_found(units: Path) -> None:
    file = units / UNIT.name
    file.write_text(
        file.read_text(encoding="utf-8").replace("DynamicUser=yes", "DynamicUsers=yes"), encoding="utf-8"
    )
    assert "DynamicUsers" in analyze(units, "verify", f"./{UNIT.name}")


@needs_systemd
@pytest.mark.parametrize(("unit", "exposure"), EXPOSURE.items())
def test_a_unit_is_as_little_exposed_as_the_readme_says(units: Path, unit: str, exposure: str) -> None:
    said = analyze(units, "security", "--offline=yes", "--no-pager", f"./{unit}")
    match = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert match is not None
    assert float(match[1]) <= float(exposure)
    assert exposure in (SYSTEMD / "README.md").read_text(encoding="utf-8")


def test_a_wrong_configuration_is_not_tried_again_and_everything_else_is() -> None:
    assert (service()["Restart"], service()["RestartPreventExitStatus"]) == ("on-failure", "2")


def test_a_reload_is_the_signal_on_which_the_consumer_loads_its_configuration_anew() -> None:
    assert service()["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_the_service_has_the_time_that_the_consumer_takes_to_stop() -> None:
    needed = sum(getattr(consumer_run, f"{part}_SECONDS") for part in ("WATCH", "DRAIN", "DISCONNECT", "DELIVER"))
    assert needed < float(service()["TimeoutStopSec"].removesuffix("s"))


def test_its_configuration_is_accepted_with_credentials_in_their_place(tmp_path: Path) -> None:
    text = (SYSTEMD / "consumer.yaml").read_text(encoding="utf-8")
    assert service()["LoadCredential"] == "tocsin:/etc/tocsin/secrets"
    (tmp_path / "password").write_text("secret", encoding="utf-8")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "feishu-url").write_text("https://open.feishu.cn/open-apis/bot/v2/hook/0", encoding="utf-8")
    (tmp_path / "feishu-secret").write_text("secret", encoding="utf-8")
    (tmp_path / "consumer.yaml").write_text(
        uncommented(text).replace(CREDENTIALS, f"{tmp_path}/"), encoding="utf-8"
    )
    settings, _ = load_settings(tmp_path / "consumer.yaml", {})
    assert [receiver.name for receiver in settings.receivers] == ["dump", "feishu-ops"]
    assert settings.store.startswith(f"sqlite:////var/lib/{service()['StateDirectory']}/")


def uncommented(text: str) -> str:
    """Return a configuration with the receiver that stands there as a comment."""
    return re.sub(r"(?m)^( *)# (- name:|  feishu:|    \w+_file:)", r"\1\2", text)


def test_the_readme_installs_every_file_of_this_folder_where_the_unit_looks_for_it() -> None:
    installed = [
        command for block in blocks(SYSTEMD / "README.md") for command in lines(block) if command[0] == "install"
    ]
    named = {word for command in installed for word in command}
    files = {str(path.relative_to(SYSTEMD)) for path in SYSTEMD.rglob("*") if path.is_file()}
    assert files - named == {"README.md"}
    assert "/etc/tocsin/consumer.yaml" in named
    assert "/etc/tocsin/consumer.yaml" in service()["ExecStart"]
