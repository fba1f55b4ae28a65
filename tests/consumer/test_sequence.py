from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.messages import event
from tocsin_consumer.sequence import Position, advance, merge


def test_a_number_that_is_left_out_is_a_missing_event() -> None:
    moved, missing = advance({"edge-1": Position(1, 4)}, [event(seq=5), event(seq=8)])
    assert missing == {"edge-1": 2}
    assert moved == {"edge-1": Position(1, 8)}


def test_a_gap_is_noticed_between_batches() -> None:
    assert advance({"edge-1": Position(1, 4)}, [event(seq=6)])[1] == {"edge-1": 1}


def test_the_first_event_of_a_cluster_or_of_a_boot_tells_of_no_gap() -> None:
    assert advance({}, [event(seq=50)])[1] == {}
    assert advance({"edge-1": Position(1, 4)}, [event(boot=2, seq=50)])[1] == {}


def test_what_comes_again_or_from_an_older_boot_moves_nothing() -> None:
    known = {"edge-1": Position(2, 4)}
    assert advance(known, [event(boot=2, seq=3), event(boot=2, seq=4), event(boot=1, seq=9)]) == ({}, {})


def test_clusters_have_numbers_of_their_own() -> None:
    events = [event(cluster=name, seq=seq) for seq in (1, 2, 3) for name in ("a", "b")]
    assert advance({}, events) == ({"a": Position(1, 3), "b": Position(1, 3)}, {})


def test_of_too_many_clusters_those_that_moved_last_are_remembered() -> None:
    known = {name: Position(1, 1) for name in "abc"}
    assert list(merge(known, {"a": Position(1, 2), "d": Position(1, 1)}, limit=3)) == ["c", "a", "d"]


@given(st.lists(st.integers(min_value=1, max_value=30), max_size=40), st.integers(min_value=0, max_value=40))
def test_however_events_are_batched_the_same_number_is_missing(numbers: list[int], cut: int) -> None:
    events = [event(seq=number) for number in numbers]
    first, missing_first = advance({}, events[:cut])
    _, missing_second = advance(first, events[cut:])
    apart = missing_first.get("edge-1", 0) + missing_second.get("edge-1", 0)
    assert apart == advance({}, events)[1].get("edge-1", 0)
