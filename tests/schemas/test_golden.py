import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tocsin_schemas.asyncapi import EXAMPLES
from tocsin_schemas.event import EventPayload, Payload
from tocsin_schemas.generate import json_schema
from tocsin_schemas.status import StatusPayload
from tocsin_schemas.topics import EventTopic, event_topic, parse

FOLDER = Path(__file__).parent / "golden"
FILES = sorted((FOLDER / "v1").glob("*.json"))
NAMES = [file.stem for file in FILES]
MODELS: dict[str, type[Payload]] = {"event": EventPayload, "status": StatusPayload}


def kind(file: Path) -> str:
    return file.stem.split("-")[0]


def test_no_golden_payload_has_changed_or_gone() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    found = {f"v1/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in FILES}
    assert found == sums


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_todays_models_read_a_golden_payload_and_write_the_same_bytes(file: Path) -> None:
    payload = file.read_bytes()
    read = MODELS[kind(file)].model_validate_json(payload)
    assert read.model_dump_json(by_alias=True, exclude_unset=True).encode() == payload


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_golden_payload_validates_against_its_json_schema(file: Path) -> None:
    jsonschema.validate(json.loads(file.read_bytes()), json_schema(kind(file)))


@pytest.mark.parametrize("file", [file for file in FILES if kind(file) == "event"], ids=lambda file: file.stem)
def test_the_topic_of_a_golden_event_can_be_built_and_read(file: Path) -> None:
    event = EventPayload.model_validate_json(file.read_bytes())
    topic = event_topic("k8s/v1", event.cluster, namespace=event.ns, kind=event.kind, reason=event.reason)
    assert isinstance(parse("k8s/v1", topic), EventTopic)


@pytest.mark.parametrize(
    ("name", "example", "file"),
    [
        ("event", "backOff", "event-pod-backoff"),
        ("event", "nodeNotReady", "event-node-not-ready"),
        ("status", "online", "status-online"),
        ("status", "offline", "status-offline"),
    ],
)
def test_the_examples_of_the_asyncapi_document_are_golden_payloads(name: str, example: str, file: str) -> None:
    golden: Any = json.loads((FOLDER / "v1" / f"{file}.json").read_bytes())
    assert EXAMPLES[name][example] == golden
