import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mosquitto import Mosquitto
from tests.schemas.session_harness import Recorder, broker_at, running
from tests.waiting import until
from tocsin_schemas.topics import (
    CLUSTER_SCOPE,
    EventTopic,
    StatusTopic,
    TopicError,
    event_filter,
    event_topic,
    parse,
    safe_level,
    status_topic,
)

ROOT = "k8s/v1"
#: Any text that Python can hold: half characters, control characters and non-characters too.
HOSTILE = st.text(st.characters()) | st.text(
    st.sampled_from("/+#.*> \t\n\x00\x1f\x7f\x85\ud800\udfff\ufdd0\uffffa🔥\u2028")
)
CLUSTERS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


@given(HOSTILE)
def test_a_level_is_safe_for_mqtt_mosquitto_rabbitmq_and_nats(text: str) -> None:
    level = safe_level(text)
    assert 1 <= len(level) <= 253
    assert not set(level) & set("/+#.*> ")
    assert level == "".join(level.split())
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]", level)
    level.encode("utf-8")


@given(HOSTILE)
def test_making_a_level_safe_again_changes_nothing(text: str) -> None:
    assert safe_level(safe_level(text)) == safe_level(text)


@given(CLUSTERS, st.none() | HOSTILE, HOSTILE, HOSTILE)
def test_what_event_topic_builds_parse_reads_back(
    cluster: str, namespace: str | None, kind: str, reason: str
) -> None:
    topic = event_topic(ROOT, cluster, namespace=namespace, kind=kind, reason=reason)
    scope = CLUSTER_SCOPE if namespace is None else safe_level(namespace)
    assert parse(ROOT, topic) == EventTopic(cluster, scope, safe_level(kind), safe_level(reason))
    assert len(topic.encode("utf-8")) < 65_536


@given(CLUSTERS)
def test_what_status_topic_builds_parse_reads_back(cluster: str) -> None:
    assert parse(ROOT, status_topic(ROOT, cluster)) == StatusTopic(cluster)


@given(st.text(st.characters(), max_size=200))
def test_parse_of_any_text_is_a_topic_or_a_topic_error(text: str) -> None:
    for topic in (text, f"{ROOT}/{text}", f"{ROOT}/edge/event/{text}"):
        try:
            assert isinstance(parse(ROOT, topic), EventTopic | StatusTopic)
        except TopicError:
            continue


def test_ordinary_names_stay_as_they_are() -> None:
    topic = event_topic(ROOT, "edge-042", namespace="kube-system", kind="Pod", reason="BackOff")
    assert topic == "k8s/v1/edge-042/event/kube-system/Pod/BackOff"
    assert status_topic(ROOT, "edge-042") == "k8s/v1/edge-042/status"


def test_names_in_chinese_stay_readable() -> None:
    assert safe_level("磁盘满") == "磁盘满"


def test_a_cluster_scoped_object_has_a_level_that_no_namespace_can_have() -> None:
    assert event_topic(ROOT, "e", namespace=None, kind="Node", reason="R") == "k8s/v1/e/event/_cluster/Node/R"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "k8s/v1",
        "k8s/v1/",
        "k8s/v10/edge/status",
        "other/edge/status",
        "k8s/v1/Edge/status",
        "k8s/v1/-edge/status",
        "k8s/v1/edge\n/status",
        f"k8s/v1/{'a' * 64}/status",
        "k8s/v1/edge/status/",
        "k8s/v1/edge/state",
        "k8s/v1/edge/event",
        "k8s/v1/edge/event/ns/Pod",
        "k8s/v1/edge/event/ns/Pod/Reason/more",
        "k8s/v1/edge/event//Pod/Reason",
        "k8s/v1/edge/event/a.b/Pod/Reason",
    ],
)
def test_a_topic_of_another_form_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        parse(ROOT, topic)


def test_the_filters_are_for_one_cluster_or_for_all() -> None:
    assert (event_filter(ROOT), event_filter(ROOT, "edge-042")) == ("k8s/v1/+/event/#", "k8s/v1/edge-042/event/#")


def test_topics_need_the_standard_library_only() -> None:
    program = (
        "import sys, tocsin_schemas.topics; print([n for n in ('pydantic', 'yaml', 'paho') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"[]\n"


@pytest.mark.broker
def test_mosquitto_carries_the_topic_of_every_hostile_character(mosquitto: Mosquitto) -> None:
    texts = [
        chr(code) for code in (*range(0x250), 0x2028, 0x3000, 0xD800, 0xFDD0, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F525)
    ]
    topics = {event_topic(ROOT, "edge", namespace=text, kind=f"x{text}y", reason=text) for text in texts}
    receiver, sender = Recorder(filters=(event_filter(ROOT),)), Recorder()
    with running(broker_at(mosquitto.port), receiver), running(broker_at(mosquitto.port), sender) as run:
        until(lambda: "SUBACK" in mosquitto.log())
        sender.outbox.extend((topic, b"{}", False) for topic in sorted(topics))
        run.session.wake()
        until(lambda: len(receiver.messages) == len(topics))
    assert {message.topic for _, message in receiver.messages} == topics
    assert sender.lost == ["stopped"]
