import json
from typing import cast

import pytest

from tocsin_producer.standby import GRACE_SECONDS, PATIENCE_SECONDS, Standby
from tocsin_producer.status import RETELL_SECONDS
from tocsin_schemas.session import Connection, Received

STATUS = "k8s/v1/edge-042/status"


class FakeConnection:
    def __init__(self) -> None:
        self.looked: list[str] = []

    def look(self, topic: str) -> None:
        self.looked.append(topic)

    def acknowledge(self, message: Received) -> None:
        """Nothing to note."""


class Bench:
    """A standby of boot 17 whose rival has boot 18."""

    def __init__(self, *, connected: bool = True) -> None:
        self.time = 0.0
        self.leaves: list[float] = []
        self.fake = FakeConnection()
        self.standby = Standby(
            STATUS, boot=17, rival=18, leave=lambda: self.leaves.append(self.time), clock=lambda: self.time
        )
        if connected:
            self.connect()

    @property
    def connection(self) -> Connection:
        return cast("Connection", self.fake)

    def connect(self) -> None:
        self.standby.on_connected(self.connection, session_present=False)

    def hear(self, boot: int = 18, state: str = "online", *, retained: bool = False) -> None:
        payload = json.dumps({"boot": boot, "state": state}).encode()
        self.standby.on_message(self.connection, Received(STATUS, payload, 0, retained))

    def patience(self) -> float:
        """Take turns until it leaves, and return how long it stayed."""
        began = self.time
        while not self.leaves:
            self.time += self.standby.on_turn(self.connection) or 0
        return self.time - began


def test_it_watches_the_status_and_says_nothing() -> None:
    bench = Bench()
    assert bench.fake.looked == [STATUS]
    assert bench.standby.is_idle()


def test_a_rival_that_is_not_heard_of_again_is_gone_after_a_grace() -> None:
    bench = Bench()
    bench.hear(retained=True)
    assert bench.patience() == GRACE_SECONDS


def test_a_rival_that_tells_is_there_until_it_has_missed_its_next_status() -> None:
    bench = Bench()
    bench.hear()
    assert bench.patience() == PATIENCE_SECONDS > RETELL_SECONDS


def test_a_rival_that_tells_every_hour_is_left_alone_for_ever() -> None:
    bench = Bench()
    for _ in range(100):
        bench.hear()
        bench.time += RETELL_SECONDS
        assert bench.standby.on_turn(bench.connection)
    assert bench.leaves == []


@pytest.mark.parametrize("retained", [True, False])
def test_a_rival_that_says_goodbye_and_does_not_come_back_is_gone_after_a_grace(retained: bool) -> None:
    bench = Bench()
    bench.hear()
    bench.hear(state="offline", retained=retained)
    assert bench.patience() == GRACE_SECONDS


def test_a_rival_that_restarts_within_the_grace_stays_and_its_later_boot_is_noted() -> None:
    bench = Bench()
    bench.hear(state="offline")
    bench.time += GRACE_SECONDS - 1
    bench.hear(19)
    assert bench.patience() == PATIENCE_SECONDS
    assert bench.standby.last_boot == 19


def test_after_a_break_of_its_own_what_is_retained_is_a_sign_of_life_if_it_has_changed() -> None:
    bench = Bench()
    bench.hear(retained=True)
    bench.time += GRACE_SECONDS - 1
    bench.connect()
    bench.hear(19, retained=True)
    assert bench.patience() == PATIENCE_SECONDS


def test_what_is_retained_and_stays_the_same_is_no_sign_of_life_however_often_it_connects() -> None:
    bench = Bench()
    bench.hear()
    while not bench.leaves:
        bench.time += 60
        bench.connect()
        bench.hear(retained=True)
        bench.standby.on_turn(bench.connection)
    assert PATIENCE_SECONDS <= bench.time < PATIENCE_SECONDS + 60


def test_one_whose_own_link_breaks_all_the_time_leaves_after_a_grace() -> None:
    bench = Bench()
    while not bench.leaves:
        bench.time += GRACE_SECONDS / 2
        bench.standby.on_disconnected("cut")
        bench.standby.leave_if_gone()
        bench.connect()
    assert bench.time == GRACE_SECONDS


def test_its_own_old_status_and_what_is_no_status_mean_nothing() -> None:
    bench = Bench()
    bench.hear(17)
    bench.standby.on_message(bench.connection, Received(STATUS, b"nonsense", 0, retained=False))
    bench.standby.on_message(
        bench.connection, Received("else", b'{"boot":18,"state":"online"}', 0, retained=False)
    )
    assert bench.patience() == GRACE_SECONDS


def test_one_that_the_broker_does_not_let_in_leaves_in_the_end() -> None:
    bench = Bench(connected=False)
    for _ in range(9):
        bench.time += PATIENCE_SECONDS / 10
        bench.standby.leave_if_gone()
    assert bench.leaves == []
    bench.time += PATIENCE_SECONDS / 10
    bench.standby.leave_if_gone()
    assert len(bench.leaves) == 1
