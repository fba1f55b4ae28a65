"""The parts that the demo starts: broker, link, API server, producer, consumer and a Feishu group."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import yaml

from tests.demo.brokers import Amqtt, Mosquitto
from tests.fakes.apiserver import ApiServer
from tests.fakes.feishu import Bot, FeishuFake, Message
from tests.fakes.relay import Relay
from tests.mosquitto import is_installed
from tests.stage.process import Process

CLUSTER = "edge-042"
_API_TOKEN = "demo-api-token"
_SECRET = "demo-secret"
#: Worth a card in the demo, besides what is critical; everything is recorded.
_CARDS = [
    "BackOff",
    "Evicted",
    "BackoffLimitExceeded",
    "FailedPostStartHook",
    "ContainerGCFailed",
    "InspectFailed",
]
#: News of incidents that concern anybody.
_UNTOLD = """
SELECT COUNT(*) FROM problems JOIN incidents ON incidents.id = incident LEFT JOIN told USING (incident)
WHERE receivers != '[]' AND problems.revision > COALESCE(told.revision, 0)
"""


class Installation:
    """Everything, on this machine, in `folder`; the link between producer and broker can be cut.

    Args:
        folder: for configurations, state and logs.
        on_card: called with what the Feishu group sees.
        embedded: whether to do without Mosquitto even where it is installed.
    """

    def __init__(self, folder: Path, on_card: Callable[[Message], object], *, embedded: bool = False) -> None:
        self.folder = folder
        self.api_server = ApiServer(token=_API_TOKEN)
        self.feishu = FeishuFake(Bot(secret=_SECRET), on_message=on_card)
        self.broker = self._choose_broker(embedded=embedded)
        self.link = Relay(self.broker.port)
        self.consumer = self._process("consumer")
        self.producer = self._process("producer")
        self._running = ExitStack()

    def _choose_broker(self, *, embedded: bool) -> Mosquitto | Amqtt:
        if embedded or not is_installed():
            return Amqtt(self.folder)
        return Mosquitto(self.folder / "broker", cluster=CLUSTER, consumer="ops")

    def __enter__(self) -> Self:
        for part in (self.broker, self.link, self.api_server, self.feishu):
            self._running.enter_context(part)
        self._configure()
        for side in (self.consumer, self.producer):
            self._running.enter_context(side)
        for side in (self.consumer, self.producer):
            side.wait_for_log("connected to")
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def recorded(self) -> list[dict[str, Any]]:
        """Return the events that the receiver `record` has got so far, but for one that it is writing."""
        path = self.folder / "events.ndjson"
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []

    def untold(self) -> int:
        """Return how much there is that the Feishu group is still to be told."""
        with closing(sqlite3.connect(self.folder / "tocsin.db")) as connection:
            return int(connection.execute(_UNTOLD).fetchone()[0])

    def producer_sums(self) -> dict[str, int]:
        """Return what the producer has counted, once it has stopped."""
        return next(line["sums"] for line in self.producer.log_lines() if "sums" in line)

    def stop(self) -> None:
        """End both sides as their system would."""
        self.producer.stop()
        self.consumer.stop()

    def _configure(self) -> None:
        """Write the files that a person would write."""
        self._write("secret", _SECRET)
        self._write("feishu-url", self.feishu.url)
        self._write(
            "kubeconfig",
            {
                "current-context": "demo",
                "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
                "clusters": [{"name": "demo", "cluster": {"server": self.api_server.url}}],
                "users": [{"name": "demo", "user": {"token": _API_TOKEN}}],
            },
        )
        self._write(
            "producer.yaml",
            {
                "cluster": CLUSTER,
                "broker": self.broker.section(CLUSTER, self.link.port),
                "fold": {"interval": "3s"},  # half an hour, at the speed of the demo
                "outbox": {"path": str(self.folder / "outbox.db")},
                "log": {"format": "json"},
            },
        )
        self._write(
            "consumer.yaml",
            {
                "broker": self.broker.section("ops", self.broker.port),
                "store": f"sqlite:///{self.folder}/tocsin.db",
                "receivers": [
                    {"name": "record", "file": {"path": str(self.folder / "events.ndjson")}},
                    {
                        "name": "feishu-ops",
                        "feishu": {
                            "url_file": str(self.folder / "feishu-url"),
                            "secret_file": str(self.folder / "secret"),
                        },
                    },
                ],
                # In half a minute happens what a cluster takes half an hour for.
                "storm": {"cluster": {"count": 100, "per": "5m"}, "fleet": None},
                "presence": {"offline_after": "2s", "steady_after": "1s"},
                "route": {
                    "receivers": ["record"],
                    "routes": [
                        {"match": {"severity": "critical"}, "receivers": ["record", "feishu-ops"]},
                        {"match": {"reason": _CARDS}, "receivers": ["record", "feishu-ops"]},
                    ],
                    "group_wait": "1s",
                    "group_interval": "5s",
                },
                "log": {"format": "json"},
            },
        )

    def _process(self, side: str) -> Process:
        return Process(
            side,
            *("-m", f"tocsin_{side}", "run", "--config", str(self.folder / f"{side}.yaml")),
            folder=self.folder,
            environment={"KUBECONFIG": str(self.folder / "kubeconfig")},
        )

    def _write(self, name: str, content: object) -> None:
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        (self.folder / name).write_text(text, encoding="utf-8")
