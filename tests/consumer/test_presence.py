from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import pytest

from tests.consumer.messages import NOW, RULES
from tocsin_consumer.losses import COUNT_LIMIT
from tocsin_consumer.presence import (
    CALM,
    DROP_LIMIT,
    UNSTABLE_HOLD,
    Link,
    Presence,
    Told,
    expected,
    hold_begun,
    on_event,
    on_status,
    wait_over,
)
from tocsin_schemas.status import StatusPayload

if TYPE_CHECKING:
    from tocsin_consumer.notice import Notice

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


class Cluster:
    """One cluster as the consumer sees it: time passes, and what is told is noted."""

    def __init__(self, state: Presence | None = None) -> None:
        self.now = NOW
        self.state = state
        self.told: list[Notice] = []
        self.losses: list[int] = []

    def status(
        self,
        state: Literal["online", "offline"],
        *,
        boot: int = 1,
        retained: bool = False,
        waiting: int = 0,
        lost: int = 0,
        held: int = 0,
    ) -> None:
        bare = StatusPayload(v=1, cluster="edge-1", state=state, boot=boot, since=1, version="1")
        said = bare.model_copy(update={"waiting": waiting, "lost": lost, "held": held})
        before = self.state
        self.state, lost_now = on_status(before, said, retained=retained, now=self.now, rules=RULES)
        notice = hold_begun(before, self.state, self.now)
        self.told += [notice] if notice else []
        self.losses += [lost_now] if lost_now else []

    def event(self, *, boot: int = 1) -> None:
        self.state = on_event(self.state, "edge-1", boot, now=self.now, rules=RULES)

    def wait(self, length: timedelta) -> None:
        """Let time pass, and decide whatever is due on the way."""
        end = self.now + length
        while self.known.due_at is not None and self.known.due_at <= end:
            self.now = max(self.now, self.known.due_at)
            self.state, notice = wait_over(self.known, self.now, RULES)
            self.told += [notice] if notice else []
        self.now = end

    def drop_out(self, *, dark: timedelta = 6 * MINUTE, back: timedelta = 2 * MINUTE) -> None:
        self.status("offline")
        self.wait(dark)
        self.status("online")
        self.wait(back)

    @property
    def known(self) -> Presence:
        assert self.state is not None
        return self.state

    def is_(self, link: Link) -> bool:
        return self.known.link == link

    @property
    def reasons(self) -> list[str]:
        return [notice.reason.removeprefix("Cluster") for notice in self.told]


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.status("online")
    return made


def epoch(at: datetime) -> int:
    return int(at.timestamp())


def test_a_cluster_that_is_there_is_no_news(cluster: Cluster) -> None:
    for _ in range(48):
        cluster.wait(60 * MINUTE)
        cluster.status("online")
    assert cluster.told == []


def test_a_cluster_is_told_to_be_offline_once_when_that_has_lasted_the_grace(cluster: Cluster) -> None:
    cluster.wait(10 * MINUTE)
    cluster.event()
    heard_at = cluster.now
    cluster.wait(MINUTE)
    cluster.status("offline")
    offline_at = cluster.now
    cluster.wait(RULES.offline_after - SECOND)
    assert cluster.told == []
    cluster.wait(24 * 60 * MINUTE)
    assert cluster.reasons == ["Offline"]
    facts = cluster.told[0].facts
    assert (facts.cause, facts.offline_since, facts.last_heard) == ("status", epoch(offline_at), epoch(heard_at))


def test_its_return_is_told_with_how_long_it_was_away_how_much_was_held_back_and_how_much_is_lost(
    cluster: Cluster,
) -> None:
    cluster.status("offline", lost=3)
    cluster.wait(134 * MINUTE)
    cluster.status("online", waiting=37, lost=5)
    cluster.wait(10 * SECOND)
    cluster.status("online", waiting=2, lost=6)
    cluster.wait(RULES.steady_after)
    assert cluster.reasons == ["Offline", "Online"]
    facts = cluster.told[1].facts
    assert (facts.away_seconds, facts.held, facts.lost) == (134 * 60, 37, 3)
    assert cluster.losses == [3]  # before the absence


