from collections.abc import Iterable
from typing import Any

from tests.producer.conftest import Event, event
from tocsin_producer.listed import Listed


def of_node(uid: str, version: int, **changes: Any) -> Event:
    made = event(uid, type="Normal", involvedObject={"kind": "Node", "name": "pi-1"}, **changes)
    made["metadata"] |= {"resourceVersion": str(version), "managedFields": [{"manager": "kubelet"}]}
    return made


def uids(items: Iterable[Any]) -> list[str]:
    return [item["metadata"]["uid"] for item in items]


def test_conditions_wait_for_the_last_page_and_then_come_in_the_order_in_which_they_were_written() -> None:
    listed = Listed()
    assert [*listed.take_page([of_node("down", 12), of_node("start", 3)])] == []
    assert [*listed.take_page([of_node("up", 7)])] == []
    assert uids(listed.take_rest()) == ["start", "up", "down"]
    assert [*listed.take_rest()] == []


def test_all_else_goes_at_once_in_the_order_of_its_page() -> None:
    listed = Listed()
    warning = event("b", type="Warning", involvedObject={"kind": "Node", "name": "pi-1"})
    warning["metadata"]["resourceVersion"] = "10"
    older = event("a")
    older["metadata"]["resourceVersion"] = "9"
    assert uids(listed.take_page([warning, older])) == ["a", "b"]


def test_what_is_put_aside_is_whole_but_for_who_wrote_which_field() -> None:
    item = of_node("up", 7, message="Node pi-1 status is now: NodeReady \ud83d")
    listed = Listed()
    assert [*listed.take_page([item])] == []
    del item["metadata"]["managedFields"]
    assert [*listed.take_rest()] == [item]


def test_beyond_its_bound_the_older_half_goes() -> None:
    listed = Listed(limit=4)
    assert [*listed.take_page([of_node(str(version), version) for version in (5, 4, 3, 2)])] == []
    assert uids(listed.take_page([of_node("1", 1), event("other")])) == ["1", "2", "other"]
    assert uids(listed.take_rest()) == ["3", "4", "5"]


def test_what_is_no_event_object_is_passed_on_as_it_is() -> None:
    odd: list[object] = [
        None,
        7,
        [],
        {},
        {"involvedObject": 7},
        {"involvedObject": {"kind": "Node"}, "metadata": 7},
    ]
    listed = Listed()
    assert [*listed.take_page([*odd])] == odd[:-1]
    assert [*listed.take_rest()] == [{"involvedObject": {"kind": "Node"}, "metadata": {}}]
