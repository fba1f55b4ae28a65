"""The manifests in `deploy/`, as the command makes them: `python -m tests.deploy.examples` writes them anew."""

import re
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml
from click.testing import CliRunner

from tocsin_producer.cli import main
from tocsin_producer.manifest import NAME, NAMESPACE, Installation, dump, objects
from tocsin_producer.manifest_command import IMAGE, PRIORITY_CLASS
from tocsin_schemas import __version__

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
ARGUMENTS: Final = ("--cluster", "edge-042", "--broker", "mqtts://broker.example.com:8883")
_REPOSITORY: Final = IMAGE.rpartition(":")[0]


def manifest(*arguments: str) -> str:
    """Return what the command prints for the example's site."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "password"
        file.write_text("change-me\n", encoding="utf-8")
        command = ["manifest", *ARGUMENTS, "--password-file", str(file), *arguments]
        result = CliRunner(env={}).invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def parsed(text: str) -> list[dict[str, Any]]:
    """Return the objects in a manifest."""
    return list(yaml.safe_load_all(text))


def of_kind(kind: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one object of a kind."""
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def files() -> dict[Path, str]:
    """Return what belongs into `deploy/`: for K3s, and for Kustomize a base and a site on top of it."""
    base = Installation(NAMESPACE, IMAGE, priority_class=PRIORITY_CLASS, secret_name=NAME)
    config = of_kind("ConfigMap", parsed(manifest()))["data"]["producer.yaml"]
    return {
        DEPLOY / "k3s" / "tocsin.yaml": manifest(),
        DEPLOY / "kustomize" / "base" / "tocsin.yaml": dump(objects(base)),
        DEPLOY / "kustomize" / "base" / "kustomization.yaml": _kustomization(resources=["tocsin.yaml"]),
        DEPLOY / "kustomize" / "edge-042" / "producer.yaml": config,
        DEPLOY / "kustomize" / "edge-042" / "kustomization.yaml": _kustomization(
            namespace=NAMESPACE,
            resources=["../base"],
            images=[{"name": _REPOSITORY, "newTag": __version__}],
            configMapGenerator=[{"name": NAME, "files": ["producer.yaml"]}],
            secretGenerator=[{"name": NAME, "files": ["password"]}],
        ),
    }


def _kustomization(**fields: Any) -> str:
    kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return re.sub(r"^---\n", "", dump([{**kind, **fields}]))


def write() -> None:
    """Write all of them."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
