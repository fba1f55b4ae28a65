"""The broker of the demo: Mosquitto where it is there, an embedded one in Python otherwise."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

import yaml

from tests.mosquitto import free_port
from tests.stage.broker import Broker
from tests.waiting import until


class Mosquitto(Broker):
    """Mosquitto as `mosquitto/` configures it, with the accounts of the demo."""

    title = "Mosquitto, with TLS, accounts and the configuration in mosquitto/"

    def __init__(self, folder: Path, *, cluster: str, consumer: str) -> None:
        super().__init__(folder)
        self._accounts = {cluster: self.add_site(cluster), consumer: self.add_consumer(consumer)}

    def section(self, username: str, port: int) -> dict[str, str]:
        """Return the section `broker` of a configuration."""
        return self.access(self._accounts[username], port=port)


class Amqtt:
    """amqtt in a process of its own: enough to show the path, without TLS, accounts and durable sessions."""

    title = "amqtt (embedded: no TLS, no durable sessions); with Mosquitto installed the demo shows the real thing"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        configuration = self._folder / "amqtt.yaml"
        configuration.write_text(yaml.safe_dump(self._configuration()), encoding="utf-8")
        with (self._folder / "amqtt.log").open("ab") as log:
            command = [str(Path(sys.executable).with_name("amqtt")), "-c", str(configuration)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until(self._takes_connections)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def section(self, username: str, port: int) -> dict[str, str]:
        """Return the section `broker` of a configuration."""
        # It never answers a CONNECT of MQTT 5: the sooner 3.1.1 is tried, the better.
        return {"url": f"mqtt://127.0.0.1:{port}", "username": username, "connect_timeout": "1s"}

    def _configuration(self) -> dict[str, object]:
        return {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }

    def _takes_connections(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
