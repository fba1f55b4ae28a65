import json

from tests.producer.conftest import event
from tocsin_producer.event import read_event
from tocsin_producer.payload import event_payload, numbered, status_payload


def test_the_payload_is_one_compact_object_with_its_fields_in_a_readable_order() -> None:
    payload = numbered(event_payload(read_event(event()), "edge-042", message_limit=1024), boot=17, seq=812)
    assert payload.decode() == (
        '{"v":1,"cluster":"edge-042","type":"Warning","reason":"BackOff","kind":"Pod","ns":"shop",'
        '"name":"api-7c9","field":"spec.containers{api}","msg":"Back-off restarting failed container",'
        '"count":3,"first":1795428000,"last":1795428300,"from":"kubelet","node":"pi-3","uid":"uid-1",'
        '"boot":17,"seq":812}'
    )


def test_what_an_event_does_not_have_is_absent_and_never_null() -> None:
    state = read_event(event(involvedObject={"kind": "Node", "name": "pi-1"}))
    assert not {"ns", "field"} & json.loads(event_payload(state, "edge-042", message_limit=1024)).keys()


def test_a_long_message_is_cut_to_the_limit_and_says_so() -> None:
    state = read_event(event(message="x" * 2000))
    message = json.loads(event_payload(state, "edge-042", message_limit=100))["msg"]
    assert message == "x" * 99 + "…"


def test_a_message_of_the_limit_is_whole() -> None:
    state = read_event(event(message="é" * 100))
    assert json.loads(event_payload(state, "edge-042", message_limit=100))["msg"] == "é" * 100


def test_text_stays_readable_in_utf8() -> None:
    assert '"msg":"磁盘满 🔥"' in event_payload(
        read_event(event(message="磁盘满 🔥")), "edge-042", message_limit=1024
    )


def test_a_status_leaves_out_what_is_not_known_yet() -> None:
    assert status_payload("edge-042", "online", boot=17, k8s=None) == (
        b'{"v":1,"cluster":"edge-042","state":"online","boot":17}'
    )
