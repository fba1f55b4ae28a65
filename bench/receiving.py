"""A broker with our own configuration and a consumer behind it, to be measured while they work."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import yaml

from bench.flood import Flood, Message
from tests.consumer.site import page
from tests.mosquitto import free_port
from tests.stage.broker import Broker
from tests.stage.process import Process
from tests.waiting import until
from tocsin_schemas import topics

PATIENCE_SECONDS: Final = 600.0
ROOT: Final = topics.DEFAULT_ROOT


class Receiving:
    """A consumer whose broker anyone may fill, from enter to exit.

    Args:
        folder: an empty folder of its own.
        receivers: where it delivers to, each of which gets everything.
        settings: more of the consumer's configuration.
    """

    def __init__(self, folder: Path, receivers: Sequence[dict[str, Any]], **settings: Any) -> None:
        self.folder = folder
        self.out = folder / "out.ndjson"
        self._broker = Broker(folder / "broker")
        self._consumer_account = self._broker.add_consumer("ops")
        self._flood_account = self._broker.add_site("flood")
        with (folder / "broker" / "config" / "acl").open("a", encoding="ascii") as acl:
            acl.write(f"\nuser flood\ntopic write {ROOT}/#\n")
        self._port = free_port()
        arguments = ("-m", "tocsin_consumer", "run", "--config", str(folder / "consumer.yaml"))
        self.process = Process("consumer", *arguments, folder=folder)
        self._starts = 0
        self._settings = {
            "receivers": [{"name": "unused", "stdout": {}}, *receivers],
            "route": {"receivers": [receiver["name"] for receiver in receivers]},
            "http": {"listen": f"127.0.0.1:{self._port}"},
            **settings,
        }

    def __enter__(self) -> Self:
        self._broker.start()
        settings = {
            "broker": self._broker.access(self._consumer_account),
            "store": f"sqlite:///{self.folder}/tocsin.db",
            **self._settings,
        }
        (self.folder / "consumer.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._broker.kill()

    @property
    def pid(self) -> int:
        """The consumer's process id."""
        return self.process.pid

    def start(self) -> None:
        """Start the consumer, and wait until it is connected."""
        self._starts += 1
        self.process.start()
        self.process.wait_for_log("connected to", times=self._starts)

    def stop(self) -> None:
        """Stop the consumer as an operator would."""
        code = self.process.stop()
        if code:
            raise RuntimeError(f"the consumer ended with {code}:\n{self.process.log}")

    @contextmanager
    def flood(self) -> Iterator[Flood]:
        """Be connected to the broker, to publish for all clusters."""
        account = self._flood_account
        password = account.password_file.read_text(encoding="ascii").strip()
        with Flood(
            self._broker.port, ca_file=self._broker.ca_file, username=account.username, password=password
        ) as flood:
            yield flood

    def figure(self, name: str) -> float:
        """Return one of the consumer's own figures, labels and all."""
        for line in page(self._port, "/metrics")[1].splitlines():
            if line.startswith(f"tocsin_consumer_{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def ask(self, query: str) -> int:
        """Return the number that a query of the store returns."""
        with closing(sqlite3.connect(self.folder / "tocsin.db")) as connection:
            return int(connection.execute(query).fetchone()[0] or 0)

    def wait_for(self, query: str, number: int) -> None:
        """Wait until a query of the store returns `number` or more."""
        with closing(sqlite3.connect(self.folder / "tocsin.db")) as connection:
            until(
                lambda: (connection.execute(query).fetchone()[0] or 0) >= number,
                within_seconds=PATIENCE_SECONDS,
                otherwise=f"{query} did not come to {number}:\n{self.process.log[-3000:]}",
            )

    def delivered(self) -> list[dict[str, Any]]:
        """Return what the file receiver has got."""
        with self.out.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


def event(number: int, *, clusters: int, reasons: int = 1) -> Message:
    """Return one of many events, of half a kilobyte each.

    Clusters take turns. Of ten events of a cluster, the last is a later state of the one before it; the reasons of
    the others take turns as well.
    """
    cluster = f"edge-{number % clusters:05}"
    turn = number // clusters
    repeats = turn % 10 == 9
    reason = f"BackOff{(turn - turn // 10 - repeats) % reasons or ''}"
    said = {
        "v": 1,
        "cluster": cluster,
        "type": "Warning",
        "reason": reason,
        "kind": "Pod",
        "ns": "production",
        "name": f"api-7c9f8d6b5-{_suffix(number)}",
        "field": "spec.containers{api}",
        "msg": "Back-off restarting failed container api in pod api-7c9f8d6b5-x2x4q_production(5b9e2a6c)",
        "count": 2 if repeats else 1,
        "first": 1795420000,
        "last": 1795425534,
        "from": "kubelet",
        "node": "pi-3",
        "uid": f"5b9e2a6c-0d0f-4d3a-9a54-{number - clusters if repeats else number:012}",
        "boot": 1795419000,
        "seq": turn + 1,
    }
    topic = topics.event_topic(ROOT, cluster, namespace="production", kind="Pod", reason=reason)
    return Message(topic, json.dumps(said, separators=(",", ":")).encode())


def _suffix(number: int) -> str:
    """Return the end of a Pod's name that Kubernetes could have made."""
    digits = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(digits[number // len(digits) ** place % len(digits)] for place in range(5))


def status(number: int, state: str) -> Message:
    """Return the retained status of one of many clusters."""
    cluster = f"edge-{number:05}"
    said = {"v": 1, "cluster": cluster, "state": state, "boot": 17, "since": 1795419000, "version": "0.1.0"}
    return Message(
        topics.status_topic(ROOT, cluster), json.dumps(said, separators=(",", ":")).encode(), retain=True
    )
