"""The producer in its image, as it runs in a cluster: for figures that depend on which Python is in there."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.stage.container import Container
from tocsin_producer.manifest import USER

_ETC: Final = "/etc/tocsin"
_STATE: Final = "/var/lib/tocsin"
_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_FILES: Final = ("password_file", "ca_file")


def pod(image: Path, folder: Path, settings: Mapping[str, Any], kubeconfig: Mapping[str, Any]) -> Container:
    """Return the producer of an image whose files are in `image`, which only root can run.

    Args:
        image: what `python -m bench.image --unpack` has put there for the producer.
        folder: for what is mounted, and the log.
        settings: producer.yaml.
        kubeconfig: the way to the API server, which a Pod learns from its service account.
    """
    broker: dict[str, str] = settings["broker"]
    etc = {name: Path(broker[name]).read_bytes() for name in _FILES}
    inside = {"broker": broker | {name: f"{_ETC}/{name}" for name in _FILES}}
    if "path" in (outbox := settings.get("outbox", {})):
        inside["outbox"] = outbox | {"path": f"{_STATE}/outbox.db"}
    etc["producer.yaml"] = yaml.safe_dump({**settings, **inside}).encode()
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    account = {"ca.crt": base64.b64decode(cluster["certificate-authority-data"]), "token": user["token"].encode()}
    host, _, port = cluster["server"].removeprefix("https://").rpartition(":")
    (state := folder / "state").mkdir()
    os.chown(state, USER, USER)
    return Container(
        image,
        "/usr/bin/tocsin-producer",
        "run",
        volumes={
            _ETC: _filled(folder / "etc", etc),
            _ACCOUNT: _filled(folder / "account", account),
            _STATE: state,
        },
        environment={"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port},
        folder=folder,
    )


def _filled(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Return a folder with `files` that the image's user may read: the bench's own, which are no secrets."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o444)
    return folder