def test_a_return_before_the_grace_is_over_is_no_news_and_neither_was_the_absence(cluster: Cluster) -> None:
    cluster.status("offline", boot=1)
    cluster.wait(4 * MINUTE)
    cluster.status("online", boot=2)
    cluster.wait(120 * MINUTE)
    assert cluster.told == []


def test_a_return_is_told_when_the_link_has_held_and_the_absence_counts_from_its_beginning(
    cluster: Cluster,
) -> None:
    cluster.status("offline")
    began_at = cluster.now
    cluster.wait(10 * MINUTE)
    cluster.status("online", waiting=9)
    cluster.wait(RULES.steady_after - SECOND)
    cluster.status("offline")
    cluster.wait(10 * MINUTE)
    cluster.status("online", waiting=4)
    back_at = cluster.now
    cluster.wait(RULES.steady_after)
    assert cluster.reasons == ["Offline", "Online"]
    facts = cluster.told[1].facts
    assert (facts.away_seconds, facts.held) == (epoch(back_at) - epoch(began_at), 9)


def test_a_late_will_of_an_older_boot_is_ignored(cluster: Cluster) -> None:
    cluster.status("online", boot=2)
    cluster.status("offline", boot=1)
    cluster.wait(120 * MINUTE)
    assert cluster.told == []


def test_an_event_of_an_older_boot_is_no_sign_of_life(cluster: Cluster) -> None:
    cluster.status("online", boot=2)
    heard_at = cluster.known.heard_at
    cluster.wait(MINUTE)
    cluster.event(boot=1)
    assert cluster.known.heard_at == heard_at


def test_an_event_of_the_boot_that_went_offline_brings_nothing_back_but_one_of_a_newer_boot_does(
    cluster: Cluster,
) -> None:
    cluster.status("offline")
    cluster.event(boot=1)
    assert cluster.is_(Link.OFFLINE)
    cluster.event(boot=2)
    assert cluster.is_(Link.ONLINE)


def test_a_producer_that_lost_its_state_and_its_clock_is_believed_once_the_older_one_is_gone(
    cluster: Cluster,
) -> None:
    cluster.status("online", boot=9)
    cluster.status("online", boot=3)
    assert cluster.known.boot == 9
    cluster.status("offline", boot=9)
    cluster.wait(10 * MINUTE)
    cluster.status("online", boot=3)
    cluster.wait(10 * MINUTE)
    assert cluster.reasons == ["Offline", "Online"]
    cluster.status("offline", boot=3)
    assert cluster.is_(Link.OFFLINE)


def test_a_will_that_comes_again_does_not_put_the_telling_off(cluster: Cluster) -> None:
    cluster.status("offline")
    cluster.wait(4 * MINUTE)
    cluster.status("offline", retained=True)
    cluster.wait(MINUTE)
    assert cluster.reasons == ["Offline"]


def test_a_cluster_of_which_nothing_is_heard_counts_as_gone_although_nobody_said_so(cluster: Cluster) -> None:
    cluster.wait(100 * MINUTE)
    cluster.event()
    heard_at = cluster.now
    cluster.wait(RULES.silent_after - SECOND)
    assert cluster.told == []
    cluster.wait(SECOND)
    assert cluster.reasons == ["Offline"]
    facts = cluster.told[0].facts
    assert (facts.cause, facts.offline_since) == ("silence", epoch(heard_at))


def test_silences_far_apart_are_each_told_and_do_not_make_a_link_unstable(cluster: Cluster) -> None:
    for _ in range(3 * DROP_LIMIT):
        cluster.wait(200 * MINUTE)
        cluster.status("online")
        cluster.wait(10 * MINUTE)
    assert cluster.reasons == ["Offline", "Online"] * 3 * DROP_LIMIT


def test_what_the_broker_had_retained_is_no_sign_of_life(cluster: Cluster) -> None:
    for _ in range(4):
        cluster.wait(60 * MINUTE)
        cluster.status("online", retained=True)
    assert cluster.reasons == ["Offline"]
    assert cluster.is_(Link.SILENT)
    cluster.status("online", retained=True, boot=2)
    assert cluster.is_(Link.ONLINE)


