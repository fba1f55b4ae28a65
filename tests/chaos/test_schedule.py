from collections import defaultdict
from itertools import combinations

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.schedule import SECONDS, Plan, plan
from tests.chaos.story import Kind
from tocsin_producer.event import read_event
from tocsin_producer.filter import EventFilter
from tocsin_producer.settings import EventSettings

SEEDS = range(400)


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [plan(seed, KINDS) for seed in SEEDS]


def test_a_seed_says_it_all(plans: list[Plan]) -> None:
    assert [plan(seed, KINDS) for seed in SEEDS] == plans
    assert len({one.faults for one in plans}) == len(plans)


def test_every_fault_comes_up(plans: list[Plan]) -> None:
    planned = {(fault.part, fault.kind) for one in plans for fault in one.faults}
    assert planned == {(part, kind) for part, kinds in KINDS.items() for kind in kinds}


def test_every_sort_of_round_comes_up(plans: list[Plan]) -> None:
    assert {(one.has_state, one.is_storm) for one in plans} == {(True, False), (False, False), (True, True)}


def test_faults_of_one_part_leave_it_time_to_recover(plans: list[Plan]) -> None:
    for one in plans:
        for first, second in combinations(one.faults, 2):
            assert first.part != second.part or second.at - first.ends_at > 0.7
        assert all(0 <= fault.at < SECONDS for fault in one.faults)


def test_counts_grow_and_nothing_happens_to_an_event_that_is_gone(plans: list[Plan]) -> None:
    for one in plans:
        counts: dict[str, list[int]] = defaultdict(list)
        for step in one.steps:
            counts[step.uid].append(step.count)
        for states in counts.values():
            alive = states[:-1] if states[-1] == 0 else states
            assert len(alive) > 0
            assert alive == sorted(set(alive) - {0})


def test_in_a_storm_every_event_has_one_state(plans: list[Plan]) -> None:
    storms = [one for one in plans if one.is_storm]
    assert all(len({step.uid for step in one.steps}) == len(one.steps) for one in storms)


def test_the_stories_are_of_every_kind(plans: list[Plan]) -> None:
    assert {step.kind for one in plans for step in one.steps} == set(Kind)
    assert any(step.is_deletion for one in plans for step in one.steps)


def test_an_event_is_what_its_kind_says_to_the_filter(plans: list[Plan]) -> None:
    settings = EventSettings()
    event_filter = EventFilter([one.rule() for one in settings.include], [one.rule() for one in settings.exclude])
    for step in plans[0].steps + plans[1].steps:
        event = step.event("2026-11-23T10:00:00Z")
        assert step.is_deletion or event_filter.passes(read_event(event)) == step.kind.passes
