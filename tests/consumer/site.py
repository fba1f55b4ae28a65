"""A broker, and consumers that write what they deliver to a file: what the tests of the whole consumer share."""

import http.client
import json
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.consumer.messages import ROOT, event, payload, topic
from tests.schemas.session_harness import Recorder, broker_at, running, unique
from tests.waiting import until
from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.run import Consumer
from tocsin_consumer.settings import ConsumerSettings
from tocsin_schemas.event import EventPayload


class Site:
    """A broker, and consumers that write what they deliver to a file."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.client_id = unique("consumer")

    def settings(self, **changes: Any) -> ConsumerSettings:
        return ConsumerSettings.model_validate(self._values(changes))

    def _values(self, changes: dict[str, Any]) -> dict[str, Any]:
        values = {
            "broker": {"url": f"mqtt://127.0.0.1:{self.port}", "client_id": self.client_id},
            "store": f"sqlite:///{self.folder}/tocsin.db",
            "receivers": [{"name": "file", "file": {"path": str(self.folder / "out.ndjson")}}],
            "route": {"receivers": ["file"]},
        }
        return values | changes

    def write_settings(self, **changes: Any) -> Path:
        file = self.folder / "consumer.yaml"
        file.write_text(json.dumps(self._values(changes)))  # YAML is a superset of JSON
        return file

    def publish(self, *said: EventPayload | bytes) -> None:
        """Publish with QoS 1, and wait until the broker has taken it all."""
        other = topic(event())
        messages = [
            (other, one, False) if isinstance(one, bytes) else (topic(one), payload(one), False) for one in said
        ]
        self._send(messages)

    def tell(self, state: str, *, cluster: str = "edge-1", **fields: Any) -> None:
        """Publish a retained status as a producer does, and wait until the broker has taken it."""
        said = {"v": 1, "cluster": cluster, "state": state, "boot": 1, "since": 1, "version": "1"} | fields
        self._send([(f"{ROOT}/{cluster}/status", json.dumps(said).encode(), True)])

    def clear(self, cluster: str = "edge-1") -> None:
        """Clear a retained status."""
        self._send([(f"{ROOT}/{cluster}/status", b"", True)])

    def _send(self, messages: list[tuple[str, bytes, bool]]) -> None:
        recorder = Recorder(outbox=deque(messages))
        with running(broker_at(self.port, clean_start=True), recorder):
            until(lambda: len(recorder.acknowledged) == len(messages))

    def delivered(self) -> list[tuple[str, int]]:
        """Return uid and count of what the receiver has got."""
        return [(line["uid"], line["count"]) for line in self.lines()]

    def lines(self, name: str = "out.ndjson") -> list[dict[str, Any]]:
        """Return the whole lines of what the receiver has got."""
        file = self.folder / name
        whole = file.read_text().rpartition("\n")[0] if file.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "tocsin.db")) as connection:
            return connection.execute(sql).fetchall()


def page(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextmanager
def consumer(settings: ConsumerSettings, *, clock: Clock = utc_now) -> Iterator[Consumer]:
    """Run a consumer for as long as the block, and see that it stops cleanly."""
    made = Consumer(settings, clock=clock)
    made.start()
    try:
        yield made
    finally:
        assert made.stop()


def connected(made: Consumer) -> None:
    until(lambda: made._intake.uplink)
