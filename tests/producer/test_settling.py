from tocsin_producer.message import Receipt
from tocsin_producer.settling import SETTLE_PAUSE_SECONDS, SETTLE_SECONDS, Settling


class Bench:
    def __init__(self) -> None:
        self.time = 1000.0
        self.settling = Settling(lambda: self.time)

    def acknowledge(self, *uids: str) -> None:
        for uid in uids:
            self.settling.add(Receipt(uid, 1, 10, is_urgent=False), int(uid))

    def due(self) -> list[str]:
        return [receipt.uid for receipt in self.settling.due()]


def test_what_was_acknowledged_is_settled_after_a_while_many_at_a_time() -> None:
    bench = Bench()
    assert bench.settling.left_seconds() is None
    bench.acknowledge("1")
    bench.time += SETTLE_PAUSE_SECONDS
    bench.acknowledge("2", "3")
    bench.time += SETTLE_SECONDS - SETTLE_PAUSE_SECONDS
    assert bench.due() == ["1"]
    assert bench.settling.left_seconds() == SETTLE_PAUSE_SECONDS
    bench.time += SETTLE_PAUSE_SECONDS
    assert (bench.settling.left_seconds(), bench.due()) == (0, ["1", "2", "3"])
    bench.settling.note_settled(2)
    assert (len(bench.settling), bench.due()) == (1, ["3"])


def test_what_was_not_settled_when_the_connection_ends_gives_back_its_numbers() -> None:
    bench = Bench()
    bench.acknowledge("1", "2")
    bench.settling.note_settled(1)
    assert bench.settling.give_back() == [2]
    assert (len(bench.settling), bench.settling.left_seconds()) == (0, None)
