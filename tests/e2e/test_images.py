"""The images with what the manifest mounts into them, where their files are unpacked and root can mount:

IMAGES_FOR_TESTS=/tmp/images make test ARGS='-k images'

In that folder are `producer` and `consumer`; `python -m bench.image --unpack /tmp/images` puts them there.
"""

import base64
import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from click.testing import CliRunner

from tests.deploy.examples import of_kind, parsed
from tests.fakes.apiserver import ApiServer
from tests.mosquitto import free_port
from tests.producer.conftest import event
from tests.stage.broker import Broker
from tests.stage.container import Container
from tests.stage.probes import Probes
from tests.waiting import until
from tocsin_producer.cli import main
from tocsin_producer.manifest import USER

IMAGES = os.environ.get("IMAGES_FOR_TESTS")
CLUSTER = "edge-042"
TOKEN = "api-t0ken"
#: What the manifest asks of a node for the Pod: 32Mi.
REQUESTED_KIB = 32 * 1024

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(
        IMAGES is None or os.geteuid() != 0, reason="IMAGES_FOR_TESTS names no images, or not root"
    ),
]


@dataclass
class Node:
    """A folder with all that is mounted, an API server and a broker."""

    folder: Path
    api_server: ApiServer
    authority: trustme.CA
    broker: Broker

    def pod(self) -> Container:
        """Return a Pod of the Deployment that the command makes for this node."""
        account = self.broker.access(self.broker.add_site(CLUSTER))
        port = free_port()
        config = self.folder / "producer.yaml"
        config.write_text(yaml.safe_dump({"http": {"listen": f"0.0.0.0:{port}"}, "log": {"level": "debug"}}))
        arguments = ["--config", str(config), "--cluster", CLUSTER, "--broker", account["url"]]
        files = ["--password-file", account["password_file"], "--ca-file", account["ca_file"]]
        printed = CliRunner().invoke(main, ["manifest", *arguments, *files])
        assert printed.exit_code == 0, printed.stderr
        self.probes = Probes(port)
        return Container(
            Path(str(IMAGES)) / "producer",
            "/usr/bin/tocsin-producer",
            *of_kind("Deployment", parsed(printed.stdout))["spec"]["template"]["spec"]["containers"][0]["args"],
            volumes=self._volumes(parsed(printed.stdout)),
            environment={
                "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                "KUBERNETES_SERVICE_PORT": str(self.api_server.port),
            },
            folder=self.folder,
        )

    def consumer(self, **settings: Any) -> Container:
        """Return a consumer that keeps what it gets in /var/lib/tocsin."""
        account = self.broker.access(self.broker.add_consumer("ops"))
        etc = self._filled("etc", {"password": Path(account["password_file"]).read_text()})
        (etc / "ca.crt").write_bytes(Path(account["ca_file"]).read_bytes())
        places = {"password_file": "/etc/tocsin/password", "ca_file": "/etc/tocsin/ca.crt"}
        (etc / "consumer.yaml").write_text(yaml.safe_dump({"broker": account | places, **settings}))
        return Container(
            Path(str(IMAGES)) / "consumer",
            "/usr/bin/tocsin-consumer",
            "run",
            volumes={"/etc/tocsin": etc, "/var/lib/tocsin": self._state("consumer-state")},
            environment={},
            folder=self.folder,
        )

    def _volumes(self, documents: list[dict[str, Any]]) -> dict[str, Path]:
        """Return what is mounted where, as kubelet does it."""
        secret = of_kind("Secret", documents)["data"]
        contents = {
            "config": of_kind("ConfigMap", documents)["data"],
            "secrets": {name: base64.b64decode(value).decode() for name, value in secret.items()},
            "token": {"token": TOKEN, "ca.crt": self.authority.cert_pem.bytes().decode()},
        }
        folders = {name: self._filled(name, files) for name, files in contents.items()}
        folders["state"] = self._state("state")
        (container,) = of_kind("Deployment", documents)["spec"]["template"]["spec"]["containers"]
        return {mount["mountPath"]: folders[mount["name"]] for mount in container["volumeMounts"]}

    def _filled(self, name: str, files: dict[str, str]) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file, content in files.items():
            (folder / file).write_text(content)
            (folder / file).chmod(0o440)
            os.chown(folder / file, 0, USER)
        return folder

    def _state(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        os.chown(folder, USER, USER)
        return folder


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ApiServer(ssl_context=context, token=TOKEN) as api_server:
        yield Node(tmp_path, api_server, authority, Broker(tmp_path / "broker"))


def recorded(folder: Path) -> list[dict[str, Any]]:
    path = folder / "consumer-state" / "events.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_event_goes_from_a_pod_to_a_consumer_within_the_memory_that_the_pod_requests(node: Node) -> None:
    receivers = [{"name": "record", "file": {"path": "/var/lib/tocsin/events.ndjson"}}]
    consumer = node.consumer(
        store="sqlite:////var/lib/tocsin/tocsin.db", receivers=receivers, route={"receivers": ["record"]}
    )
    pod = node.pod()
    with node.broker, consumer, pod:
        consumer.wait_for_log("connected to")
        pod.wait_for_log("connected to")
        until(lambda: node.probes.ask("/readyz")[0] == 200, otherwise=pod.log)
        node.api_server.events.put(event("uid-1"))
        until(lambda: "uid-1" in {line["uid"] for line in recorded(node.folder)}, otherwise=consumer.log)
        assert node.probes.ask("/healthz")[0] == 200
        assert set(pod.status("Uid").split()) == {str(USER)}
        assert int(pod.status("VmRSS").split()[0]) < REQUESTED_KIB
        assert pod.stop() == 0, pod.log
    assert (node.folder / "state" / "outbox.db").exists()


def test_the_next_pod_goes_on_with_the_state_of_the_one_before(node: Node) -> None:
    first = node.pod()
    with node.broker, first:
        first.wait_for_log("connected to")
        node.api_server.events.put(event("uid-1"))
        until(lambda: node.probes.figure("published_total") == 1)
        assert first.stop() == 0, first.log
    second = node.pod()
    with node.broker, second:
        until(lambda: node.probes.ask("/readyz")[0] == 200, otherwise=second.log)
        node.api_server.events.put(event("uid-2"))
        until(lambda: node.probes.figure("published_total") == 1)
        assert node.probes.figure("waiting") == 0
