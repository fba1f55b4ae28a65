import json
from dataclasses import replace

from tests.producer.conftest import message
from tocsin_producer.budget import Budget
from tocsin_producer.database import Database
from tocsin_producer.outbox import Outbox
from tocsin_producer.status import LOSS_PAUSE_SECONDS, OVERWRITTEN_PAUSE_SECONDS, RETELL_SECONDS, OwnStatus


class Bench:
    def __init__(self, *, max_messages: int = 100) -> None:
        self.time = 0.0
        self.outbox = Outbox(Database(None), max_messages=max_messages, max_bytes=10**6)
        self.epoch = 1000.5
        self.budget = Budget(None, bytes_per_day=1000, now=lambda: self.epoch)
        self.drawn: list[tuple[float, float]] = []
        self.status = OwnStatus(
            "edge-042",
            17,
            self.outbox,
            budget=self.budget,
            clock=lambda: self.time,
            now=lambda: self.epoch,
            uniform=self.draw,
        )

    def draw(self, low: float, high: float) -> float:
        self.drawn.append((low, high))
        return low


def test_it_tells_who_and_how_much_waits_and_was_lost_as_of_now() -> None:
    bench = Bench(max_messages=1)
    bench.outbox.put(message("a"))
    bench.outbox.put(message("b"))
    told = json.loads(bench.status.payload("online"))
    assert (told["state"], told["boot"], told["since"]) == ("online", 17, 1000)
    assert (told["waiting"], told["lost"]) == (1, 1)
    assert "k8s" not in told


def test_it_is_told_again_at_least_hourly_and_not_by_all_sites_at_once() -> None:
    bench = Bench()
    bench.status.note_told()
    ((low, high),) = bench.drawn
    assert low < high <= 1
    assert bench.status.due_seconds() == RETELL_SECONDS * low
    bench.time += RETELL_SECONDS * low
    assert bench.status.due_seconds() == 0
    bench.status.note_told()
    assert bench.status.due_seconds() > 0


def test_a_loss_makes_it_due_but_not_more_often_than_once_a_minute() -> None:
    bench = Bench(max_messages=1)
    bench.status.note_told()
    bench.outbox.put(message("a"))
    bench.outbox.put(message("b"))
    assert bench.status.due_seconds() == LOSS_PAUSE_SECONDS
    bench.time += LOSS_PAUSE_SECONDS
    assert bench.status.due_seconds() == 0


def test_the_version_of_the_api_server_makes_it_due_at_once() -> None:
    bench = Bench()
    bench.status.note_told()
    bench.status.kubernetes_version = "v1.36.2"
    assert bench.status.due_seconds() == 0


def test_one_that_was_overwritten_is_due_but_not_again_and_again() -> None:
    bench = Bench()
    for _ in range(2):
        bench.status.note_told()
        bench.status.note_overwritten()
        assert bench.status.due_seconds() == OVERWRITTEN_PAUSE_SECONDS
        bench.time += OVERWRITTEN_PAUSE_SECONDS
        assert bench.status.due_seconds() == 0


def test_how_much_the_budget_holds_is_told_when_that_begins_and_when_it_ends() -> None:
    bench = Bench()
    bench.status.note_told()
    bench.outbox.put(message("a"))
    assert "held" not in json.loads(bench.status.payload("online"))
    bench.budget.spend(900)
    assert (bench.status.held, bench.status.due_seconds()) == (1, 0)
    assert json.loads(bench.status.payload("online"))["held"] == 1
    bench.status.note_told()
    assert bench.status.due_seconds() > 0
    bench.outbox.put(replace(message("b"), first=True))
    assert bench.status.held == 1
    bench.budget.spend(100)
    assert bench.status.held == 2
    bench.epoch += 86_400
    assert (bench.status.held, bench.status.due_seconds()) == (0, 0)
