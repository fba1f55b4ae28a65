import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.producer.conftest import RECORDING
from tocsin_producer import cli
from tocsin_producer.plan import Plan, Replay
from tocsin_schemas import __version__


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "producer.yaml"
    path.write_text("cluster: edge-042\nbroker: {url: mqtts://broker.example.com}\n")
    return path


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "TOCSIN_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def kubeconfig(folder: Path) -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        "current-context: here\n"
        "contexts: [{name: here, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: https://10.0.0.1:6443}}]\n"
        "users: [{name: u, user: {token: t0ken}}]\n",
    )
    return path


def test_check_tells_what_would_run(config: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli.main, ["check", "--config", str(config), "--kubeconfig", str(kubeconfig(tmp_path))]
    )
    assert result.exit_code == 0
    assert "broker      mqtts://broker.example.com as edge-042" in result.output
    assert "API server  https://10.0.0.1:6443" in result.output
    assert "watch       type=Warning\n" in result.output
    assert "watch       involvedObject.kind=Node,type=Normal\n" in result.output
    assert f"{config} is fine" in result.output
    assert "t0ken" not in result.output


def test_a_wrong_configuration_is_told_on_standard_error_with_exit_code_2(config: Path) -> None:
    config.write_text("cluster: edge-042\nbrokre: {}\n")
    result = CliRunner().invoke(cli.main, ["check", "--config", str(config)])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"{config}: broker: is required but missing",
        f"{config}:2: brokre: unknown key; did you mean broker?",
    ]


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["run", "--config", str(tmp_path / "no.yaml")])
    assert (result.exit_code, result.stderr) == (
        2,
        f"{tmp_path}/no.yaml: cannot be read: No such file or directory\n",
    )


def test_outside_of_a_cluster_it_says_what_to_give(config: Path) -> None:
    result = CliRunner().invoke(cli.main, ["run", "--config", str(config)])
    assert result.exit_code == 2
    assert "give --kubeconfig or KUBECONFIG" in result.stderr


def test_a_recording_that_is_not_there_is_named(config: Path) -> None:
    result = CliRunner().invoke(cli.main, ["run", "--config", str(config), "--replay", "no.ndjson"])
    assert (result.exit_code, result.stderr) == (2, "no.ndjson: no such recording\n")


def test_run_becomes_the_agent_with_what_it_has_resolved(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda _path, arguments, _variables: became.append(arguments))
    arguments = ["run", "--config", str(config), "--replay", str(RECORDING), "--speed", "8"]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    ((*_, module, descriptor),) = became
    assert module == "tocsin_producer.start"
    plan = Plan.receive(int(descriptor))
    assert (plan.cluster, plan.source) == ("edge-042", Replay(str(RECORDING), 8.0))


def test_it_tells_its_version() -> None:
    assert __version__ in CliRunner().invoke(cli.main, ["--version"]).output


def test_kubeconfig_may_be_a_list_of_files(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{kubeconfig(tmp_path)}")
    result = CliRunner().invoke(cli.main, ["check", "--config", str(config)])
    assert "API server  https://10.0.0.1:6443" in result.output


@pytest.mark.parametrize("context", [[], ["--context", "here"]])
def test_the_agent_learns_what_resolves_its_credentials_anew(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: list[str]
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda _path, arguments, _variables: became.append(arguments))
    path = str(kubeconfig(tmp_path))
    arguments = ["run", "--config", str(config), "--kubeconfig", path, *context]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    command = Plan.receive(int(became[0][-1])).resolve_command
    assert command[1:] == ["-P", "-m", "tocsin_producer.resolve", path, *context[1:]]


def outbox(config: Path, path: str) -> None:
    config.write_text(config.read_text() + f"outbox: {{path: {path}}}\n")


@pytest.mark.parametrize("path", ["/dev/null/outbox.db", "/proc/nowhere/outbox.db"])
def test_check_finds_a_place_where_no_outbox_can_be(config: Path, path: str) -> None:
    outbox(config, path)
    result = CliRunner().invoke(cli.main, ["check", "--config", str(config)])
    assert result.exit_code == 2
    assert f"outbox.path: cannot write {path}: " in result.stderr


def test_check_leaves_no_outbox_behind(config: Path, tmp_path: Path) -> None:
    outbox(config, str(tmp_path / "state" / "outbox.db"))
    arguments = ["check", "--config", str(config), "--kubeconfig", str(kubeconfig(tmp_path))]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert not (tmp_path / "state").exists()


def test_check_leaves_an_outbox_as_it_is(config: Path, tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"a producer is at work with it")
    outbox(config, str(tmp_path / "outbox.db"))
    arguments = ["check", "--config", str(config), "--kubeconfig", str(kubeconfig(tmp_path))]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert (tmp_path / "outbox.db").read_bytes() == b"a producer is at work with it"
