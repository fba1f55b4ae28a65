"""A whole installation: every process and every protocol on the way is the real one."""

import json
import sqlite3
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import yaml

from tests.fakes.apiserver import ApiServer
from tests.fakes.feishu import Bot, FeishuFake
from tests.fakes.relay import Relay
from tests.fakes.webhook import WebhookFake
from tests.mosquitto import free_port
from tests.schemas.session_harness import Recorder, running, unique
from tests.stage import state_file
from tests.stage.broker import Broker
from tests.stage.probes import Probes
from tests.stage.process import Process
from tests.waiting import until
from tocsin_schemas import session as mqtt

CLUSTER = "edge-042"
API_TOKEN = "api-t0ken"
FEISHU_SECRET = "feishu-s3cret"


def is_of_kubernetes(event: Mapping[str, Any]) -> bool:
    """Whether it is an Event's, and not what a consumer has to say of a cluster itself."""
    return bool(event["kind"] != "Cluster")


class Site:
    """A cluster with its producer, a broker, a consumer and what it delivers to.

    The producer reaches the broker by way of `uplink`, the consumer by way of `downlink`.
    """

    def __init__(self, folder: Path, *, broker_extra: str = "") -> None:
        self.folder = folder
        self.broker = Broker(folder / "broker", extra=broker_extra)
        self.accounts = {name: self.broker.add_site(name) for name in (CLUSTER, "edge-666")}
        self.accounts["ops"] = self.broker.add_consumer("ops")
        self.uplink, self.downlink = Relay(self.broker.port), Relay(self.broker.port)
        self.api_server = ApiServer(token=API_TOKEN)
        self.feishu = FeishuFake(Bot(token="feishu-t0ken", secret=FEISHU_SECRET))
        self.webhook = WebhookFake()
        environment = {"KUBECONFIG": str(folder / "kubeconfig")}
        self.producer = self._process("producer", environment)
        self.consumer = self._process("consumer", environment)
        self._probes = Probes(free_port())
        self._running = ExitStack()

    def __enter__(self) -> Self:
        for part in (self.broker, self.uplink, self.downlink, self.api_server, self.feishu, self.webhook):
            self._running.enter_context(part)
        self.configure_producer()
        self.configure_consumer()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def start(self) -> None:
        """Start both sides, and wait until they are connected."""
        self.start_consumer()
        self.start_producer()

    def start_consumer(self) -> None:
        connections = self.log_count(self.consumer, "connected to")
        self.run_consumer()
        self.consumer.wait_for_log("connected to", times=connections + 1)

    def run_consumer(self) -> None:
        """Start the consumer and wait for nothing."""
        self._running.enter_context(self.consumer)

    def run_producer(self) -> None:
        """Start the producer and wait for nothing."""
        self._running.enter_context(self.producer)

    def start_producer(self) -> None:
        connections = self.log_count(self.producer, "connected to")
        self.run_producer()
        self.producer.wait_for_log("connected to", times=connections + 1)
        until(lambda: len(self.api_server.watches) == 2, otherwise="the producer does not watch")

    def log_count(self, process: Process, text: str) -> int:
        return process.log.count(text) if process.log_path.exists() else 0

    def configure_producer(self, **changes: Any) -> None:
        self.write(
            "kubeconfig",
            {
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
                "clusters": [{"name": "here", "cluster": {"server": self.api_server.url}}],
                "users": [{"name": "here", "user": {"token": API_TOKEN}}],
            },
        )
        settings = {
            "cluster": CLUSTER,
            "broker": self.broker.access(self.accounts[CLUSTER], port=self.uplink.port),
            "fold": {"interval": "0s"},
            "outbox": {"path": str(self.folder / "outbox.db")},
            "http": {"listen": f"127.0.0.1:{self._probes.port}"},
            "log": {"format": "json", "level": "debug"},
        }
        self.write("producer.yaml", settings | changes)

    def configure_consumer(self, **changes: Any) -> None:
        self.write("feishu-url", self.feishu.url)
        self.write("feishu-secret", FEISHU_SECRET)
        feishu = {"url_file": str(self.folder / "feishu-url"), "secret_file": str(self.folder / "feishu-secret")}
        settings = {
            "broker": self.broker.access(self.accounts["ops"], port=self.downlink.port),
            "store": f"sqlite:///{self.folder}/tocsin.db",
            "time_zone": "Asia/Shanghai",
            "language": "zh",
            "receivers": [
                {"name": "record", "file": {"path": str(self.folder / "events.ndjson")}},
                {"name": "hook", "grouped": False, "webhook": {"url": self.webhook.url}},
                {"name": "group", "feishu": feishu},
            ],
            "route": {
                "receivers": ["record", "hook"],
                "group_wait": "0s",
                "routes": [{"match": {"severity": "critical"}, "receivers": ["record", "hook", "group"]}],
            },
            "log": {"format": "json", "level": "debug"},
        }
        self.write("consumer.yaml", settings | changes)

    def write(self, name: str, content: object) -> Path:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def recorded(self) -> list[dict[str, Any]]:
        """Return the events that the receiver `record` has got so far."""
        path = self.folder / "events.ndjson"
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []

    def states(self) -> list[tuple[str, int]]:
        """Return what `record` has got as states of Events, in order."""
        return [(event["uid"], event["count"]) for event in self.recorded() if is_of_kubernetes(event)]

    def hooked(self) -> list[tuple[str, int]]:
        """Return what the webhook has got as states of Events, in order."""
        bodies = [json.loads(request.body) for request in self.webhook.requests]
        return [(body["uid"], body["count"]) for body in bodies if is_of_kubernetes(body)]

    def pending(self) -> int:
        """Return how many deliveries the consumer still has to make or to note as made."""
        with closing(sqlite3.connect(self.folder / "tocsin.db")) as connection:
            rows = connection.execute("SELECT COUNT(*) FROM deliveries WHERE state = 'pending'")
            return int(rows.fetchone()[0])

    def waiting(self) -> float:
        """Return how many events the broker has not acknowledged; -1 while no producer answers."""
        return self._probes.figure("waiting")

    def published(self) -> float:
        """Return how many events the broker has acknowledged to this producer; -1 while none answers."""
        return self._probes.figure("published_total")

    def lost(self) -> int:
        """Return how many messages a producer with a state file has given up."""
        return int(self._state("SELECT SUM(value) FROM numbers WHERE name LIKE 'lost%'") or 0)

    def taken(self, uid: str) -> int:
        """Return the highest count of an Event that a producer with a state file has taken, 0 if none."""
        return int(self._state("SELECT count FROM seen WHERE uid = ?", uid) or 0)

    def _state(self, query: str, *values: object) -> Any:
        return state_file.look(self.folder / "outbox.db", query, *values)

    def dead_letters(self) -> list[tuple[str, str, str, str, int]]:
        """Return kind and reason of each dead letter; and receiver, uid and count, if it is a delivery's."""
        with closing(sqlite3.connect(self.folder / "tocsin.db")) as connection:
            return connection.execute(
                "SELECT kind, reason, receiver, uid, count FROM dead_letters LEFT JOIN events ON events.id = event"
            ).fetchall()

    def client(self, username: str) -> mqtt.Broker:
        """Return how a client of our own reaches the broker with an account, or with none at all."""
        return mqtt.Broker(
            host="localhost",
            port=self.broker.port,
            client_id=unique(),
            tls=True,
            username=username or None,
            password_file=str(self.accounts[username].password_file) if username else None,
            ca_file=str(self.broker.ca_file),
            clean_start=True,
        )

    def publish(self, username: str, topic: str, payload: bytes, *, retain: bool = False) -> str | None:
        """Publish with an account and return the broker's reason if it refused."""
        recorder = Recorder(outbox=deque([(topic, payload, retain)]))
        with running(self.client(username), recorder):
            until(lambda: recorder.acknowledged)
        return recorder.acknowledged[0][1]

    def status(self) -> dict[str, Any]:
        """Return what the broker holds of the producer's status."""
        reader = Recorder(filters=(f"k8s/v1/{CLUSTER}/status",))
        with running(self.client("ops"), reader):
            until(reader.payloads, otherwise="the broker holds no status")
        return dict(json.loads(reader.payloads()[-1]))

    def sums(self) -> dict[str, int]:
        """Return what the producer has counted when it stopped last."""
        found: dict[str, int] = [line["sums"] for line in self.producer.log_lines() if "sums" in line][-1]
        return found

    def _process(self, side: str, environment: dict[str, str]) -> Process:
        arguments = ("-m", f"tocsin_{side}", "run", "--config", str(self.folder / f"{side}.yaml"))
        return Process(side, *arguments, folder=self.folder, environment=environment)
