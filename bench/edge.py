"""A site to measure: the real producer, with TLS, between a stand-in for the API server and a real Mosquitto."""

import base64
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import trustme
import yaml

from bench import process
from bench.bare import Servers
from bench.meter import Meter
from bench.pod import pod
from tests.fakes.apiserver import ApiServer
from tests.fakes.recording import read_recording
from tests.mosquitto import free_port
from tests.schemas.session_harness import unique
from tests.stage.broker import Broker
from tests.stage.container import Container
from tests.stage.probes import Probes
from tests.stage.process import Process
from tests.waiting import until
from tocsin_producer.event import read_event
from tocsin_producer.filter import EventFilter
from tocsin_producer.settings import EventSettings
from tocsin_schemas import session as mqtt

CLUSTER: Final = "edge-042"
#: What starts the producer of this Python.
COMMAND: Final = ("-m", "tocsin_producer")
RECORDING: Final = Path(__file__).parents[1] / "tests" / "data" / "node-failures.watch.ndjson.gz"
_TOKEN: Final = "a-token-of-the-bench"  # noqa: S105 - nothing but the stand-in knows it
_PATIENCE_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 2.0


class Edge:
    """Everything runs from enter to exit but the producer, which `start` starts.

    Args:
        folder: an empty one.
        keepalive_seconds: of the producer's connection to the broker.
        image: the files of the producer's image, to run that one; None for the producer of this Python.
        command: what starts that one.
        settings: sections of producer.yaml beside broker and probes; the rest is the default.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keepalive_seconds: int = 240,
        image: Path | None = None,
        command: Sequence[str] = COMMAND,
        **settings: Any,
    ) -> None:
        self._folder = folder
        self._image = image
        self._command = command
        self._settings = settings
        self._keepalive_seconds = keepalive_seconds
        self.broker = Broker(folder / "broker")
        self._account, self._reader = self.broker.add_site(CLUSTER), self.broker.add_consumer("ops")
        self._authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA).configure_cert(context)
        self.api_server = ApiServer(ssl_context=context, token=_TOKEN)
        self.meter = Meter(self.broker.port)
        self._probes = Probes(free_port())
        self._running = ExitStack()
        self.producer = self._process() if image is None else self._pod(image)

    def __enter__(self) -> Self:
        for part in (self.broker, self.api_server, self.meter):
            self._running.enter_context(part)
        if self._image is None:
            _compile()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _process(self) -> Process:
        files = {"producer.yaml": self._configuration(), "kubeconfig": self._kubeconfig()}
        for name, content in files.items():
            (self._folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
        config, kubeconfig = (str(self._folder / name) for name in files)
        arguments = [*self._command, "run", "--config", config, "--kubeconfig", kubeconfig]
        environment = {"PYTHONDONTWRITEBYTECODE": ""}  # an installed producer has its byte code
        return Process("producer", *arguments, folder=self._folder, environment=environment)

    def _pod(self, image: Path) -> Container:
        return pod(image, self._folder, self._configuration(), self._kubeconfig())

    def _configuration(self) -> dict[str, Any]:
        own = {
            "cluster": CLUSTER,
            "broker": {
                **self.broker.access(self._account, port=self.meter.port),
                "keepalive": f"{self._keepalive_seconds}s",
            },
            "http": {"listen": f"127.0.0.1:{self._probes.port}"},
        }
        return own | self._settings

    def _kubeconfig(self) -> dict[str, Any]:
        authority = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        cluster = {"server": self.api_server.url, "certificate-authority-data": authority}
        return {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "here", "user": {"token": _TOKEN}}],
        }

    def start(self, *, connected: bool = True) -> None:
        """Start the producer, and wait until it watches and, unless that cannot be, is connected."""
        self._running.enter_context(self.producer)
        until(lambda: len(self.api_server.watches) == 2, within_seconds=120, otherwise=self.producer.log)
        if connected:
            self.producer.wait_for_log("connected to")

    def servers(self) -> Servers:
        """Return how anybody else reaches both servers, in the producer's place."""
        account = self._account
        return Servers(
            api_port=self.api_server.port,
            api_ca=self._authority.cert_pem.bytes().decode(),
            token=_TOKEN,
            broker_port=self.meter.port,
            broker_ca_file=str(self.broker.ca_file),
            username=account.username,
            password_file=str(account.password_file),
        )

    def reader(self) -> mqtt.Broker:
        """Return how a consumer reaches the broker."""
        account = self._reader
        return mqtt.Broker(
            host="localhost",
            port=self.broker.port,
            client_id=unique("bench"),
            tls=True,
            username=account.username,
            password_file=str(account.password_file),
            ca_file=str(self.broker.ca_file),
        )

    def figure(self, name: str) -> float:
        """Return one of the producer's own figures."""
        return self._probes.figure(name)

    def wait_for_published(self, events: int) -> None:
        """Wait until the broker has acknowledged so many events; seldom asked, it costs the producer little."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (published := self.figure("published_total")) < events:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{published} of {events} published\n{self.producer.log[-2000:]}")
            time.sleep(_LOOK_SECONDS)

    def resident_mib(self) -> float:
        """Return what the producer takes of the machine's memory."""
        return process.resident_mib(self.producer.pid)

    def cpu_seconds(self) -> float:
        """Return what the producer has used of the processors."""
        return process.cpu_seconds(self.producer.pid)

    def wake_ups(self) -> int:
        """Return how often threads of the producer have gone to sleep so far."""
        return process.wakeups(self.producer.pid)


def _compile() -> None:
    """Have the byte code of everything that a producer imports, as after an installation."""
    program = (
        "from tocsin_producer import cli, start; start.put_off(start.PUT_OFF, start.READY); "
        "import tocsin_producer.agent"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-P", "-c", program], env=environment, check=True)


def warnings() -> Iterator[dict[str, Any]]:
    """Return Warnings of a real cluster for ever: those of the recording, again and again as other Events.

    They are the ones that a producer publishes by default.
    """
    events = EventSettings()
    published = EventFilter([rule.rule() for rule in events.include], [rule.rule() for rule in events.exclude])
    recorded = [
        notification.event
        for notification in read_recording(RECORDING)
        if notification.event["type"] == "Warning" and published.passes(read_event(notification.event))
    ]
    for number in count():
        event = recorded[number % len(recorded)]
        own = {"uid": f"{number:08x}-0d0f-4d3a-9a54-2f6f6f0f7a11", "name": f"{event['metadata']['name']}-{number}"}
        yield {**event, "metadata": {**event["metadata"], **own}, "count": 1, "series": None}
