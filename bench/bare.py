"""The producer's work in a bare loop: list, parse, SQLite, publish and acknowledgement.

It filters nothing, folds nothing and survives nothing, so nobody should use it; but what it takes says how fast a
machine is. `bench.cpu` runs it as a process of its own.
"""

import http.client
import json
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

_PAGE: Final = 50
_TURN_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 60.0
_TABLE: Final = "CREATE TABLE outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload TEXT)"


@dataclass(frozen=True)
class Servers:
    """Where both servers listen on this machine, and what they want to see."""

    api_port: int
    api_ca: str
    token: str
    broker_port: int
    broker_ca_file: str
    username: str
    password_file: str


def cpu_seconds(servers: Servers) -> float:
    """Return what a bare loop takes for all Warnings that the API server has, without what it takes to start."""
    program = [sys.executable, "-m", "bench.bare"]
    run = subprocess.run(
        program,
        input=json.dumps(asdict(servers)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_PATIENCE_SECONDS,
    )
    return float(run.stdout)


class _Loop:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        context = ssl.create_default_context(cadata=servers.api_ca)
        self._api = http.client.HTTPSConnection("127.0.0.1", servers.api_port, context=context)
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.execute(_TABLE)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, servers.username, protocol=mqtt.MQTTv5)
        self._client.tls_set(servers.broker_ca_file)
        self._client.username_pw_set(servers.username, Path(servers.password_file).read_text("ascii").strip())
        self._client.on_publish = self._delete
        #: Positions of what is not acknowledged, by the ids of the messages.
        self._sent: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._client.connect("localhost", self._servers.broker_port)
        while not self._client.is_connected():
            self._turn()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._api.close()
        self._database.close()

    def run(self) -> None:
        """Bring each Warning from the one server to the other."""
        for page in self._pages():
            self._database.execute("BEGIN")
            for event in page:
                kept = self._database.execute(
                    "INSERT INTO outbox (topic, payload) VALUES (?, ?)", self._message(event)
                )
                self._publish(kept.lastrowid)
            self._database.execute("COMMIT")
            while len(self._sent) > _PAGE // 2:
                self._turn()
        while self._sent:
            self._turn()

    def _turn(self) -> None:
        if self._client.loop(_TURN_SECONDS) != mqtt.MQTT_ERR_SUCCESS:
            raise ConnectionError("the broker has gone")

    def _pages(self) -> Iterator[list[dict[str, Any]]]:
        after = ""
        while True:
            path = f"/api/v1/events?fieldSelector=type%3DWarning&limit={_PAGE}{after}"
            self._api.request("GET", path, headers={"Authorization": f"Bearer {self._servers.token}"})
            page = json.loads(self._api.getresponse().read())
            yield page["items"]
            if not page["metadata"].get("continue"):
                return
            after = f"&continue={page['metadata']['continue']}"

    def _message(self, event: dict[str, Any]) -> tuple[str, str]:
        involved, cluster = event["involvedObject"], self._servers.username
        place = f"{involved.get('namespace', '_cluster')}/{involved['kind']}/{event['reason']}"
        told = {
            "v": 1,
            "cluster": cluster,
            "type": event["type"],
            "reason": event["reason"],
            "kind": involved["kind"],
            "ns": involved.get("namespace"),
            "name": involved["name"],
            "msg": event["message"],
            "count": event["count"],
            "last": event["lastTimestamp"],
            "uid": event["metadata"]["uid"],
        }
        return f"k8s/v1/{cluster}/event/{place}", json.dumps(told, separators=(",", ":"))

    def _publish(self, position: int | None) -> None:
        row = self._database.execute("SELECT position, topic, payload FROM outbox WHERE position = ?", (position,))
        number, topic, payload = row.fetchone()
        self._sent[self._client.publish(topic, payload, qos=1).mid] = number

    def _delete(
        self, _client: object, _userdata: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            raise PermissionError(f"the broker refuses a message: {reason}")
        self._database.execute("DELETE FROM outbox WHERE position = ?", (self._sent.pop(mid),))


def main() -> None:
    """Run one loop, and print what it took."""
    with _Loop(Servers(**json.load(sys.stdin))) as loop:
        before = time.process_time()
        loop.run()
        sys.stdout.write(f"{time.process_time() - before}\n")


if __name__ == "__main__":
    main()