@pytest.mark.parametrize("sign", [Cluster.event, lambda cluster: cluster.status("online")])
def test_a_silent_cluster_that_is_heard_again_is_back(cluster: Cluster, sign: Callable[[Cluster], None]) -> None:
    cluster.wait(200 * MINUTE)
    sign(cluster)
    cluster.wait(10 * MINUTE)
    assert cluster.reasons == ["Offline", "Online"]
    assert cluster.told[1].facts.away_seconds == 200 * 60


def test_a_return_that_was_retained_while_we_were_away_is_one(cluster: Cluster) -> None:
    cluster.status("offline")
    cluster.wait(10 * MINUTE)
    cluster.status("online", retained=True, boot=2)
    cluster.wait(10 * MINUTE)
    assert cluster.reasons == ["Offline", "Online"]


def test_an_online_that_the_broker_had_retained_is_no_return_of_the_boot_that_is_told_to_be_offline(
    cluster: Cluster,
) -> None:
    cluster.status("offline")
    cluster.wait(10 * MINUTE)
    cluster.status("online", retained=True)
    cluster.wait(10 * MINUTE)
    assert cluster.reasons == ["Offline"]
    cluster.status("online")
    cluster.wait(10 * MINUTE)
    assert cluster.reasons == ["Offline", "Online"]


def test_an_online_that_the_broker_had_retained_ends_an_absence_that_is_not_told(cluster: Cluster) -> None:
    cluster.status("offline")
    cluster.wait(MINUTE)
    cluster.status("online", retained=True)
    cluster.wait(10 * MINUTE)
    assert cluster.told == []


def test_a_link_that_flaps_faster_than_the_grace_is_never_told(cluster: Cluster) -> None:
    for _ in range(100):
        cluster.drop_out(dark=2 * MINUTE, back=SECOND)
    assert cluster.told == []


def test_a_link_that_flaps_slowly_is_told_a_few_times_then_to_be_unstable_and_then_no_more(
    cluster: Cluster,
) -> None:
    for _ in range(30):
        cluster.drop_out()
    assert cluster.reasons == [*["Offline", "Online"] * DROP_LIMIT, "Unstable"]
    assert cluster.told[-1].facts.drops == DROP_LIMIT + 1


def test_an_unstable_link_is_told_to_be_steady_once_it_has_held_and_counts_anew(cluster: Cluster) -> None:
    for _ in range(DROP_LIMIT + 1):
        cluster.drop_out()
    cluster.told.clear()
    cluster.wait(UNSTABLE_HOLD)
    assert cluster.reasons == ["Online"]
    assert cluster.told[0].facts.drops == DROP_LIMIT + 1
    cluster.drop_out()
    assert cluster.reasons == ["Online", "Offline", "Online"]


def test_an_unstable_cluster_that_stays_dark_is_told_to_be_offline(cluster: Cluster) -> None:
    for _ in range(DROP_LIMIT + 1):
        cluster.drop_out()
    cluster.told.clear()
    cluster.status("offline")
    gone_at = cluster.now
    cluster.wait(UNSTABLE_HOLD)
    assert cluster.reasons == ["Offline"]
    assert cluster.told[0].facts.offline_since == epoch(gone_at)
    cluster.status("online")
    cluster.wait(UNSTABLE_HOLD - SECOND)
    assert cluster.reasons == ["Offline"]
    cluster.wait(SECOND)
    assert cluster.reasons == ["Offline", "Online"]


def test_drop_outs_with_calm_between_are_each_told(cluster: Cluster) -> None:
    for _ in range(3 * DROP_LIMIT):
        cluster.wait(CALM)
        cluster.status("online")
        cluster.drop_out(back=MINUTE)
    assert cluster.reasons == ["Offline", "Online"] * 3 * DROP_LIMIT


def test_an_expected_cluster_that_is_never_seen_is_told_once_and_so_is_its_coming() -> None:
    cluster = Cluster(expected("edge-1", NOW, RULES))
    cluster.wait(RULES.offline_after - SECOND)
    assert cluster.told == []
    cluster.wait(24 * 60 * MINUTE)
    assert cluster.reasons == ["NeverSeen"]
    assert cluster.told[0].facts.expected_since == epoch(NOW)
    cluster.status("online", lost=7)
    cluster.wait(RULES.steady_after)
    assert cluster.reasons == ["NeverSeen", "Online"]
    assert cluster.told[1].facts.away_seconds is None
    assert cluster.told[1].facts.lost == 0


