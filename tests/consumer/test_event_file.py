import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.consumer.messages import NOW, event, payload
from tocsin_consumer.errors import EventFileError
from tocsin_consumer.event_file import find_event, from_kubernetes
from tocsin_consumer.samples import samples
from tocsin_producer.event import read_event
from tocsin_producer.payload import event_payload, numbered
from tocsin_schemas.event import EventPayload

RECORDING = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"


def read(file: Path) -> EventPayload:
    notification = find_event(str(file), clock=lambda: NOW)
    assert notification.received_at == NOW
    return notification.event


def write(folder: Path, value: Any) -> Path:
    file = folder / "event.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def recorded() -> list[dict[str, Any]]:
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["line"] for line in lines]


def test_a_sample_is_found_by_its_name() -> None:
    for name in samples():
        assert find_event(name, clock=lambda: NOW).event.uid == samples()[name].event.uid


def test_a_payload_is_read_as_it_is_on_the_wire(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(payload(event(count=7)))
    assert read(file) == event(count=7)


def test_an_event_is_read_as_kubernetes_has_it(tmp_path: Path) -> None:
    back_off = next(line["object"] for line in recorded() if line["object"]["reason"] == "BackOff")
    said = read(write(tmp_path, back_off))
    assert (said.reason, said.kind, said.msg) == ("BackOff", "Pod", back_off["message"])
    assert (said.count, said.uid, said.from_) == (back_off["count"], back_off["metadata"]["uid"], "kubelet")


def test_every_event_of_a_recorded_watch_can_be_tried() -> None:
    for line in recorded():
        said = EventPayload.model_validate(from_kubernetes(line))
        assert said.last >= said.first > 1_700_000_000


def test_an_event_of_the_newer_style_has_its_times_and_count_from_the_series() -> None:
    said = from_kubernetes(
        {
            "metadata": {"uid": "u", "creationTimestamp": "2026-11-23T09:00:00Z"},
            "involvedObject": {"kind": "Pod", "name": "p"},
            "reason": "R",
            "message": "m",
            "type": "Normal",
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "eventTime": "2026-11-23T09:00:01.5Z",
            "series": {"count": 4, "lastObservedTime": "2026-11-23T10:00:00Z"},
            "reportingComponent": "scheduler",
        }
    )
    assert (said["count"], said["last"] - said["first"], said["from"]) == (4, 3599, "scheduler")


def as_produced(value: dict[str, Any]) -> EventPayload:
    """Return what a producer of the cluster `example` publishes of an Event."""
    published = event_payload(read_event(value), "example", message_limit=10**6)
    return EventPayload.model_validate_json(numbered(published, boot=0, seq=0))


@pytest.mark.parametrize("component", ["kubelet", "default-scheduler"])
@pytest.mark.parametrize("host", ["pi-1", None])
@pytest.mark.parametrize("kind", ["Pod", "Node"])
def test_who_reported_an_event_of_any_style_and_where_is_what_a_producer_says(
    component: str, host: str | None, kind: str
) -> None:
    value = recorded()[0]["object"] | {
        "involvedObject": {"kind": kind, "name": "x", "fieldPath": ""},
        "source": {"component": "old-name", "host": host} if host else {},
        "reportingComponent": component,
        "reportingInstance": "pi-2",
    }
    assert EventPayload.model_validate(from_kubernetes(value)) == as_produced(value)


def test_every_event_of_a_recorded_watch_is_what_a_producer_publishes_of_it() -> None:
    for line in recorded():
        assert EventPayload.model_validate(from_kubernetes(line)) == as_produced(line["object"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds no event: expected an object"),
        ('{"v": 1}', "holds no event: cluster: Field required"),
        ('{"kind": "Pod"}', "holds no event: type: Field required"),
        (
            '{"involvedObject": {}, "firstTimestamp": "yesterday"}',
            "holds no event: expected a time such as .*, found 'yesterday'",
        ),
        ("\udcff", "is not JSON"),
    ],
)
def test_a_file_that_holds_no_event_is_told_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(EventFileError, match=why):
        find_event(str(file))


def test_a_name_that_is_nothing_is_told_with_the_samples() -> None:
    with pytest.raises(EventFileError, match="back-of is neither a file nor a sample; samples: back-off, "):
        find_event("back-of")


def test_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match="cannot be read: Is a directory"):
        find_event(str(tmp_path))


@pytest.mark.parametrize(
    "value", [{"kind": "List", "items": []}, {"apiVersion": "events.k8s.io/v1", "regarding": {}}]
)
def test_what_kubectl_writes_of_other_commands_is_refused_with_the_one_that_serves(
    tmp_path: Path, value: dict[str, object]
) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(value))
    with pytest.raises(EventFileError, match="expected one Event of core/v1, as `kubectl get event NAME -o json`"):
        find_event(str(file))
