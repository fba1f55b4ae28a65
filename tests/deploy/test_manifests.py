"""What lies in `deploy/` for Kubernetes is what the command makes today, and what Kubernetes takes."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.examples import DEPLOY, files, manifest, of_kind, parsed
from tocsin_producer.manifest import NAME
from tocsin_producer.settings import ProducerSettings

#: The oldest and the newest line that K3s maintains in November 2026, and two that have ended: sites lag behind.
VERSIONS = ("1.25", "1.34", "1.35", "1.37")


def relative(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


@pytest.mark.parametrize("path", files(), ids=relative)
def test_an_example_is_what_the_command_makes_today(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == files()[path], "run make manifests"


def refused(document: dict[str, Any], version: str) -> str:
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", ["claim", "pod"])
def test_every_object_is_of_the_shape_that_kubernetes_has_for_its_kind(version: str, state: str) -> None:
    for document in parsed(manifest("--state", state)):
        assert refused(document, version) == "", document["kind"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_field_that_kubernetes_does_not_know_would_be_found(version: str) -> None:
    deployment = of_kind("Deployment", parsed(manifest()))
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    assert "readOnlyRootFilesystem" in refused(deployment, version)


def test_a_site_on_top_of_the_base_gives_it_what_it_mounts() -> None:
    """The names and keys that Kustomize puts together: a ConfigMap, a Secret, and the files in them."""
    base, site = DEPLOY / "kustomize" / "base", DEPLOY / "kustomize" / "edge-042"
    kustomization = yaml.safe_load((site / "kustomization.yaml").read_text(encoding="utf-8"))
    (resource,) = kustomization["resources"]
    assert (site / resource).resolve() == base
    documents = parsed((base / "tocsin.yaml").read_text(encoding="utf-8"))
    assert {"ConfigMap", "Secret"}.isdisjoint(document["kind"] for document in documents)
    pod = of_kind("Deployment", documents)["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (config,), (secret,) = kustomization["configMapGenerator"], kustomization["secretGenerator"]
    assert config == {"name": volumes["config"]["configMap"]["name"], "files": ["producer.yaml"]}
    assert secret == {"name": volumes["secrets"]["secret"]["secretName"], "files": ["password"]}
    assert pod["containers"][0]["image"].startswith(kustomization["images"][0]["name"] + ":")


def test_the_password_of_a_site_is_not_to_be_committed() -> None:
    assert "/password" in (DEPLOY / "kustomize/edge-042/.gitignore").read_text(encoding="utf-8").split()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_puts_a_site_together(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "kustomize", tmp_path / "kustomize")
    site = tmp_path / "kustomize" / "edge-042"
    (site / "password").write_text("change-me", encoding="utf-8")
    run = subprocess.run(["kubectl", "kustomize", str(site)], capture_output=True, text=True, check=True)
    documents = parsed(run.stdout)
    assert [refused(document, VERSIONS[-1]) for document in documents] == [""] * len(documents)
    pod = of_kind("Deployment", documents)["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["config"]["configMap"]["name"] == of_kind("ConfigMap", documents)["metadata"]["name"]
    assert volumes["secrets"]["secret"]["secretName"] == of_kind("Secret", documents)["metadata"]["name"]
    assert volumes["config"]["configMap"]["name"].startswith(f"{NAME}-")  # with a digest: a change is another Pod


def test_the_configuration_of_a_site_has_no_mistake() -> None:
    text = (DEPLOY / "kustomize/edge-042/producer.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    assert values["broker"].pop("password_file") == "/run/secrets/tocsin/password"
    ProducerSettings.model_validate(values)
