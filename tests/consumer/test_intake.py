import pytest

from tests.consumer.messages import NOW, ROOT, FakeClock, FakeConnection, event, received
from tocsin_consumer.decode import PAYLOAD_LIMIT
from tocsin_consumer.inbox import Inbox
from tocsin_consumer.intake import READ_PAUSE_SECONDS, Intake, Uplink
from tocsin_schemas.session import ConnectionLostError


class Sut:
    def __init__(self, *, room: int = 10) -> None:
        self.inbox = Inbox(messages=room)
        self.intake = Intake(ROOT, self.inbox, clock=lambda: NOW)
        self.connection = self.connect()

    def connect(self, *, session_present: bool = True) -> FakeConnection:
        connection = FakeConnection()
        self.intake.on_connected(connection.real, session_present=session_present)
        return connection

    def receive(self, *numbers: int) -> None:
        for number in numbers:
            message = received(event(uid=f"u{number}"), mid=number)
            self.intake.on_message(self.connection.real, message)

    def store(self) -> None:
        self.intake.hand_back(self.inbox.take(100, timeout=0))

    def acknowledged(self) -> list[int]:
        return [message.mid for message in self.connection.acknowledged]


def test_events_and_statuses_of_all_clusters_are_subscribed() -> None:
    assert Sut().connection.subscribed == ["k8s/v1/+/event/#", "k8s/v1/+/status"]


def test_a_message_is_acknowledged_when_it_is_stored_and_not_before() -> None:
    sut = Sut()
    sut.receive(1, 2)
    sut.intake.on_turn(sut.connection.real)
    assert sut.acknowledged() == []
    sut.store()
    assert sut.acknowledged() == []
    assert not sut.intake.is_idle()
    sut.intake.on_turn(sut.connection.real)
    assert sut.acknowledged() == [1, 2]
    assert sut.intake.is_idle()


def test_what_came_over_an_earlier_connection_is_stored_and_not_acknowledged() -> None:
    sut = Sut()
    sut.receive(1)
    sut.intake.on_disconnected("broken pipe")
    sut.connection = sut.connect()
    sut.receive(2)
    assert len(sut.inbox) == 2
    sut.store()
    sut.intake.on_turn(sut.connection.real)
    assert sut.acknowledged() == [2]


def test_a_stopping_session_acknowledges_what_is_stored() -> None:
    sut = Sut()
    sut.receive(1)
    sut.store()
    sut.intake.on_stopping(sut.connection.real)
    assert sut.acknowledged() == [1]


def test_after_a_message_that_found_no_room_none_is_taken_lest_it_overtakes() -> None:
    sut = Sut(room=1)
    sut.receive(1, 2, 3)
    sut.store()
    sut.receive(4)
    assert len(sut.inbox) == 0


def test_once_a_full_inbox_is_empty_a_new_connection_asks_for_what_did_not_fit() -> None:
    sut = Sut(room=1)
    sut.receive(1, 2, 3)
    sut.intake.on_turn(sut.connection.real)
    sut.store()
    with pytest.raises(ConnectionLostError, match="more came than the inbox holds"):
        sut.intake.on_turn(sut.connection.real)
    assert sut.acknowledged() == [1, 2]
    sut.connection = sut.connect()
    sut.receive(3)
    assert len(sut.inbox) == 1


def test_while_the_inbox_is_full_the_session_reads_nothing_more_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    sut = Sut(room=2)
    monkeypatch.setattr(sut.inbox, "wait_for_room", waits.append)
    sut.intake.on_turn(sut.connection.real)
    assert waits == [READ_PAUSE_SECONDS]


def test_a_closed_intake_takes_nothing_more_in_and_lets_the_session_be() -> None:
    sut = Sut(room=1)
    sut.receive(1, 2, 3)
    sut.intake.close()
    sut.store()
    sut.intake.on_turn(sut.connection.real)
    sut.receive(4)
    assert len(sut.inbox) == 0
    assert sut.acknowledged() == [1, 2]


def test_a_payload_beyond_all_bounds_takes_no_more_room_than_it_needs_to_be_seen_as_one() -> None:
    sut = Sut()
    sut.intake.on_message(sut.connection.real, received(b"x" * (2 * PAYLOAD_LIMIT)))
    assert len(sut.inbox.take(1, timeout=0)[0].message.payload) == PAYLOAD_LIMIT + 1


def test_the_connection_is_known_as_long_as_it_lasts() -> None:
    clock = FakeClock()
    intake = Intake(ROOT, Inbox(), monotonic=clock.monotonic)
    seen = [intake.uplink]
    for session_present in (True, False):
        intake.on_connected(FakeConnection().real, session_present=session_present)
        seen.append(intake.uplink)
        intake.on_disconnected("broken pipe")
        seen.append(intake.uplink)
    assert seen == [None, Uplink(1000.0, resumed=True), None, Uplink(1000.0, resumed=False), None]
    assert intake.connections == 2


def test_a_broker_that_forgot_the_session_is_warned_of_but_not_at_the_first_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sut = Sut()
    Sut().connect(session_present=True)
    assert caplog.messages == []
    sut.connect(session_present=False)
    assert caplog.messages == ["the broker has forgotten our session, and with it what it held for us"]
