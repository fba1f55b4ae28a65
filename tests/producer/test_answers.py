from tocsin_producer.answers import PATIENCE_SECONDS, Answers


class Bench:
    def __init__(self) -> None:
        self.time = 1000.0
        self.answers = Answers(lambda: self.time)


def test_an_answer_is_missing_since_its_message_was_handed_over_once_something_later_was_answered() -> None:
    bench = Bench()
    for mid in (7, 8, 9):
        bench.answers.expect(mid)
        bench.time += 10
    bench.answers.note(8)
    assert bench.answers.left_seconds() == PATIENCE_SECONDS - 30
    bench.time += PATIENCE_SECONDS - 30
    assert bench.answers.left_seconds() == 0
    bench.answers.note(7)
    assert bench.answers.left_seconds() == PATIENCE_SECONDS


def test_a_slow_link_that_answers_in_order_is_waited_for() -> None:
    bench = Bench()
    for mid in range(16):
        bench.answers.expect(mid)
    for mid in range(16):
        bench.time += PATIENCE_SECONDS - 1
        assert bench.answers.left_seconds() == 1
        bench.answers.note(mid)
    assert bench.answers.left_seconds() is None


def test_the_answer_to_what_comes_alone_is_missing_once_none_has_come_for_a_while() -> None:
    bench = Bench()
    bench.answers.begin()
    bench.time += 3600
    bench.answers.expect(1)
    assert bench.answers.left_seconds() == PATIENCE_SECONDS
    bench.time += PATIENCE_SECONDS
    assert bench.answers.left_seconds() == 0


def test_on_a_new_connection_nothing_is_missing() -> None:
    bench = Bench()
    bench.answers.expect(1)
    bench.answers.expect(2)
    bench.answers.note(2)
    bench.answers.begin()
    assert bench.answers.left_seconds() is None
    bench.answers.expect(1)
    bench.answers.note(5)
    assert bench.answers.left_seconds() == PATIENCE_SECONDS
