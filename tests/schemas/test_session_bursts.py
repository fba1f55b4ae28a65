"""Many messages at once: read together, told one by one and in order, acknowledged together."""

import struct
from dataclasses import dataclass, field

from tests.schemas.fake_broker import ACCEPTED, CONNECT, SUBSCRIBE, FakeBroker
from tests.schemas.session_harness import Recorder, broker_at, running
from tests.waiting import until
from tocsin_schemas.session import Connection, Received

PUBACK = 4
TOPIC = b"a/topic"


class BurstingBroker(FakeBroker):
    """Answers a SUBSCRIBE with all `payloads` in one write, as QoS 1, and notes what is acknowledged."""

    def __init__(self, payloads: list[bytes]) -> None:
        super().__init__()
        self.acknowledged: list[int] = []
        self._packets = b"".join(publish(mid, payload) for mid, payload in enumerate(payloads, 1))

    def answer(self, kind: int, body: bytes) -> bytes | None:
        match kind:
            case _ if kind == CONNECT:
                return ACCEPTED
            case _ if kind == SUBSCRIBE:
                return b"\x90\x04" + body[:2] + b"\x00\x01" + self._packets
            case _ if kind == PUBACK:
                self.acknowledged += struct.unpack("!H", body)
        return b""


def publish(mid: int, payload: bytes) -> bytes:
    body = struct.pack("!H", len(TOPIC)) + TOPIC + struct.pack("!H", mid) + b"\x00" + payload
    length = len(body)
    return b"\x32" + bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14]) + body


@dataclass
class Gathering(Recorder):
    """Acknowledges at each turn what came since the last, and notes how much that was."""

    acknowledges: bool = False
    turns_of: list[int] = field(default_factory=list)
    fresh: list[Received] = field(default_factory=list)

    def on_message(self, connection: Connection, message: Received) -> None:
        super().on_message(connection, message)
        self.fresh.append(message)

    def on_turn(self, connection: Connection) -> float | None:
        self.turns_of.append(len(self.fresh))
        connection.acknowledge(*self.fresh)
        self.fresh = []
        return super().on_turn(connection)


def test_messages_that_come_at_once_are_told_in_order_and_acknowledged_in_order() -> None:
    payloads = [bytes([number % 256]) * (number * 37 % 20_000) for number in range(500)]
    handler = Gathering(filters=("#",))
    with BurstingBroker(payloads) as broker, running(broker_at(broker.port), handler):
        until(lambda: len(broker.acknowledged) == len(payloads))
    assert handler.payloads() == payloads
    assert broker.acknowledged == list(range(1, len(payloads) + 1))


def test_a_turn_brings_no_more_than_a_read_so_that_whoever_is_full_can_leave_off() -> None:
    payloads = [b"x" * 480] * 1000
    handler = Gathering(filters=("#",))
    with BurstingBroker(payloads) as broker, running(broker_at(broker.port), handler):
        until(lambda: len(broker.acknowledged) == len(payloads))
    assert 8 <= max(handler.turns_of) <= 18  # 8 KiB, and the message that was begun
    assert sum(handler.turns_of) == len(payloads)


def test_messages_that_came_are_acknowledged_one_by_one_as_well() -> None:
    handler = Recorder(filters=("#",))
    with BurstingBroker([b"{}"] * 50) as broker, running(broker_at(broker.port), handler):
        until(lambda: broker.acknowledged == list(range(1, 51)))
