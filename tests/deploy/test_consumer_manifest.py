"""deploy/kubernetes/consumer.yaml: what Kubernetes takes, what the consumer reads, and no right too many."""

import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
import yaml

from tests.deploy.commands import ROOT
from tests.deploy.test_systemd import uncommented
from tocsin_consumer import cli
from tocsin_consumer.settings import load_settings
from tocsin_schemas import __version__

MANIFEST = ROOT / "deploy" / "kubernetes" / "consumer.yaml"
SECRETS = "/run/secrets/tocsin"
VERSIONS = ("1.25", "1.34", "1.37")


def documents() -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))}


def pod() -> dict[str, Any]:
    return dict(documents()["Deployment"]["spec"]["template"]["spec"])


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_of_the_shape_that_kubernetes_has_for_its_kind(version: str) -> None:
    for document in documents().values():
        kubernetes_validate.validate(document, version, strict=True)


def test_the_pod_keeps_to_the_restricted_standard() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {key for volume in pod()["volumes"] for key in volume} - {"name"} == {
        "configMap",
        "secret",
        "persistentVolumeClaim",
        "emptyDir",
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & pod().keys()


def test_it_has_no_token_and_no_password_and_one_replica_at_a_time() -> None:
    assert pod()["automountServiceAccountToken"] is False
    assert "Secret" not in documents()
    spec = documents()["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert "env" not in container()


def test_the_image_is_of_this_version_and_its_arguments_are_a_command() -> None:
    assert container()["image"] == f"tocsin/tocsin-consumer:{__version__}"
    command, option, path = container()["args"]
    assert (command in cli.main.commands, option) == (True, "--config")
    (mount,) = [mount for mount in container()["volumeMounts"] if mount["name"] == "config"]
    (key,) = documents()["ConfigMap"]["data"]
    assert path == f"{mount['mountPath']}/{key}"


def test_its_configuration_is_accepted_with_the_secrets_in_their_place(tmp_path: Path) -> None:
    text = uncommented(documents()["ConfigMap"]["data"]["consumer.yaml"])
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    for name, content in (
        ("password", "secret"),
        ("feishu-secret", "secret"),
        ("feishu-url", "https://open.feishu.cn/open-apis/bot/v2/hook/0"),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "consumer.yaml").write_text(text.replace(SECRETS, str(tmp_path)), encoding="utf-8")
    settings, _ = load_settings(tmp_path / "consumer.yaml", {})
    assert settings.http is not None
    (port,) = container()["ports"]
    assert settings.http.address == ("0.0.0.0", port["containerPort"])  # noqa: S104 - the Pod's own
    mounts = {mount["mountPath"] for mount in container()["volumeMounts"]}
    assert {SECRETS, settings.store.removeprefix("sqlite:///").rpartition("/")[0]} <= mounts


def test_the_probes_ask_what_the_consumer_answers() -> None:
    paths = {
        name: container()[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_the_secret_that_is_to_be_made_has_the_files_that_the_configuration_names() -> None:
    (line,) = re.findall(r"(?m)^#   (kubectl .* create secret .*)$", MANIFEST.read_text(encoding="utf-8"))
    made = {word.partition("=")[2] for word in shlex.split(line) if word.startswith("--from-file=")}
    broker = yaml.safe_load(documents()["ConfigMap"]["data"]["consumer.yaml"])["broker"]
    named = {value.rpartition("/")[2] for value in broker.values() if value.startswith(SECRETS)}
    assert made == named
    (secret,) = [volume["secret"] for volume in pod()["volumes"] if "secret" in volume]
    assert secret["secretName"] in shlex.split(line)
