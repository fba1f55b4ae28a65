from datetime import timedelta
from typing import Any

import pytest

from tests.consumer.messages import NOW, event
from tests.consumer.produced import RECORDING, produced
from tocsin_consumer.as_published import as_published
from tocsin_consumer.recording import Recorded, read_recording
from tocsin_producer.settings import EventSettings
from tocsin_schemas.event import EventPayload
from tocsin_schemas.matching import Match

MINUTE = timedelta(minutes=1)


def watched(minute: float, count: int, **fields: Any) -> Recorded:
    return Recorded(event(count=count, **fields), NOW + minute * MINUTE, is_watched=True)


def times_and_counts(*recorded: Recorded) -> list[tuple[float, int]]:
    told = as_published(recorded)
    return [((one.at - NOW) / MINUTE, one.said.count) for one in told if isinstance(one.said, EventPayload)]


def as_told(one: Recorded) -> dict[str, Any]:
    return one.said.model_dump(exclude={"boot", "seq"}, exclude_none=True)


def test_of_a_recorded_watch_goes_over_the_wire_what_the_real_producer_publishes() -> None:
    ours = list(as_published(read_recording(RECORDING).recorded))
    theirs = produced()
    assert [as_told(one) for one in ours] == [as_told(one) for one in theirs]
    assert max(abs(our.at - their.at) for our, their in zip(ours, theirs, strict=True)) < timedelta(seconds=1)


@pytest.mark.parametrize("type_", ["Warning", "Normal", "Other"])
@pytest.mark.parametrize("kind", ["Node", "Pod"])
def test_an_event_passes_if_it_passes_the_filter_that_a_producer_has_by_default(type_: str, kind: str) -> None:
    events = EventSettings()
    reasons = ["BackOff", "NodeReady", "NodeNotReady", "NodeHasSufficientPID", "NodeHasNoDiskPressure", "Starting"]
    for reason in [*reasons, "NodeHasInsufficientMemory", "InvalidDiskCapacity", "CgroupV1"]:
        texts = {"type": type_, "kind": kind, "reason": reason}
        included, excluded = (
            any(Match(rule.rule().patterns)(texts) for rule in rules) for rules in (events.include, events.exclude)
        )
        told = list(as_published([watched(0, 1, type=type_, kind=kind, reason=reason)]))
        assert bool(told) == (included and not excluded), texts


def test_told_are_the_first_occurrence_doubled_counts_and_the_newest_after_each_interval() -> None:
    repeats = [watched(minute, minute + 1) for minute in range(0, 100, 2)]
    assert times_and_counts(*repeats) == [
        (0, 1),
        (2, 3),
        (6, 7),
        (14, 15),
        (30, 31),
        (60, 59),
        (90, 89),
        (120, 99),
    ]


def test_the_end_of_a_pressure_goes_each_time_and_its_repeat_after_the_interval() -> None:
    of_node = {"type": "Normal", "kind": "Node", "name": "pi-1"}
    said = [
        watched(minute, 1 + minute // 2, uid=reason, reason=reason, **of_node)
        for minute, reason in enumerate(["NodeHasDiskPressure", "NodeHasNoDiskPressure"] * 4)
    ]
    repeat = watched(8, 5, uid="NodeHasNoDiskPressure", reason="NodeHasNoDiskPressure", **of_node)
    assert times_and_counts(*said, repeat) == [*((minute, 1 + minute // 2) for minute in range(8)), (37, 5)]


def test_a_held_condition_goes_before_the_next_of_its_node_and_not_of_another() -> None:
    def of_node(minute: float, count: int, reason: str, node: str) -> Recorded:
        return watched(minute, count, uid=f"{node}-{reason}", type="Normal", kind="Node", name=node, reason=reason)

    said = [of_node(0, 4, "NodeHasNoDiskPressure", node) for node in ("pi-1", "pi-2")]
    held = [of_node(1, 5, "NodeHasNoDiskPressure", node) for node in ("pi-1", "pi-2")]
    change = of_node(2, 1, "NodeNotReady", "pi-2")
    assert times_and_counts(*said, *held, change) == [(0, 4), (0, 4), (2, 5), (2, 1), (30, 5)]


def test_what_is_no_higher_count_is_no_occurrence() -> None:
    assert times_and_counts(watched(0, 3), watched(1, 3), watched(40, 2)) == [(0, 3)]


def test_without_the_filter_every_event_goes() -> None:
    [told] = as_published([watched(0, 1, type="Normal", reason="Pulled")], filtered=False)
    assert told.at == NOW


def test_what_was_on_the_wire_already_goes_as_it_is() -> None:
    wire = [Recorded(event(type="Normal", reason="Pulled", count=count), NOW + count * MINUTE) for count in (3, 4)]
    assert list(as_published(wire)) == wire
