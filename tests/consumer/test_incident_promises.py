"""Random streams of events through random trouble: no promise about incidents is broken."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from inspect import getmembers, isfunction
from typing import Any

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from tests.consumer import promises_of_counting, promises_of_telling, promises_of_time
from tests.consumer.drill import Mood
from tests.consumer.layouts import teams
from tests.consumer.ledger import Telling
from tests.consumer.outcome import Outcome
from tests.consumer.plays import EVEN_MOODS, EVEN_STEPS, MINUTE, NODES, PODS, SECOND, STEPS, Plan, Play, plans
from tocsin_consumer.dispatch import Timing

#: Every function in which one is told, so that none is forgotten.
PROMISES: list[Callable[[Outcome], Iterator[str]]] = [
    promise
    for module in (promises_of_telling, promises_of_counting, promises_of_time)
    for name, promise in getmembers(module, isfunction)
    if promise.__module__ == module.__name__ and not name.startswith("_")
]
bounded = settings(
    deadline=None,  # how long it takes says nothing about what is proven
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def plan_of(*steps: Any) -> Plan:
    """Return a plan for what comes up too rarely by chance."""
    return Plan(teams(Timing(timedelta(), 30 * SECOND, 10 * MINUTE, 8 * MINUTE)), steps)


NODES_AWAY = [("event", ("edge-1", node, "NodeNotReady"), 1) for node in NODES]
UNSCHEDULED = [("event", ("edge-1", pod, "FailedScheduling"), 1) for pod in PODS]
OTHERS_GO_ON = [("time", 4 * MINUTE), ("again", 0, 1)] * 4


@example(
    plan_of(("mood", "boss", Mood.BUSY), NODES_AWAY[0], ("time", MINUTE), NODES_AWAY[1], ("time", 4 * MINUTE))
)
@example(plan_of(NODES_AWAY[0], UNSCHEDULED[0], ("time", MINUTE), ("end", 0)))
@example(plan_of(UNSCHEDULED[2], UNSCHEDULED[0], *OTHERS_GO_ON, UNSCHEDULED[1], ("end", 4)))
@settings(bounded, max_examples=220)
@given(plans(STEPS, has_storms=st.booleans()))
def test_whatever_happens_no_promise_is_broken(plan: Plan) -> None:
    outcome = Play(plan).outcome()
    broken = [f"{promise.__name__}: {text}" for promise in PROMISES for text in promise(outcome)]
    for entry in outcome.log.entries if broken else ():
        note(str(entry))
    assert broken == []


@settings(bounded, max_examples=30)
@given(plans(EVEN_STEPS, EVEN_MOODS, inhibits=st.just(False)))
def test_a_restart_changes_nothing(plan: Plan) -> None:
    """But for what is muted: a new process looks at that at once, and may tell it a little sooner."""
    through = replace(plan, steps=[step for step in plan.steps if step[0] != "restart"])
    assert shown(Play(plan).outcome()) == shown(Play(through).outcome())


def shown(outcome: Outcome) -> list[tuple[Any, ...]]:
    """Return who was told when and what, but for what was made at random, and for what came first of a moment."""
    told = [
        (
            *(one.at, one.receiver, one.is_refused, one.report.cause, one.report.state, one.report.group),
            *(one.report.revision, one.report.occurrences, one.report.since_told),
            [replace(line, event=None) for line in one.report.lines],  # type: ignore[arg-type]  # left out
        )
        for one in outcome.log.all(Telling)
    ]
    return sorted(told, key=str)
