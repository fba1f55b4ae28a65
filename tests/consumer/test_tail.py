from zoneinfo import ZoneInfo

from tests.consumer.messages import NOW, ROOT, FakeConnection, event, received
from tocsin_consumer.notification import Notification
from tocsin_consumer.tail import Tail, show_json, show_text


class Sut:
    def __init__(self, cluster: str = "+") -> None:
        self.shown: list[str] = []
        self.complaints: list[str] = []
        self.connection = FakeConnection()
        self.tail = Tail(
            ROOT,
            cluster,
            show=lambda notification: notification.event.uid,
            echo=self.shown.append,
            complain=self.complaints.append,
            clock=lambda: NOW,
        )


def test_the_events_of_all_clusters_or_of_one_are_followed() -> None:
    for cluster, topic_filter in (("+", "k8s/v1/+/event/#"), ("edge-1", "k8s/v1/edge-1/event/#")):
        sut = Sut(cluster)
        sut.tail.on_connected(sut.connection.real, session_present=False)
        assert sut.connection.subscribed == [topic_filter]


def test_an_event_is_shown_and_what_is_none_is_told_and_both_are_acknowledged() -> None:
    sut = Sut()
    sut.tail.on_message(sut.connection.real, received(event(), mid=1))
    sut.tail.on_message(sut.connection.real, received(b"{", at="k8s/v1/\x1bedge", mid=2))
    assert sut.shown == ["uid-1"]
    assert sut.complaints == ["k8s/v1/\\x1bedge: topic names no valid cluster"]
    assert [message.mid for message in sut.connection.acknowledged] == [1, 2]


def test_what_cannot_be_shown_is_told_and_acknowledged() -> None:
    sut = Sut()
    sut.tail._show = lambda _: str(1 // 0)
    sut.tail.on_message(sut.connection.real, received(event()))
    assert sut.complaints == ["k8s/v1/edge-1/event/production/Pod/BackOff: cannot be shown: ZeroDivisionError"]
    assert len(sut.connection.acknowledged) == 1


def test_a_version_of_control_characters_does_nothing_to_a_terminal() -> None:
    sut = Sut()
    sut.tail.on_message(sut.connection.real, received(b'{"v":"\\u001b[2J\\nFAKE ERROR"}'))
    assert sut.complaints == [
        "k8s/v1/edge-1/event/production/Pod/BackOff: v: expected the version, a small whole number"
    ]


def test_json_is_the_wires_on_one_line_without_what_acts_on_a_terminal() -> None:
    hostile = event(msg="a\x9b31m\nb\x1b")
    line = show_json(Notification(hostile, NOW))
    assert "\x9b" not in line
    assert "\n" not in line
    assert type(hostile).model_validate_json(line) == hostile


def test_text_is_what_a_stdout_receiver_writes() -> None:
    text = show_text(ZoneInfo("Asia/Shanghai"), "en")(Notification(event(last=1_795_420_000), NOW))
    assert text.startswith("2026-11-23 15:46:40 warning")
    assert "production/api-0" in text
