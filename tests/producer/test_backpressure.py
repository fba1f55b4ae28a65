from collections.abc import Callable

from tocsin_producer.backpressure import LIMIT_SECONDS, PATIENCE_SECONDS, PAUSE_SECONDS, Backpressure


class Outside:
    """An outbox and a link; each pause lets `then` happen."""

    def __init__(self, fullness: float, then: Callable[["Outside"], None] = lambda _outside: None) -> None:
        self.fullness = fullness
        self.then = then
        self.published = 7
        self.pauses = 0
        self.pressure = Backpressure(lambda: self.fullness, lambda: self.published, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds == PAUSE_SECONDS
        self.pauses += 1
        self.then(self)

    def wait(self) -> int:
        """Wait for room, and return how many pauses that has taken."""
        before = self.pauses
        while self.pressure.hold_back():
            continue
        return self.pauses - before


def test_with_room_there_is_no_wait() -> None:
    assert Outside(0.5).wait() == 0


def test_a_full_outbox_is_waited_for_as_long_as_the_link_empties_it() -> None:
    def publish(outside: Outside) -> None:
        if outside.pauses % 100 == 0:
            outside.published += 1
            outside.fullness -= 0.1

    assert Outside(0.95, publish).wait() == 500


def test_a_link_that_gets_nothing_through_is_waited_for_once_until_it_does() -> None:
    outside = Outside(0.9)
    patience = PATIENCE_SECONDS / PAUSE_SECONDS
    assert (outside.wait(), outside.wait()) == (patience, 0)
    outside.published += 1
    assert outside.wait() == patience


def test_an_outbox_into_which_as_much_comes_as_leaves_is_waited_for_once_until_it_has_room() -> None:
    def trickle(outside: Outside) -> None:
        outside.published += outside.pauses % 100 == 0

    outside = Outside(0.6, trickle)
    limit = LIMIT_SECONDS / PAUSE_SECONDS
    assert (outside.wait(), outside.wait()) == (limit, 0)
    outside.fullness = 0.5
    assert outside.wait() == 0
    outside.fullness = 0.6
    assert outside.wait() == limit
