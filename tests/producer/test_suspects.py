from tocsin_producer.suspects import LARGE_STREAK, PAUSES_SECONDS, SPACING_SECONDS, STREAK, Suspects


class Bench:
    def __init__(self) -> None:
        self.time = 0.0
        self.suspects = Suspects(lambda: self.time)

    def suspect(self) -> None:
        self.suspects.note_taken("small", 500)
        for _ in range(LARGE_STREAK):
            assert self.suspects.due() is None
            self.breaks(alone=False)

    def breaks(self, uid: str = "a", size: int = 1000, *, alone: bool = True) -> bool:
        return self.suspects.note_break(uid, size, alone=alone)


def test_the_oldest_under_way_that_is_larger_than_all_that_was_taken_is_suspected() -> None:
    bench = Bench()
    bench.suspects.note_taken("small", 500)
    for _ in range(LARGE_STREAK):
        bench.breaks("as small", 500)
    assert bench.suspects.due() is None
    bench.suspect()
    assert list(bench.suspects.uids) == ["a"]
    assert bench.suspects.due() == "a"


def test_a_message_on_which_the_connection_ends_again_and_again_is_suspected_whatever_its_size() -> None:
    bench = Bench()
    bench.suspects.note_taken("large", 5000)
    for _ in range(STREAK - 1):
        bench.breaks()
        assert bench.suspects.due() is None
    bench.breaks()
    assert bench.suspects.due() == "a"


def test_before_anything_was_taken_no_message_is_large() -> None:
    bench = Bench()
    for _ in range(STREAK - 1):
        bench.breaks()
        assert bench.suspects.due() is None


def test_something_taken_in_between_ends_the_streak() -> None:
    bench = Bench()
    for _ in range(3 * STREAK):
        bench.suspects.note_taken("large", 5000)
        bench.breaks()
        assert not bench.suspects.uids


def test_a_suspect_is_tried_ever_more_rarely_and_given_up_after_the_last_try() -> None:
    bench = Bench()
    bench.suspect()
    for pause in PAUSES_SECONDS[1:]:
        bench.suspects.note_taken("other", 10)
        assert bench.suspects.due() == "a"
        assert not bench.breaks()
        assert bench.suspects.due() is None
        assert bench.suspects.due_seconds() == pause
        bench.time += pause
    bench.suspects.note_taken("other", 10)
    assert bench.breaks()
    assert not bench.suspects.uids
    assert bench.time > 3000


def test_a_break_while_it_is_not_alone_under_way_is_no_try() -> None:
    bench = Bench()
    bench.suspect()
    bench.suspects.note_taken("other", 10)
    for _ in range(3 * len(PAUSES_SECONDS)):
        assert not bench.breaks(alone=False)


def test_a_try_counts_only_if_the_broker_has_taken_something_else_since_the_one_before() -> None:
    """It may hang up on whatever comes, for hours: nothing may be given up for that."""
    bench = Bench()
    bench.suspect()
    for _ in range(3 * len(PAUSES_SECONDS)):
        assert not bench.breaks()
    assert bench.suspects.due_seconds() == PAUSES_SECONDS[-1]
    given_up = []
    for _ in PAUSES_SECONDS:
        bench.suspects.note_taken("other", 10)
        given_up += [bench.breaks(), bench.breaks()]
    assert given_up == [*[False] * (2 * len(PAUSES_SECONDS) - 2), True, False]


def test_what_was_refused_is_tried_ever_more_rarely_and_never_given_up() -> None:
    bench = Bench()
    assert bench.suspects.note_refused("a", "Not authorized")
    for pause in (*PAUSES_SECONDS[1:], *PAUSES_SECONDS[-1:] * 20):
        assert bench.suspects.due_seconds() == pause
        assert bench.suspects.due() is None
        bench.time += pause
        assert bench.suspects.due() == "a"
        assert not bench.suspects.note_refused("a", "Quota exceeded")
    assert bench.suspects.refusals == ["Quota exceeded"]


def test_of_many_that_are_held_back_only_one_is_tried_in_a_while_and_each_has_its_turn() -> None:
    bench = Bench()
    for uid in ("a", "b", "c"):
        bench.suspects.note_refused(uid, "Not authorized")
    bench.time += 100
    tried = []
    for _ in range(3):
        tried.append(bench.suspects.due() or "")
        bench.suspects.note_refused(tried[-1], "Not authorized")
        assert bench.suspects.due() is None
        bench.time += SPACING_SECONDS
    assert tried == ["a", "b", "c"]


def test_while_what_is_held_back_is_taken_the_rest_need_not_wait() -> None:
    bench = Bench()
    for uid in ("a", "b"):
        bench.suspects.note_refused(uid, "Quota exceeded")
    bench.time += 10
    bench.suspects.note_taken("a", 10)
    assert bench.suspects.due() == "b"


def test_if_only_what_is_urgent_may_go_the_rest_is_not_due() -> None:
    bench = Bench()
    bench.suspects.note_refused("repeat", "Quota exceeded", urgent=False)
    bench.time += 100
    assert (bench.suspects.due(urgent=True), bench.suspects.due_seconds(urgent=True)) == (None, None)
    bench.suspects.note_refused("first", "Quota exceeded", urgent=True)
    assert bench.suspects.due_seconds(urgent=True) == PAUSES_SECONDS[1]
    bench.time += PAUSES_SECONDS[1]
    assert (bench.suspects.due(urgent=True), bench.suspects.due()) == ("first", "repeat")


def test_what_is_refused_after_each_pause_while_others_are_taken_is_refused_for_good() -> None:
    bench = Bench()
    bench.suspects.note_refused("a", "Not authorized")
    for _ in range(20):
        bench.suspects.note_refused("a", "Not authorized")
    for _ in PAUSES_SECONDS[1:]:
        assert not bench.suspects.is_refused_for_good("a")
        bench.suspects.note_taken("other", 10)
        bench.suspects.note_refused("a", "Not authorized")
        bench.suspects.note_refused("a", "Not authorized")
    assert bench.suspects.is_refused_for_good("a")
    assert not bench.suspects.is_refused_for_good("b")


def test_what_has_been_due_for_a_while_is_overdue() -> None:
    bench = Bench()
    assert not bench.suspects.is_overdue()
    bench.suspects.note_refused("a", "Not authorized", urgent=False)
    bench.suspects.note_taken("other", 10)
    bench.time += PAUSES_SECONDS[1] + SPACING_SECONDS - 1
    assert (bench.suspects.due(), bench.suspects.is_overdue()) == ("a", False)
    bench.time += 1
    assert (bench.suspects.is_overdue(), bench.suspects.is_overdue(urgent=True)) == (True, False)


def test_none_is_overdue_before_the_broker_has_taken_something_else_since_its_last_try() -> None:
    """It may hang up on this one, each time that it has just been connected to."""
    bench = Bench()
    bench.suspect()
    bench.breaks()
    bench.time += 3600
    assert (bench.suspects.due(), bench.suspects.is_overdue()) == ("a", False)
    bench.suspects.note_taken("other", 10)
    assert bench.suspects.is_overdue()


def test_a_suspect_that_is_taken_is_cleared() -> None:
    bench = Bench()
    bench.suspect()
    bench.suspects.note_taken("a", 1000)
    assert (bench.suspects.due(), bench.suspects.due_seconds()) == (None, None)
