from datetime import timedelta

from tests.consumer.messages import NOW
from tocsin_consumer.losses import COUNT_LIMIT, GATHER, QUIET, lose, wait_over


def test_losses_of_a_minute_are_one_notice_that_says_of_what_kind_they_are() -> None:
    loss = lose(None, "edge-1", in_outbox=3, now=NOW)
    loss = lose(loss, "edge-1", at_broker=2, now=NOW + timedelta(seconds=30))
    assert loss.due_at == NOW + GATHER
    _, notice = wait_over(loss, loss.due_at)
    assert notice is not None
    assert (notice.facts.lost, notice.facts.lost_in_outbox, notice.facts.lost_at_broker) == (5, 3, 2)
    assert notice.since == NOW
    assert notice.facts.lost_since == int(NOW.timestamp())


def test_after_a_notice_losses_are_gathered_for_longer_and_told_once() -> None:
    kept, _ = wait_over(lose(None, "edge-1", in_outbox=3, now=NOW), NOW)
    assert kept is not None
    for minute in range(30):
        kept = lose(kept, "edge-1", at_broker=1, now=NOW + timedelta(minutes=minute))
    assert kept.due_at == NOW + QUIET
    _, notice = wait_over(kept, NOW + QUIET)
    assert notice is not None
    assert (notice.facts.lost, notice.facts.lost_in_outbox) == (30, 0)


def test_losses_after_a_quiet_spell_began_when_they_did_and_not_with_the_spell() -> None:
    kept, _ = wait_over(lose(None, "edge-1", in_outbox=3, now=NOW), NOW)
    for minute in (30, 40):
        kept = lose(kept, "edge-1", at_broker=1, now=NOW + timedelta(minutes=minute))
    assert kept is not None
    assert kept.since == NOW + timedelta(minutes=30)


def test_a_quiet_time_without_losses_ends_without_a_word() -> None:
    kept, _ = wait_over(lose(None, "edge-1", in_outbox=3, now=NOW), NOW)
    assert kept is not None
    assert wait_over(kept, NOW + QUIET) == (None, None)


def test_no_sum_of_losses_gets_larger_than_can_be_kept_and_told() -> None:
    loss = None
    for _ in range(3):
        loss = lose(loss, "edge-1", in_outbox=2**62, at_broker=2**62, now=NOW)
    assert loss is not None
    _, notice = wait_over(loss, loss.due_at)
    assert notice is not None
    assert (notice.facts.lost, notice.facts.lost_in_outbox, notice.facts.lost_at_broker) == (COUNT_LIMIT,) * 3
