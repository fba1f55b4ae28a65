import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from tests.producer.conftest import message
from tocsin_producer.answers import PATIENCE_SECONDS
from tocsin_producer.budget import Budget
from tocsin_producer.database import Database
from tocsin_producer.link import STATE_PAUSE_SECONDS, WINDOW, Link
from tocsin_producer.message import CONDITION_SEVERITY, Message
from tocsin_producer.outbox import Outbox
from tocsin_producer.rivalry import FIRST_LOOK_SECONDS, LOOK_SECONDS
from tocsin_producer.settling import SETTLE_PAUSE_SECONDS, SETTLE_SECONDS
from tocsin_producer.status import OVERWRITTEN_PAUSE_SECONDS, RETELL_SECONDS, OwnStatus
from tocsin_producer.suspects import PAUSES_SECONDS, STREAK
from tocsin_producer.traffic import TRAFFIC_PAUSE_SECONDS
from tocsin_schemas.session import Connection, ConnectionLostError, Received

STATUS = "k8s/v1/edge-042/status"


@dataclass
class FakeConnection:
    """Notes what is published and leaves the answers to the test."""

    published: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)
    acknowledged: list[Received] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    unheard: set[int] = field(default_factory=set)
    receive_maximum: int = 65_535
    took: int = 0

    def look(self, topic: str) -> None:
        self.looked.append(topic)

    def traffic(self) -> int:
        return self.took

    def was_unheard(self, mid: int) -> bool:
        return mid in self.unheard

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        if topic == "impossible":
            raise ValueError("Invalid topic.")
        self.published.append((topic, json.loads(payload), retain))
        return len(self.published)

    def acknowledge(self, received: Received) -> None:
        self.acknowledged.append(received)

    def events(self) -> list[dict[str, Any]]:
        return [payload for topic, payload, _ in self.published if topic != STATUS]

    def statuses(self) -> list[dict[str, Any]]:
        return [payload for topic, payload, retain in self.published if topic == STATUS and retain]


class Bench:
    """A link with an outbox, a clock and a connection that stands still."""

    def __init__(self, *, max_messages: int = 1000, bytes_per_day: int | None = None) -> None:
        self.outbox = Outbox(Database(None), max_messages=max_messages, max_bytes=10**9)
        self.time = 0.0
        self.leaves: list[None] = []
        self.due_seconds: float | None = None
        self.budget = Budget(None, bytes_per_day=bytes_per_day, now=self.clock)
        self.status = OwnStatus(
            "edge-042",
            17,
            self.outbox,
            budget=self.budget,
            clock=self.clock,
            now=lambda: 1000.0,
            uniform=lambda _low, high: high,
        )
        self.link = Link(
            self.outbox,
            self.status,
            status_topic=STATUS,
            leave=lambda: self.leaves.append(None),
            release=lambda: self.due_seconds,
            budget=self.budget,
            clock=self.clock,
        )
        self.fake = FakeConnection()

    def clock(self) -> float:
        return self.time

    @property
    def connection(self) -> Connection:
        return cast("Connection", self.fake)

    def connect(self) -> None:
        """Connect, as after a break if there was a connection before."""
        has_told = self.link._rivalry.has_told
        self.fake = FakeConnection()
        self.link.on_connected(self.connection, session_present=False)
        if not has_told:  # let it find nothing
            self.time += FIRST_LOOK_SECONDS
            self.link.on_turn(self.connection)

    def tell(self) -> None:
        """Let the broker take all statuses that are under way."""
        for mid, (topic, _, _) in enumerate(self.fake.published, start=1):
            if topic == STATUS:
                self.answer(mid)

    def find(self, boot: int, state: str = "online", *, retained: bool = True) -> None:
        """Have a status come from the topic that we look at."""
        payload = json.dumps({"v": 1, "cluster": "edge-042", "state": state, "boot": boot}).encode()
        self.link.on_message(self.connection, Received(STATUS, payload, 0, retained))

    def put(self, *uids: str) -> None:
        for uid in uids:
            self.outbox.put(message(uid, payload=f'{{"uid":"{uid}"}}'))

    def turn(self) -> list[str]:
        """Take a turn and return the uids that went out in it."""
        before = len(self.fake.events())
        self.link.on_turn(self.connection)
        return [payload["uid"] for payload in self.fake.events()[before:]]

    def answer(self, mid: int, refusal: str | None = None) -> None:
        self.link.on_acknowledged(self.connection, mid, refusal)

    def refusal(self) -> str | None:
        return self.link.refusal


def test_it_tells_that_it_is_there_when_it_connects() -> None:
    bench = Bench()
    bench.status.kubernetes_version = "v1.32.1+k3s1"
    bench.connect()
    (status,) = bench.fake.statuses()
    assert status["state"] == "online"
    assert (status["boot"], status["since"], status["k8s"]) == (17, 1000, "v1.32.1+k3s1")
    assert (status["waiting"], status["lost"]) == (0, 0)