def test_an_expected_cluster_that_comes_in_time_is_no_news() -> None:
    cluster = Cluster(expected("edge-1", NOW, RULES))
    cluster.wait(MINUTE)
    cluster.event()
    cluster.wait(60 * MINUTE)
    assert cluster.told == []


def test_a_cluster_that_is_offline_when_we_first_hear_of_it_is_told() -> None:
    cluster = Cluster()
    cluster.status("offline", retained=True)
    cluster.wait(RULES.offline_after)
    assert cluster.reasons == ["Offline"]
    assert cluster.told[0].facts.last_heard is None


def test_losses_are_what_a_producers_count_has_risen_by_since_it_was_heard_first() -> None:
    cluster = Cluster()
    for boot, lost in ((1, 100), (1, 100), (1, 103), (2, 104), (3, 2)):  # at last it has lost its state
        cluster.status("online", boot=boot, lost=lost)
    assert cluster.losses == [3, 1, 2]


def test_a_will_that_is_older_than_the_last_count_of_losses_takes_nothing_back_and_tells_nothing_twice() -> None:
    cluster = Cluster()
    cluster.status("online", lost=100)
    cluster.status("online", lost=150)
    cluster.status("offline", lost=100)
    cluster.wait(6 * MINUTE)
    cluster.status("online", lost=150)
    cluster.wait(2 * MINUTE)
    assert cluster.losses == [50]
    assert cluster.reasons == ["Offline", "Online"]
    assert cluster.told[-1].facts.lost == 0


def test_losses_during_an_absence_are_no_more_than_can_be_kept_and_told(cluster: Cluster) -> None:
    cluster.drop_out(back=SECOND)
    for boot in range(2, 6):
        cluster.status("online", boot=boot, lost=2**62 if boot % 2 else 0)
    cluster.wait(RULES.steady_after)
    assert cluster.told[-1].facts.lost == COUNT_LIMIT


def test_that_the_budget_holds_events_is_told_once_until_none_was_held(cluster: Cluster) -> None:
    for held in (0, 3, 50, 9, 0, 0, 7, 8):
        cluster.wait(60 * MINUTE)
        cluster.status("online", held=held)
    assert cluster.reasons == ["EventsHeld", "EventsHeld"]
    assert [notice.facts.held for notice in cluster.told] == [3, 7]


def test_a_cluster_that_holds_events_when_we_first_hear_of_it_is_told() -> None:
    cluster = Cluster()
    cluster.status("online", held=3)
    assert cluster.reasons == ["EventsHeld"]


def test_a_will_neither_begins_nor_ends_that_events_are_held(cluster: Cluster) -> None:
    cluster.status("offline", held=3)
    assert cluster.told == []
    cluster.status("online", held=3)
    cluster.status("offline")
    cluster.status("online", held=4)
    assert cluster.reasons == ["EventsHeld"]


def test_what_an_older_boot_held_is_of_no_interest(cluster: Cluster) -> None:
    cluster.status("online", boot=2)
    cluster.status("online", boot=1, held=3)
    assert cluster.told == []


def test_a_restart_of_the_producer_begins_nothing_anew(cluster: Cluster) -> None:
    cluster.status("online", held=3)
    cluster.status("online", boot=2, held=5)
    assert cluster.reasons == ["EventsHeld"]


def test_a_copy_that_the_broker_had_retained_neither_begins_nor_ends_that_events_are_held(
    cluster: Cluster,
) -> None:
    cluster.status("online", held=3, retained=True)
    assert cluster.told == []
    cluster.status("online", held=3)
    cluster.status("online", retained=True)
    cluster.status("online", held=4)
    assert cluster.reasons == ["EventsHeld"]


def test_a_clock_that_is_set_back_makes_no_time_negative(cluster: Cluster) -> None:
    cluster.status("offline")
    cluster.wait(10 * MINUTE)
    cluster.now -= timedelta(days=1)
    cluster.status("online")
    cluster.wait(RULES.steady_after)
    assert cluster.reasons == ["Offline", "Online"]
    assert cluster.told[1].facts.away_seconds == 0
    assert cluster.known.told == Told.PRESENT
