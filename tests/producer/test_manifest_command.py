from collections.abc import Mapping
from pathlib import Path

import click.testing
import pytest
import yaml

from tests.deploy.examples import of_kind, parsed
from tocsin_producer.cli import main
from tocsin_producer.manifest_command import IMAGE

SITE = ["--cluster", "edge-042", "--broker", "mqtts://broker.example.com:8883"]


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    return path


def manifest(*arguments: str, environment: Mapping[str, str] | None = None) -> click.testing.Result:
    return click.testing.CliRunner(env=environment).invoke(main, ["manifest", *arguments])


def test_a_cluster_a_broker_and_a_password_are_enough(password: Path) -> None:
    result = manifest(*SITE, "--password-file", str(password))
    assert result.exit_code == 0, result.stderr
    made = parsed(result.stdout)
    config = yaml.safe_load(of_kind("ConfigMap", made)["data"]["producer.yaml"])
    assert (config["cluster"], config["broker"]["url"]) == ("edge-042", "mqtts://broker.example.com:8883")
    pod = of_kind("Deployment", made)["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == IMAGE
    assert pod["priorityClassName"] == "system-cluster-critical"


def test_what_the_pod_is_like_is_said_by_options(password: Path) -> None:
    options = ["--namespace", "monitoring", "--image", "registry.example.com:5000/tocsin/producer@sha256:0a"]
    result = manifest(*SITE, "--password-file", str(password), *options, "--state", "pod", "--priority-class", "")
    made = parsed(result.stdout)
    pod = of_kind("Deployment", made)["spec"]["template"]["spec"]
    assert of_kind("Deployment", made)["metadata"]["namespace"] == "monitoring"
    assert pod["containers"][0]["image"] == "registry.example.com:5000/tocsin/producer@sha256:0a"
    assert "priorityClassName" not in pod
    assert "emptyDir" in pod["volumes"][-1]


def test_an_option_stands_over_a_variable_and_a_variable_over_the_file(tmp_path: Path, password: Path) -> None:
    config = tmp_path / "producer.yaml"
    config.write_text("cluster: edge-001\nbroker: {url: mqtts://a.example.com, username: a}\nmessage_limit: 200\n")
    result = manifest(
        "--config",
        str(config),
        "--cluster",
        "edge-042",
        "--password-file",
        str(password),
        environment={"TOCSIN_CLUSTER": "edge-002", "TOCSIN_BROKER_USERNAME": "b"},
    )
    values = yaml.safe_load(of_kind("ConfigMap", parsed(result.stdout))["data"]["producer.yaml"])
    assert (values["cluster"], values["broker"]["username"], values["message_limit"]) == ("edge-042", "b", 200)


def test_what_is_wrong_is_told_with_where_it_stands(tmp_path: Path) -> None:
    config = tmp_path / "producer.yaml"
    config.write_text("broker:\n  keepalive: 1s\nevents: {include: []}\n")
    result = manifest("--config", str(config), "--cluster", "Edge", "--broker", "broker.example.com")
    assert (result.exit_code, result.stdout) == (2, "")
    at_a_line, by_option = result.stderr.splitlines()[:2], result.stderr.splitlines()[2:]
    assert at_a_line == [
        f"{config}:2: broker.keepalive: expected at least 10 seconds, found 1s",
        f"{config}:3: events.include: expected a list of at least 1, found an empty list",
    ]
    assert [line.partition("expected")[0] for line in by_option] == [
        "option --broker: broker.url: ",
        "option --cluster: cluster: ",
    ]


def test_what_is_missing_is_named() -> None:
    assert manifest("--cluster", "edge-042").stderr == "the options: broker: is required but missing\n"


@pytest.mark.parametrize(
    "option",
    [
        ["--namespace", "Monitoring"],
        ["--namespace", "a.b"],
        ["--image", "tocsin producer"],
        ["--image", ""],
        ["--existing-secret", "_"],
        ["--priority-class", "High"],
        ["--state", "memory"],
    ],
)
def test_what_kubernetes_would_refuse_is_refused(option: list[str]) -> None:
    result = manifest(*SITE, *option)
    assert (result.exit_code, result.stdout) == (2, "")
    assert option[0] in result.stderr


def test_a_secret_is_either_made_or_there_already(password: Path) -> None:
    result = manifest(*SITE, "--password-file", str(password), "--existing-secret", "from-the-vault")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "exclude each other" in result.stderr


def test_a_file_with_a_password_is_for_its_owner_alone_and_whole_from_the_start(
    tmp_path: Path, password: Path
) -> None:
    output = tmp_path / "manifests" / "tocsin.yaml"
    output.parent.mkdir()
    output.write_text("old")
    output.chmod(0o644)
    result = manifest(*SITE, "--password-file", str(password), "--output", str(output))
    assert (result.exit_code, result.stdout) == (0, "")
    assert output.stat().st_mode & 0o777 == 0o600
    assert of_kind("Secret", parsed(output.read_text()))
    assert list(output.parent.iterdir()) == [output]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    output = tmp_path / "nowhere" / "tocsin.yaml"
    result = manifest(*SITE, "--output", str(output))
    assert (result.exit_code, result.stderr) == (2, f"{output} cannot be written: No such file or directory\n")


def test_a_folder_in_the_way_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "tocsin.yaml").mkdir()
    result = manifest(*SITE, "--output", str(tmp_path / "tocsin.yaml"))
    assert (result.exit_code, result.stderr) == (2, f"{tmp_path}/tocsin.yaml cannot be written: Is a directory\n")
    assert [path.name for path in tmp_path.iterdir()] == ["tocsin.yaml"]


def test_whoever_has_forgotten_the_password_is_told(password: Path) -> None:
    assert "no password and no client certificate" in manifest(*SITE).stderr
    assert manifest(*SITE, "--password-file", str(password)).stderr == ""
    assert manifest(*SITE, "--existing-secret", "from-the-vault").stderr == ""


def test_only_a_file_with_a_secret_says_that_it_holds_one(password: Path) -> None:
    assert "let only root read it" not in manifest(*SITE).stdout
    assert "let only root read it" in manifest(*SITE, "--password-file", str(password)).stdout