def test_the_will_is_the_offline_form_of_the_status() -> None:
    will = Bench().link.will()
    assert will.topic == STATUS
    assert json.loads(will.payload)["state"] == "offline"


def test_messages_are_numbered_in_the_order_they_leave() -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.turn()
    assert [(event["boot"], event["seq"]) for event in bench.fake.events()] == [(17, 1), (17, 2)]


def test_only_a_window_of_messages_is_under_way() -> None:
    bench = Bench()
    bench.put(*(f"{number:03}" for number in range(WINDOW + 5)))
    assert len(bench.turn()) == WINDOW
    assert bench.turn() == []
    for mid in range(1, WINDOW // 2 + 1):
        assert bench.turn() == []  # many at a time cost less than one at a time
        bench.answer(mid)
    assert bench.turn() == [f"{WINDOW + number:03}" for number in range(5)]


@pytest.mark.parametrize(("limit", "window"), [(10, 9), (1, 1), (WINDOW + 1, WINDOW), (65_535, WINDOW)])
def test_no_more_is_under_way_than_the_broker_takes_and_a_status_still_finds_room(limit: int, window: int) -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    bench.fake.receive_maximum = limit
    bench.put(*(f"{number:03}" for number in range(2 * WINDOW)))
    assert len(bench.turn()) == window


def test_an_acknowledged_message_leaves_the_outbox() -> None:
    bench = Bench()
    bench.put("a")
    bench.turn()
    bench.answer(1)
    assert (bench.outbox.waiting, bench.link.counters.published) == (0, 1)


def test_after_a_break_what_the_broker_may_not_have_written_goes_out_again_with_its_number() -> None:
    """Mosquitto acknowledges before it writes: what it forgot when it was killed, nobody else has."""
    bench = Bench()
    bench.put("a", "b", "c")
    bench.turn()
    bench.answer(1)
    bench.time += SETTLE_SECONDS - 1
    bench.answer(2)
    bench.time += 1 + SETTLE_PAUSE_SECONDS
    assert bench.turn() == []
    bench.link.on_disconnected("cut")
    bench.fake = FakeConnection()
    assert bench.turn() == ["b", "c"]
    assert [event["seq"] for event in bench.fake.events()] == [2, 3]


def test_what_the_broker_has_acknowledged_does_not_wait_and_is_settled_when_we_stop() -> None:
    bench = Bench()
    bench.connect()
    bench.put("a")
    bench.tell()
    bench.turn()
    bench.answer(2)
    assert bench.outbox.waiting == 0
    assert (bench.link.on_turn(bench.connection) or 0) <= SETTLE_SECONDS + SETTLE_PAUSE_SECONDS
    bench.link.on_stopping(bench.connection)
    bench.link.on_disconnected("stopped")
    assert (bench.outbox.waiting, bench.outbox.bytes) == (0, 0)


def test_a_refused_message_keeps_its_number_so_that_no_loss_shows_which_is_none() -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.turn()
    bench.answer(1, "Quota exceeded")
    bench.answer(2, "Quota exceeded")
    bench.time += 120
    bench.turn()
    bench.answer(3)
    bench.turn()
    assert [event["seq"] for event in bench.fake.events()] == [1, 2, 1, 2]


def test_one_that_is_refused_for_ever_leaves_no_gap_in_the_numbers_of_what_is_taken() -> None:
    bench = Bench()
    bench.put("denied", "a", "b")
    bench.turn()
    bench.answer(1, "Not authorized")
    bench.answer(2)
    bench.answer(3)
    bench.put("c", "d")
    bench.time += 1
    assert bench.turn() == ["c", "d"]
    bench.answer(4)
    bench.answer(5)
    bench.time += PAUSES_SECONDS[1]
    assert bench.turn() == ["denied"]
    taken = [event["seq"] for event in bench.fake.events() if event["uid"] != "denied"]
    assert sorted(taken) == [1, 2, 3, 4]
    bench.answer(6, "Not authorized")
    bench.put("e")
    assert bench.turn() == ["e"]
    assert bench.fake.events()[-1]["seq"] == 5


def test_an_acknowledgement_of_an_earlier_connection_means_nothing() -> None:
    bench = Bench()
    bench.put("a")
    bench.turn()
    bench.link.on_disconnected("cut")
    bench.answer(1)
    assert bench.outbox.waiting == 1


def test_a_refused_message_waits_and_goes_out_again_later(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.put("a")
    bench.turn()
    with caplog.at_level(logging.WARNING):
        bench.answer(1, "Not authorized")
    assert bench.turn() == []
    assert "Not authorized; may this account write below k8s/v1/edge-042/?" in caplog.text
    bench.time += 60
    assert bench.turn() == ["a"]
    bench.answer(2)
    assert (bench.outbox.waiting, bench.link.counters.refused, bench.link.counters.published) == (0, 1, 1)


def test_a_window_full_of_messages_that_the_broker_refuses_for_ever_keeps_no_others_back() -> None:
    bench = Bench()
    denied = [f"denied-{number:02}" for number in range(WINDOW)]
    bench.put(*denied, "allowed")
    assert bench.turn() == denied
    for mid in range(1, WINDOW + 1):
        bench.answer(mid, "Not authorized")
    bench.time += 1  # the first step of the pauses, however many there were in the burst
    assert bench.turn() == ["allowed"]
    bench.answer(WINDOW + 1)
    bench.time += PAUSES_SECONDS[1]
    assert bench.turn() == denied[:1]


def test_what_is_refused_again_after_it_was_held_back_makes_nothing_else_wait() -> None:
    bench = Bench()
    bench.put("denied")
    for mid in range(1, len(PAUSES_SECONDS)):
        assert bench.turn() == ["denied"]
        bench.answer(mid, "Not authorized")
        bench.time += PAUSES_SECONDS[mid]
    assert bench.turn() == ["denied"]
    bench.answer(len(PAUSES_SECONDS), "Not authorized")
    bench.put("a")
    assert bench.turn() == ["a"]
    assert (bench.outbox.lost, bench.link.counters.refused) == (0, len(PAUSES_SECONDS))


def refused_in_a_row(bench: Bench, *uids: str) -> None:
    for uid in uids:
        bench.put(uid)
        assert bench.turn() == [uid]
        bench.answer(len(bench.fake.published), "Quota exceeded")
        assert bench.turn() == []
        bench.time += 2 ** uids.index(uid)


def test_a_streak_of_refusals_warns_once_and_slows_down(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    refused_in_a_row(bench, "a", "b", "c")
    bench.put("d")
    assert bench.turn() == ["d"]
    bench.answer(4, "Quota exceeded")
    bench.put("e")
    bench.time += 3.9  # the pause is at least half of 8 seconds
    assert bench.turn() == []
    assert caplog.text.count("Quota exceeded") == 1


def test_a_message_that_is_taken_ends_the_streak_of_refusals() -> None:
    bench = Bench()
    refused_in_a_row(bench, "a", "b", "c")
    bench.put("d")
    bench.turn()
    bench.answer(4)
    refused_in_a_row(bench, "e")
    bench.put("f")
    assert bench.turn() == ["f"]


@pytest.mark.parametrize("refusal", ["Topic name invalid", "Packet too large", "Payload format invalid"])
def test_a_message_that_the_broker_will_never_take_is_given_up_and_counted(
    refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.put("a")
    bench.turn()
    bench.answer(1, refusal)
    assert (dict(bench.outbox.losses), bench.outbox.waiting) == ({"room": 0, "size": 1}, 0)
    assert (bench.link.refusal, bench.link.counters.refused) == (None, 1)
    assert f"gave up t: refused by the broker: {refusal}" in caplog.text


def test_as_long_as_something_is_refused_it_can_be_seen_what_and_why() -> None:
    bench = Bench()
    bench.connect()
    bench.answer(1, "Quota exceeded")
    assert bench.refusal() == "the status: Quota exceeded"
    bench.time += RETELL_SECONDS
    bench.turn()
    bench.answer(2)
    assert bench.refusal() is None
    bench.put("a", "b")
    bench.turn()
    bench.answer(3, "Not authorized")
    bench.answer(4)
    assert bench.refusal() == "1 of the events that wait: Not authorized"
    bench.time += PAUSES_SECONDS[1]
    bench.turn()
    bench.answer(5)
    assert bench.refusal() is None


def test_a_message_that_mqtt_cannot_carry_is_given_up_and_told() -> None:
    bench = Bench()
    bench.outbox.put(Message("a", 1, 1, "impossible", "{}"))
    bench.put("b")
    assert bench.turn() == ["b"]
    assert (bench.outbox.lost, bench.outbox.waiting) == (1, 1)
    assert bench.fake.statuses()[-1]["lost"] == 1


def test_a_loss_is_told_in_the_status_once() -> None:
    bench = Bench(max_messages=1)
    bench.put("a", "b")
    bench.turn()
    bench.turn()
    assert [status["lost"] for status in bench.fake.statuses()] == [1]


def test_in_a_storm_of_losses_the_status_is_told_once_a_minute() -> None:
    bench = Bench(max_messages=1)
    for number in range(120):
        bench.put(f"a{number}", f"b{number}")
        bench.turn()
        bench.time += 1
    assert 2 <= len(bench.fake.statuses()) <= 3


def test_the_version_of_the_api_server_is_told_as_soon_as_it_is_known() -> None:
    bench = Bench()
    bench.connect()
    bench.status.kubernetes_version = "v1.36.2"
    bench.turn()
    bench.turn()
    assert [status.get("k8s") for status in bench.fake.statuses()] == [None, "v1.36.2"]


def test_it_says_goodbye_and_waits_until_the_broker_has_heard_it() -> None:
    bench = Bench()
    assert bench.link.is_idle()
    bench.link.on_stopping(bench.connection)
    assert bench.fake.statuses()[-1]["state"] == "offline"
    assert not bench.link.is_idle()
    bench.answer(1)
    assert bench.link.is_idle()


def test_after_its_goodbye_it_does_not_say_that_it_is_there() -> None:
    bench = told(max_messages=1)
    bench.link.on_stopping(bench.connection)
    bench.find(17)
    bench.time += RETELL_SECONDS
    bench.put("a", "b")
    bench.turn()
    assert [status["state"] for status in bench.fake.statuses()] == ["offline"]


def test_a_link_is_not_idle_while_something_waits() -> None:
    bench = Bench()
    bench.put("a")
    assert not bench.link.is_idle()


def test_what_nobody_asked_for_is_acknowledged() -> None:
    bench = Bench()
    received = Received("t", b"", 7, retained=False)
    bench.link.on_message(bench.connection, received)
    assert bench.fake.acknowledged == [received]


def told(**options: Any) -> Bench:
    """Return a bench whose status the broker has had, and which is now connected anew."""
    bench = Bench(**options)
    bench.connect()
    bench.tell()
    bench.link.on_disconnected("cut")
    bench.connect()
    return bench


def test_at_its_first_connect_it_looks_for_a_moment_since_there_may_be_nothing() -> None:
    bench = Bench()
    bench.link.on_connected(bench.connection, session_present=False)
    assert bench.fake.looked == [STATUS]
    assert bench.link.on_turn(bench.connection) == FIRST_LOOK_SECONDS
    assert bench.fake.statuses() == []
    bench.time += FIRST_LOOK_SECONDS
    bench.link.on_turn(bench.connection)
    assert len(bench.fake.statuses()) == 1


def test_at_its_first_connect_it_tells_nothing_as_a_boot_that_is_outdated() -> None:
    bench = Bench()
    bench.link.on_connected(bench.connection, session_present=False)
    bench.find(17, "offline")
    bench.time += FIRST_LOOK_SECONDS
    bench.turn()
    assert (bench.link.outdated_by, bench.fake.published) == (17, [])


def test_when_it_reconnects_it_looks_before_it_tells_and_hands_over_nothing_meanwhile() -> None:
    bench = told()
    bench.put("a")
    assert bench.turn() == []
    assert bench.fake.statuses() == []
    bench.find(17, "offline")
    assert [status["state"] for status in bench.fake.statuses()] == ["online"]
    assert bench.turn() == ["a"]


def test_what_waited_when_the_link_came_back_is_told_with_the_status() -> None:
    bench = told()
    bench.put(*(f"held-{number}" for number in range(40)))
    bench.find(17, "offline")
    bench.turn()
    assert [status["waiting"] for status in bench.fake.statuses()] == [40]


def test_a_later_boot_that_tells_again_after_us_ends_our_session_without_a_word() -> None:
    bench = told()
    bench.find(18)
    bench.tell()
    bench.link.on_disconnected("cut")
    bench.connect()
    bench.put("a")
    bench.find(18)
    assert (bench.link.superseded_by, len(bench.leaves)) == (18, 1)
    assert bench.turn() == []
    assert bench.link.is_idle()
    bench.link.on_stopping(bench.connection)
    assert bench.fake.published == []


def test_an_earlier_boot_that_tells_again_after_us_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = told()
    for _ in range(5):
        bench.find(16)
        bench.tell()
        bench.link.on_disconnected("cut")
        bench.connect()
    assert bench.link.superseded_by is None
    assert len(caplog.records) == 1
    assert "of an earlier boot (16) than ours (17)" in caplog.text


def test_a_boot_that_an_earlier_producer_is_ahead_of_goes_on_as_a_later_one() -> None:
    bench = Bench()
    bench.connect()
    bench.find(4_000_000_000, "offline")
    assert (bench.link.outdated_by, len(bench.leaves)) == (4_000_000_000, 1)
    bench.link.begin_boot(4_000_000_001)
    bench.link.on_disconnected("stopped")
    bench.connect()
    bench.put("a")
    bench.find(4_000_000_000, "offline")
    assert bench.turn() == []
    bench.tell()
    assert bench.fake.statuses()[0]["boot"] == 4_000_000_001
    assert json.loads(bench.link.will().payload)["boot"] == 4_000_000_001
    bench.turn()
    assert bench.link.outdated_by is None
    assert (bench.fake.events()[0]["boot"], bench.fake.events()[0]["seq"]) == (4_000_000_001, 1)


def test_where_it_may_not_read_its_status_it_goes_on_after_a_while_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = told()
    bench.put("a")
    assert bench.link.on_turn(bench.connection) == LOOK_SECONDS
    bench.time += LOOK_SECONDS
    assert bench.turn() == ["a"]
    assert len(bench.fake.statuses()) == 1
    bench.tell()
    bench.link.on_disconnected("cut")
    bench.connect()
    assert bench.fake.looked == []
    assert bench.turn() == ["a"]
    assert caplog.text.count("cannot read") == 1


def test_a_broker_that_has_forgotten_what_was_retained_is_no_reason_to_stop_looking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    bench.find(17, retained=False)  # our own, as it comes to who listens
    for _ in range(3):
        bench.link.on_disconnected("restarted")
        bench.connect()
        assert bench.fake.looked == [STATUS]
        bench.time += LOOK_SECONDS
        bench.turn()
        bench.tell()
    assert caplog.text == ""


def test_a_broker_that_hangs_up_on_who_looks_is_used_without_looking() -> None:
    bench = Bench()
    bench.connect()
    assert bench.fake.looked == [STATUS]
    bench.link.on_disconnected("hung up")
    bench.connect()
    assert bench.fake.looked == []
    assert len(bench.fake.statuses()) == 1


@pytest.mark.parametrize("payload", [b"", b"nonsense", b'{"boot":"x"}'])
def test_what_is_no_status_ends_the_look_and_nothing_else(payload: bytes) -> None:
    bench = told()
    bench.link.on_message(bench.connection, Received(STATUS, payload, 0, retained=True))
    assert len(bench.fake.statuses()) == 1
    assert bench.leaves == []


def test_the_first_events_of_a_boot_wait_until_the_broker_has_answered_the_status() -> None:
    bench = Bench()
    bench.connect()
    bench.put("a")
    assert bench.turn() == []
    bench.answer(1, "Not authorized")
    bench.time += 60
    assert bench.turn() == ["a"]


def test_an_event_that_nobody_gets_counts_as_published_and_as_unheard_and_is_said_once_per_streak(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.put("a", "b", "c", "d")
    bench.fake.unheard = {1, 2, 4}
    bench.turn()
    for mid in (1, 2, 3, 4):
        bench.answer(mid)
    assert (bench.link.counters.published, bench.link.counters.unheard) == (4, 3)
    assert bench.outbox.waiting == 0
    assert caplog.text.count("nobody subscribes") == 2
    assert caplog.text.count("heard again, after 2") == 1


def test_statuses_count_as_sent_bytes() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    sent = bench.link.counters.bytes
    assert sent > len(STATUS) + 50
    bench.time += RETELL_SECONDS
    bench.turn()
    assert bench.link.counters.bytes == 2 * sent


def test_while_it_is_connected_it_tells_its_status_again_every_hour() -> None:
    bench = Bench()
    bench.connect()
    for _ in range(5):
        bench.turn()
        bench.tell()
        rest = bench.link.on_turn(bench.connection)
        assert rest is not None
        assert rest <= RETELL_SECONDS
        bench.time += rest
    assert len(bench.fake.statuses()) == 5


@pytest.mark.parametrize(
    "payload",
    [b"", b"nonsense", b'{"boot":17,"state":"offline"}', b'{"boot":16,"state":"offline"}'],
    ids=["removed", "nonsense", "our own will", "that of an earlier boot"],
)
def test_a_status_that_was_removed_or_overwritten_is_told_again_soon(payload: bytes) -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    bench.link.on_message(bench.connection, Received(STATUS, payload, 0, retained=False))
    assert bench.link.on_turn(bench.connection) == OVERWRITTEN_PAUSE_SECONDS
    bench.time += OVERWRITTEN_PAUSE_SECONDS
    bench.turn()
    assert [status["state"] for status in bench.fake.statuses()] == ["online", "online"]


def test_its_own_status_that_comes_back_and_one_found_at_a_look_are_no_reason_to_tell_it_again() -> None:
    bench = told()
    bench.time += LOOK_SECONDS
    bench.turn()
    bench.tell()
    bench.find(17, "offline")  # late: it was there before we told ours
    bench.find(17, retained=False)
    assert (bench.link.on_turn(bench.connection) or 0) > OVERWRITTEN_PAUSE_SECONDS


def test_a_break_that_we_make_ourselves_makes_nothing_suspect() -> None:
    bench = Bench()
    bench.put("a", "b")
    for boot in range(17, 17 + STREAK):
        bench.connect()
        bench.tell()
        assert bench.turn() == ["a", "b"]
        bench.find(boot + 1, retained=False)
        assert bench.link.superseded_by == boot + 1
        bench.link.on_disconnected("stopped")
        bench.link.begin_boot(boot + 1)
    bench.connect()
    bench.tell()
    assert bench.turn() == ["a", "b"]


def test_the_numbers_of_a_later_boot_begin_anew() -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.turn()
    bench.answer(1)
    bench.answer(2)
    bench.time += SETTLE_SECONDS + SETTLE_PAUSE_SECONDS
    bench.turn()
    bench.link.on_disconnected("stopped")
    bench.link.begin_boot(18)
    bench.connect()
    bench.tell()
    bench.put("c")
    bench.turn()
    assert [(event["boot"], event["seq"]) for event in bench.fake.events()] == [(18, 1)]


def put_condition(bench: Bench, reason: str, count: int = 1) -> None:
    payload = json.dumps({"uid": reason})
    bench.outbox.put(message(reason, count, severity=CONDITION_SEVERITY, payload=payload, node="pi-1"))


def settle_down(bench: Bench) -> None:
    """Let time pass and the broker take what comes, until all is told."""
    while bench.outbox.waiting:
        bench.time += 10
        bench.turn()
        bench.tell()
        for mid in list(bench.link._in_flight):
            bench.answer(mid)


def test_a_refused_condition_holds_back_the_later_ones_of_its_node() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    put_condition(bench, "NodeReady")
    assert bench.turn() == ["NodeReady"]
    bench.answer(len(bench.fake.published), "Quota exceeded")
    put_condition(bench, "NodeNotReady")
    bench.put("a")
    bench.time += 5
    assert bench.turn() == ["a"]
    settle_down(bench)
    assert [event["uid"] for event in bench.fake.events()] == ["NodeReady", "a", "NodeReady", "NodeNotReady"]


def test_conditions_of_one_node_that_are_all_refused_are_tried_ever_more_rarely() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    put_condition(bench, "NodeReady")
    refuse_all(bench, until=5)
    put_condition(bench, "NodeNotReady")
    put_condition(bench, "NodeReady", 2)
    refuse_all(bench, until=4 * 3600)
    assert {event["uid"] for event in bench.fake.events()} == {"NodeReady", "NodeNotReady"}
    assert len(bench.fake.events()) < 2 * (len(PAUSES_SECONDS) + 4 * 3600 / PAUSES_SECONDS[-1])


def refuse_all(bench: Bench, *, until: float) -> None:
    """Be a broker that takes statuses and no events."""
    while bench.time < until:
        bench.turn()
        bench.tell()
        for mid in list(bench.link._in_flight):
            bench.answer(mid, "Quota exceeded")
        bench.time += 1


def test_a_condition_that_is_refused_for_good_while_others_are_taken_makes_way_for_the_newer_ones() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    for reason in ("NodeReady", "NodeNotReady", "NodeHasDiskPressure"):
        put_condition(bench, reason)
    while bench.outbox.waiting and bench.time < 6 * 3600:
        bench.put(f"warning-{bench.time}")
        take_all_but(bench, "NodeReady")
    assert told_conditions(bench)[-2:] == ["NodeNotReady", "NodeHasDiskPressure"]
    assert dict(bench.outbox.losses) == {"room": 0, "size": 1}
    assert 3600 < bench.time < 2 * 3600


def test_a_condition_that_is_refused_while_nothing_is_taken_or_nothing_waits_for_it_is_not_given_up() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    put_condition(bench, "NodeReady")
    put_condition(bench, "NodeNotReady")
    refuse_all(bench, until=12 * 3600)
    assert (bench.outbox.lost, bench.outbox.waiting) == (0, 2)
    while bench.time < 24 * 3600:
        bench.put(f"warning-{bench.time}")
        take_all_but(bench, "NodeNotReady")
    assert (bench.outbox.lost, bench.outbox.waiting) == (0, 1)


def take_all_but(bench: Bench, refused: str) -> None:
    bench.turn()
    bench.tell()
    for mid, sent in list(bench.link._in_flight.items()):
        bench.answer(mid, "Not authorized" if sent.message.uid == refused else None)
    bench.time += 5


def told_conditions(bench: Bench) -> list[str]:
    return [event["uid"] for event in bench.fake.events() if event["uid"].startswith("Node")]


def test_what_is_held_back_has_its_turn_though_others_leave_without_a_pause() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    put_condition(bench, "NodeReady")
    bench.turn()
    bench.answer(len(bench.fake.published), "Quota exceeded")
    for number in range(200):
        bench.put(f"warning-{number}-a", f"warning-{number}-b")
        bench.turn()
        for mid in sorted(bench.link._in_flight)[:1]:
            bench.answer(mid)
        bench.time += 0.2
    assert told_conditions(bench) == ["NodeReady", "NodeReady"]


@pytest.mark.parametrize("topic", ["impossible", "t"])
def test_what_waits_for_a_condition_that_cannot_go_does_not_wait_for_the_next_wake(topic: str) -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    bench.outbox.put(Message("x", 1, CONDITION_SEVERITY, topic, "{}", "pi-1"))
    put_condition(bench, "NodeReady")
    if topic == "t":
        bench.turn()
        bench.answer(len(bench.fake.published), "Packet too large")
    else:
        assert bench.link.on_turn(bench.connection) == 0
    assert bench.turn() == ["NodeReady"]


def test_breaks_right_after_a_start_let_no_condition_pass_an_older_one() -> None:
    bench = Bench()
    put_condition(bench, "NodeNotReady")
    for _ in range(STREAK - 1):
        bench.connect()
        bench.time += LOOK_SECONDS
        gone = bench.turn()
        bench.tell()
        assert gone + bench.turn() == ["NodeNotReady"]
        bench.link.on_disconnected("5G")
    put_condition(bench, "NodeReady")
    bench.connect()
    settle_down(bench)
    assert [event["uid"] for event in bench.fake.events()] == ["NodeNotReady", "NodeReady"]


def test_a_message_whose_answer_never_comes_goes_again_on_a_new_connection() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    bench.put("lost", "b")
    assert bench.turn() == ["lost", "b"]
    bench.answer(len(bench.fake.published))
    bench.time += PATIENCE_SECONDS - 1
    assert bench.link.on_turn(bench.connection) == 1
    bench.time += 1
    with pytest.raises(ConnectionLostError, match="without an answer"):
        bench.turn()
    bench.link.on_disconnected("no answer")
    bench.connect()
    bench.time += LOOK_SECONDS
    gone = bench.turn()
    bench.tell()
    assert "lost" in gone + bench.turn()


def test_a_connection_whose_first_status_is_not_answered_ends() -> None:
    bench = Bench()
    bench.connect()
    bench.time += PATIENCE_SECONDS
    with pytest.raises(ConnectionLostError):
        bench.turn()


def test_what_was_refused_and_is_not_urgent_waits_for_the_next_day_when_the_budget_nears_its_end() -> None:
    bench = Bench(bytes_per_day=1000)
    bench.connect()
    bench.tell()
    bench.put("a")
    assert bench.turn() == ["a"]
    bench.answer(len(bench.fake.published), "Quota exceeded")
    bench.budget.spend(900)
    for _ in range(20):
        bench.time += 10
        assert bench.turn() == []
        bench.tell()
        assert bench.link.on_turn(bench.connection)
    bench.time += 86_400
    assert bench.turn() == ["a"]


def test_a_broker_that_hangs_up_on_every_event_makes_us_give_up_none() -> None:
    bench = Bench()
    bench.put("a", "b", "c")
    while bench.time < 24 * 3600:
        bench.connect()
        bench.tell()
        while bench.time < 24 * 3600 and not (bench.turn() or bench.fake.events()):
            bench.time += max(0.1, bench.link.on_turn(bench.connection) or 0)
            bench.tell()
        bench.link.on_disconnected("closed without a word")
        bench.time += 1
    assert (bench.outbox.lost, bench.outbox.waiting) == (0, 3)


def hangs_up_on(bench: Bench, poison: str, arrived: set[str]) -> bool:
    """Be a broker that acknowledges all there is up to one Event, on which it hangs up."""
    for mid, (topic, payload, _) in enumerate(bench.fake.published, start=1):
        if topic != STATUS and payload["uid"] == poison:
            return True
        if topic != STATUS:
            arrived.add(payload["uid"])
        bench.answer(mid)
    return False


def test_a_message_on_which_the_broker_hangs_up_keeps_nothing_back_and_is_given_up_in_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.outbox.put(message("poison", payload=json.dumps({"uid": "poison", "x": "x" * 500})))
    bench.put("a", "b")
    tries = 0
    arrived: set[str] = set()
    while not bench.outbox.lost and bench.time < 24 * 3600:
        if tries > STREAK:
            bench.put(f"c{tries}")
        bench.connect()
        while not hangs_up_on(bench, "poison", arrived):
            bench.time += max(0.1, bench.link.on_turn(bench.connection) or 0)
        tries += 1
        bench.link.on_disconnected("closed without a word")
    others = {"a", "b", *(f"c{number}" for number in range(STREAK + 1, tries))}
    assert (arrived, dict(bench.outbox.losses)) == (others, {"room": 0, "size": 1})
    assert tries == STREAK + len(PAUSES_SECONDS)
    assert "gave up t: the broker hung up each time it came" in caplog.text


def test_while_the_state_cannot_be_written_nothing_more_is_handed_over() -> None:
    bench = Bench()
    bench.put("a")
    bench.turn()
    bench.answer(1)
    bench.time += SETTLE_SECONDS + SETTLE_PAUSE_SECONDS
    bench.put("b")
    with full(bench.outbox):
        assert bench.turn() == []
        bench.time += STATE_PAUSE_SECONDS - 1
        assert bench.turn() == []
    bench.time += 1
    assert bench.turn() == ["b"]
    assert bench.outbox.waiting == 1


def test_one_that_cannot_be_given_up_just_now_keeps_no_others_back_and_is_given_up_later() -> None:
    bench = Bench()
    bench.outbox.put(Message("x", 1, 1, "impossible", "{}"))
    bench.put("a")
    with full(bench.outbox):
        assert bench.turn() == ["a"]
    assert bench.outbox.lost == 0
    bench.time += STATE_PAUSE_SECONDS
    bench.turn()
    assert bench.outbox.lost == 1


@contextmanager
def full(outbox: Outbox) -> Iterator[None]:
    """Have nothing written, as on a disk that is full."""
    with outbox._database.transaction() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    yield
    with outbox._database.transaction() as connection:
        connection.execute("DROP TRIGGER full")


def test_the_next_turn_comes_when_more_is_due() -> None:
    bench = Bench()
    bench.connect()
    bench.tell()
    bench.due_seconds = 7.5
    assert bench.link.on_turn(bench.connection) == 7.5


def test_traffic_is_counted_once_over_all_connections() -> None:
    bench = Bench(bytes_per_day=10**6)
    for took in (300, 500):
        bench.connect()
        bench.tell()
        for bench.fake.took in (100, took):
            bench.time += TRAFFIC_PAUSE_SECONDS
            bench.turn()
        bench.link.on_disconnected("cut")
    assert bench.link.counters.traffic == bench.budget.spent == 800


def test_traffic_that_is_counted_stays_so_when_the_connection_has_just_broken_off() -> None:
    bench = Bench(bytes_per_day=10**6)
    bench.connect()
    for bench.fake.took in (500, 0):
        bench.time += TRAFFIC_PAUSE_SECONDS
        bench.turn()
    assert bench.link.counters.traffic == bench.budget.spent == 500


def spend(bench: Bench, size: int) -> None:
    bench.fake.took += size
    bench.time += TRAFFIC_PAUSE_SECONDS


def test_as_the_budget_is_spent_less_goes_and_the_status_says_what_is_held() -> None:
    bench = Bench(bytes_per_day=1000)
    bench.connect()
    bench.tell()
    bench.turn()
    for uid in "abc":
        bench.outbox.put(message(uid, payload=f'{{"uid":"{uid}"}}'))
    bench.outbox.put(replace(message("new", payload='{"uid":"new"}'), first=True))
    spend(bench, 800)
    assert bench.turn() == ["new"]
    assert bench.fake.statuses()[-1]["held"] == 3
    spend(bench, 200)
    bench.outbox.put(replace(message("newer", payload='{"uid":"newer"}'), first=True))
    assert bench.turn() == []
    assert not bench.link.is_idle()  # the status is under way
    bench.tell()
    for mid in list(bench.link._in_flight):
        bench.answer(mid)
    bench.time += 86_400
    assert sorted(bench.turn()) == ["a", "b", "c", "newer"]
    assert "held" not in bench.fake.statuses()[-1]


def test_what_the_budget_holds_keeps_no_one_from_stopping() -> None:
    bench = Bench(bytes_per_day=1000)
    bench.connect()
    bench.tell()
    spend(bench, 1000)
    bench.put("a")
    bench.turn()
    bench.tell()
    assert bench.link.is_idle()


def test_what_is_suspected_costs_no_turns_while_nothing_may_go() -> None:
    bench = Bench(bytes_per_day=1000)
    bench.put("a")
    bench.connect()
    bench.tell()
    bench.turn()
    bench.answer(2, "Quota exceeded")
    spend(bench, 1000)
    bench.time += PAUSES_SECONDS[-1]
    bench.turn()
    bench.tell()
    assert (bench.link.on_turn(bench.connection) or 0) > 0


def test_what_happens_while_a_connection_looks_around_does_not_wait_behind_what_waited_before() -> None:
    bench = Bench()
    bench.put(*(f"old-{number:02}" for number in range(40)))
    bench.fake = FakeConnection()
    bench.link.on_connected(bench.connection, session_present=False)
    bench.put("new")
    bench.time += FIRST_LOOK_SECONDS
    bench.turn()
    bench.tell()
    assert "new" in bench.turn()
