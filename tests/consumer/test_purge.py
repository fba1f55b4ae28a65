"""What becomes of incidents and storms that are over: they are forgotten, but never what is still to be told."""

from datetime import datetime, timedelta
from typing import Final

import pytest

from tests.consumer.desk import Desk
from tests.consumer.test_storms import say, stormy
from tocsin_consumer.dead_letter import DeadLetter, Search
from tocsin_consumer.records import Outcome

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
TABLES: Final = ("incidents", "problems", "told", "storms", "enrolled", "deliveries")


def left(desk: Desk) -> dict[str, int]:
    """Return how much there is in each table."""
    with desk.store._database.transaction() as connection:
        return {table: connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in TABLES}  # noqa: S608 - constants


def refuse(desk: Desk) -> DeadLetter:
    """Let what waits for the receiver be refused for good, and return the dead letter."""
    [delivery] = desk.store.due("ops", desk.clock.now, limit=1)
    desk.store.settle([Outcome(delivery, "dead", desk.clock.now, reason="no such group")])
    [letter] = desk.store.dead_letters(Search())
    return letter


def closed_at(desk: Desk) -> datetime:
    account = desk.store.account(1)
    assert account is not None
    assert account.incident.closed_at is not None
    return account.incident.closed_at


@pytest.fixture
def refused() -> tuple[Desk, DeadLetter]:
    """An incident that was refused, and is closed."""
    desk = Desk({"quiet_after": "10m"})
    desk.down.add("ops")
    desk.say()
    desk.pass_(20 * SECOND)
    letter = refuse(desk)
    desk.pass_(HOUR, step=10 * SECOND)
    assert desk.store.live_incidents() == []
    return desk, letter


def test_what_was_closed_before_a_time_is_forgotten_with_all_that_belongs_to_it() -> None:
    desk = Desk()
    desk.say()
    desk.pass_(2 * HOUR, step=10 * SECOND)
    desk.store.purge(closed_at(desk))
    assert left(desk)["incidents"] == 1
    desk.store.purge(closed_at(desk) + SECOND)
    assert left(desk) == dict.fromkeys(TABLES, 0)


def test_what_goes_on_is_never_forgotten() -> None:
    desk = Desk()
    desk.say(kind="Node", reason="NodeNotReady", type="Normal", name="pi-1", ns=None)
    desk.pass_(2 * HOUR, step=10 * SECOND)
    desk.store.purge(desk.clock.now + HOUR)
    assert left(desk)["incidents"] == 1


def test_a_closed_incident_that_is_to_be_told_again_is_kept_until_it_is(refused: tuple[Desk, DeadLetter]) -> None:
    desk, letter = refused
    desk.store.replay([letter.id], desk.clock.now)
    desk.store.purge(desk.clock.now + HOUR)
    desk.down.clear()
    assert [report.incident for report in desk.pass_(SECOND)] == [1]
    desk.store.purge(desk.clock.now + HOUR)
    assert left(desk)["incidents"] == 0


def test_a_closed_incident_is_kept_for_a_dead_letter_that_may_be_tried_again(
    refused: tuple[Desk, DeadLetter],
) -> None:
    desk, letter = refused
    desk.store.replay([letter.id], desk.clock.now)
    letter = refuse(desk)
    assert closed_at(desk) < desk.clock.now
    desk.store.purge(desk.clock.now)
    desk.store.replay([letter.id], desk.clock.now)
    desk.down.clear()
    assert [report.incident for report in desk.pass_(SECOND)] == [1]


def calmed_down() -> Desk:
    """Return a desk whose receiver was down in a storm that is over, with all that was in it."""
    desk = stormy(quiet_after="10m")
    desk.down.add("ops")
    say(desk, 6)
    desk.pass_(HOUR, step=10 * SECOND)
    assert desk.store.live_storms() == []
    return desk


def test_a_digest_that_waits_keeps_its_storm_and_the_incidents_that_it_is_about() -> None:
    desk = calmed_down()
    desk.store.purge(desk.clock.now + HOUR)
    desk.down.clear()
    desk.pass_(SECOND)
    assert [digest.incidents for _, _, digest in desk.digests] == [3]
    desk.pass_(HOUR, step=10 * SECOND)
    desk.store.purge(desk.clock.now + HOUR)
    assert left(desk) == dict.fromkeys(TABLES, 0)


def test_a_digest_that_was_refused_keeps_its_storm_while_it_may_be_tried_again() -> None:
    desk = calmed_down()
    letter = refuse(desk)
    assert letter.storm is not None
    desk.store.purge(desk.clock.now)
    assert left(desk)["storms"] == 1
    desk.store.drop(Search())
    desk.store.purge(desk.clock.now)
    assert left(desk)["storms"] == 0


def test_a_digest_that_is_to_be_told_again_or_may_be_keeps_the_incidents_that_it_is_about() -> None:
    desk = calmed_down()
    letter = refuse(desk)
    desk.down.clear()
    desk.pass_(HOUR, step=10 * SECOND)
    assert desk.store.live_incidents() == []
    desk.down.add("ops")
    desk.store.replay([letter.id], desk.clock.now)
    desk.store.purge(desk.clock.now + HOUR)
    letter = refuse(desk)
    desk.store.purge(desk.clock.now)
    desk.store.replay([letter.id], desk.clock.now)
    desk.down.clear()
    desk.pass_(SECOND)
    assert desk.digests[-1][2].incidents == 3


def test_a_storm_that_goes_on_is_never_forgotten() -> None:
    desk = stormy()
    say(desk, 6)
    desk.pass_(20 * SECOND)
    desk.store.purge(desk.clock.now + HOUR)
    assert left(desk)["storms"] == 1
