"""What the tests of the producer share."""

import copy
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.recording import Notification, read_recording
from tocsin_producer import database as database_module
from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.database import Database
from tocsin_producer.filter import EventFilter, Rule
from tocsin_producer.fold import Fold
from tocsin_producer.intake import Intake, Wire
from tocsin_producer.message import Message
from tocsin_producer.outbox import Outbox

RECORDING = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"

Event = dict[str, Any]


@pytest.fixture(autouse=True)
def _close_databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what tests open: since Python 3.13 a connection that is forgotten warns."""
    opened: list[sqlite3.Connection] = []

    def connect(path: str, lock_seconds: float) -> sqlite3.Connection:
        opened.append(original(path, lock_seconds))
        return opened[-1]

    original = database_module._connect
    monkeypatch.setattr(database_module, "_connect", connect)
    yield
    for connection in opened:
        connection.close()


OLD_STYLE: Event = {
    "metadata": {
        "name": "api.18e",
        "namespace": "shop",
        "uid": "uid-1",
        "creationTimestamp": "2026-11-23T10:00:00Z",
    },
    "involvedObject": {
        "kind": "Pod",
        "namespace": "shop",
        "name": "api-7c9",
        "fieldPath": "spec.containers{api}",
    },
    "type": "Warning",
    "reason": "BackOff",
    "message": "Back-off restarting failed container",
    "count": 3,
    "source": {"component": "kubelet", "host": "pi-3"},
    "firstTimestamp": "2026-11-23T10:00:00Z",
    "lastTimestamp": "2026-11-23T10:05:00Z",
    "eventTime": None,
}


def event(uid: str = "uid-1", **changes: Any) -> Event:
    """Return an Event of the old style with some fields of its own."""
    made = copy.deepcopy(OLD_STYLE)
    made["metadata"] |= {"uid": uid, "name": f"api.{uid}"}
    return {**made, **changes}


@pytest.fixture(scope="session")
def recording() -> list[Notification]:
    return list(read_recording(RECORDING))


@dataclass
class Pipeline:
    """An intake with everything behind it, in memory."""

    database: Database
    outbox: Outbox
    checkpoint: Checkpoint
    fold: Fold
    intake: Intake
    wakes: list[None] = field(default_factory=list)

    def waiting(self) -> list[dict[str, Any]]:
        """Return the payloads that wait, in the order in which they leave."""
        taken: list[Message] = []
        while more := self.outbox.take(10_000):
            taken += more
            for message in more:
                self.outbox.acknowledge(message)
        for message in taken:
            self.outbox.put_back(message)
        return [json.loads(message.payload) for message in taken]

    def told(self) -> list[tuple[str, int]]:
        return [(payload["uid"], payload["count"]) for payload in self.waiting()]


MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def make_pipeline() -> MakePipeline:
    def make(
        include: list[Rule] | None = None,
        exclude: list[Rule] | None = None,
        *,
        path: Path | None = None,
        max_messages: int = 10_000,
        fold_seconds: float = 0.0,
        now: Callable[[], float] = time.time,
    ) -> Pipeline:
        database = Database(path)
        outbox = Outbox(database, max_messages=max_messages, max_bytes=10**9)
        checkpoint = Checkpoint(database)
        fold = Fold(
            database,
            checkpoint,
            outbox,
            interval_seconds=fold_seconds,
            max_messages=max_messages,
            max_bytes=10**9,
            now=now,
        )
        wakes: list[None] = []
        intake = Intake(
            database,
            checkpoint,
            fold,
            event_filter=EventFilter(include or [Rule()], exclude or []),
            wire=Wire("k8s/v1", "edge-042", 1024),
            wake=lambda: wakes.append(None),
        )
        return Pipeline(database, outbox, checkpoint, fold, intake, wakes)

    return make


def message(uid: str, count: int = 1, *, severity: int = 1, payload: str = "{}", node: str = "") -> Message:
    return Message(uid, count, severity, "t", payload, node)
