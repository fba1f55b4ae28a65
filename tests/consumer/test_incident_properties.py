"""Whatever happens, in whatever order: what people are told of incidents is all of it, in time, and right."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.consumer.messages import NO_STORMS
from tests.consumer.rehearsal import (
    CLUSTERS,
    PROBLEMS,
    RECOVERIES,
    STARTS,
    STEP,
    Drill,
    Mode,
    Subject,
    Telling,
    is_ours,
    key_of_line,
)
from tocsin_consumer.dispatch import Cause, Timing, is_wanted
from tocsin_consumer.incident import End, State, key_of
from tocsin_consumer.inhibit import DEFAULT_RULES, InhibitSettings
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.recovery import is_recovery
from tocsin_consumer.report import Report
from tocsin_consumer.route import Route
from tocsin_consumer.storm import StormRules

MINUTE = timedelta(minutes=1)
STORMS = StormRules(cluster=RateLimit(2, 5 * MINUTE), fleet=RateLimit(3, 5 * MINUTE), calm_after=7 * MINUTE)
RECEIVERS = ("ops", "dev", "boss")
SHORT = {"group_interval": "1m", "repeat_interval": "6m", "quiet_after": "8m"}
LAYOUTS: tuple[dict[str, Any], ...] = (
    {"receivers": ["ops", "boss"], **SHORT},
    {"receivers": ["ops", "boss"], **SHORT, "group_by": [], "send_recovered": False},
    {
        "receivers": ["ops"],
        **SHORT,
        "send_recovered": False,
        "routes": [
            {
                "match": {"namespace": ["a"]},
                "receivers": ["dev", "ops"],
                "group_by": ["cluster"],
                "continue": True,
            },
            {"match": {"kind": ["Pod"]}, "receivers": ["boss", "ops"], "group_by": [], "group_interval": "2m"},
        ],
    },
    {
        "receivers": ["ops", "dev"],
        **SHORT,
        "send_quiet": True,
        "group_by": ["cluster", "namespace", "name", "reason"],
        "group_wait": "30s",
        "routes": [{"match": {"reason": ["BackOff"]}, "repeat_interval": "3m"}],
    },
    {
        "receivers": ["ops"],
        **SHORT,
        "routes": [
            {"match": {"kind": ["Pod"]}, "receivers": ["dev"], "continue": True},
            {"match": {"kind": ["Pod"]}, "receivers": ["boss"], "group_interval": "3m"},
        ],
    },
)


@dataclass(frozen=True, slots=True)
class See:
    """The state of an Event comes."""

    subject: Subject
    event_no: int
    grown: int

    def play(self, drill: Drill) -> None:
        drill.see(self.subject, event_no=self.event_no, grown=self.grown)


@dataclass(frozen=True, slots=True)
class Pass:
    """Time passes."""

    seconds: int

    def play(self, drill: Drill) -> None:
        drill.pass_(timedelta(seconds=self.seconds))


@dataclass(frozen=True, slots=True)
class Link:
    """A producer comes or goes."""

    cluster: str
    state: str

    def play(self, drill: Drill) -> None:
        drill.link(self.cluster, self.state)


@dataclass(frozen=True, slots=True)
class Restart:
    """The process ends, and another begins."""

    def play(self, drill: Drill) -> None:
        drill.restart()


@dataclass(frozen=True, slots=True)
class Fail:
    """The next commit fails: nothing is kept, or all of it though we are told otherwise."""

    where: Literal["before", "after"]

    def play(self, drill: Drill) -> None:
        drill.fail_next_commit(self.where)


@dataclass(frozen=True, slots=True)
class Turn:
    """A receiver works from now on, or does not."""

    receiver: str
    mode: Mode

    def play(self, drill: Drill) -> None:
        drill.set_mode(self.receiver, self.mode)


@dataclass(frozen=True, slots=True)
class Silence:
    """Somebody does not want to know; None ends all that."""

    minutes: int | None

    def play(self, drill: Drill) -> None:
        if self.minutes is None:
            drill.expire_silences()
        else:
            drill.silence("BackOff", self.minutes * MINUTE)


@dataclass(frozen=True, slots=True)
class Flap:
    """A node goes, comes back, and goes again."""

    cluster: str
    seconds: int

    def play(self, drill: Drill) -> None:
        for reason in ("NodeNotReady", "NodeReady", "NodeNotReady"):
            subject = Subject(self.cluster, None, "Node", "pi-1", reason, "Normal")
            drill.see(subject, event_no=0, grown=1)
            drill.pass_(timedelta(seconds=self.seconds))


Step = Flap | See | Pass | Link | Restart | Fail | Turn | Silence

#: Two owners with one reason, another reason, and a node: much of what happens is to belong together.
FEW = (PROBLEMS[0], PROBLEMS[4], PROBLEMS[1], PROBLEMS[-1])
SEES = st.builds(
    See,
    st.one_of(st.sampled_from(PROBLEMS), st.sampled_from(FEW)),
    st.integers(0, 1),
    st.sampled_from((1, 1, 1, 4, 0, -1)),
)
ENDS = st.builds(See, st.sampled_from(RECOVERIES + STARTS), st.integers(0, 3), st.just(1))
PASSES = st.builds(Pass, st.sampled_from((5, 10, 15, 15, 25, 40, 60, 65, 130, 400)))
LINKS = st.builds(Link, st.sampled_from(CLUSTERS), st.sampled_from(("online", "online", "offline")))
TURNS = st.builds(Turn, st.sampled_from(RECEIVERS), st.sampled_from(("up", "down", "down", "failing", "refusing")))
FAILS = st.builds(Fail, st.sampled_from(("before", "after")))
SILENCES = st.builds(Silence, st.sampled_from((1, 10, None)))
RESTARTS = st.builds(Restart)
FLAPS = st.builds(Flap, st.sampled_from(CLUSTERS), st.sampled_from((5, 15, 40)))
CALM = st.one_of(SEES, SEES, SEES, PASSES, PASSES, ENDS, FLAPS)
ROUGH = st.one_of(CALM, CALM, LINKS, TURNS, FAILS, SILENCES, RESTARTS)


def scripts(steps: st.SearchStrategy[Any], *, at_most: int = 30) -> st.SearchStrategy[list[Step]]:
    """Return scripts in which some receivers may not work from the beginning."""
    first = st.lists(TURNS, max_size=2)
    return st.tuples(first, st.lists(steps, min_size=3, max_size=at_most)).map(
        lambda parts: [*parts[0], *parts[1]]
    )


bounded = settings(
    max_examples=100,
    deadline=None,  # how long it takes says nothing about what is proven
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
layouts = st.sampled_from(LAYOUTS)


def played(
    layout: dict[str, Any],
    script: Sequence[Step],
    *,
    rules: Sequence[InhibitSettings] = DEFAULT_RULES,
    storm_rules: StormRules = NO_STORMS,
) -> Drill:
    """Return the drill after a script, when all is well again and over."""
    drill = Drill(layout, rules=rules, storm_rules=storm_rules)
    for cluster in CLUSTERS:
        drill.link(cluster, "online")
    for step in script:
        step.play(drill)
    drill.settle()
    return drill


def timing_of(drill: Drill, route: str) -> Timing:
    return next(node.timing for node in Route(drill._settings).nodes() if node.key == route)


@bounded
@given(layouts, scripts(ROUGH))
def test_every_problem_is_told_to_each_of_its_receivers_or_muted_to_its_end(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script)
    for beginning in drill.ledger.beginnings.keys() - drill.ledger.muted:
        for receiver in drill.ledger.incidents[beginning.incident].receivers:
            told = drill.ledger.told(beginning.incident, receiver)
            assert any(one.tells_of(beginning) for one in told), (beginning, receiver)


@bounded
@given(layouts, scripts(ROUGH))
def test_every_event_is_counted_once_in_an_incident_of_each_route_that_takes_it(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script)
    counted = Counter[str]()
    for incident in drill.ledger.incidents.values():
        of_problems = [one.occurrences for one in incident.problems.values()]
        assert incident.occurrences == sum(of_problems)
        counted[incident.route] += sum(one.occurrences for one in incident.problems.values() if not is_ours(one))
    assert +counted == taken_by_routes(drill)


def taken_by_routes(drill: Drill) -> Counter[str]:
    """Return how often what came has occurred, for each route that takes it."""
    counts = Counter[str]()
    for said in drill.events.values():
        if not is_recovery(said):
            for node in Route(drill._settings).decide(said).taken:
                counts[node.route.key] += said.count
    return counts


@bounded
@given(layouts, scripts(ROUGH))
def test_whoever_a_route_tells_of_an_event_is_a_receiver_of_its_incident(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script)
    have = {
        (one.route, key, receiver)
        for one in drill.ledger.incidents.values()
        for key in one.problems
        for receiver in one.receivers
    }
    for said in drill.events.values():
        if not is_recovery(said):
            for node in Route(drill._settings).decide(said).taken:
                assert {(node.route.key, key_of(said), receiver) for receiver in node.grouped} <= have


@bounded
@given(layouts, scripts(ROUGH))
def test_no_receiver_is_told_of_an_incident_before_the_interval_is_over(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script)
    told: dict[tuple[Any, ...], list[Telling]] = {}
    for one in drill.ledger.tellings:
        incident = drill.ledger.incidents[one.report.incident]
        told.setdefault((incident.route, incident.group, one.receiver), []).append(one)
    for (route, _, _), tellings in told.items():
        timing = timing_of(drill, route)
        for earlier, later in pairwise(tellings):
            apart = later.at - earlier.at
            assert apart >= timing.group_interval
            if earlier.report.incident == later.report.incident:
                assert apart >= timing.repeat_interval or has_news(drill, earlier.report, later.report, timing)


def has_news(drill: Drill, earlier: Report, later: Report, timing: Timing) -> bool:
    """Tell whether there is anything in a report that its receiver wants to know beyond an earlier one."""
    known = {key_of_line(line) for line in earlier.lines if line.end is None}
    begun_anew = {
        one.key
        for one in drill.ledger.beginnings
        if one.incident == later.incident and earlier.revision < one.revision <= later.revision
    }
    wanted = {
        None,
        *({End.RECOVERED} if timing.send_recovered else ()),
        *({End.QUIET} if timing.send_quiet else ()),
    }
    return any(
        line.is_news and (line.end in wanted or key_of_line(line) not in known - begun_anew)
        for line in later.lines
    )


@bounded
@given(layouts, scripts(ROUGH))
def test_what_is_told_of_an_incident_never_goes_back_and_adds_up(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script)
    for incident, receiver in drill.ledger.pairs():
        told = [one.report for one in drill.ledger.told(incident.id, receiver)]
        for earlier, later in pairwise(told):
            assert later.revision >= earlier.revision
            assert later.occurrences >= earlier.occurrences
        assert sum(one.since_told for one in told) == (told[-1].occurrences if told else 0)


@bounded
@given(layouts, scripts(ROUGH))
def test_a_recovery_is_told_of_what_was_told_and_of_nothing_else(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script)
    for telling in drill.ledger.tellings:
        report = telling.report
        over = [line for line in report.lines if line.end is End.RECOVERED]
        assert all(line.occurrences >= 1 and line.began_at <= line.last_at for line in over)
        assert (report.state is State.RECOVERED) <= bool(over)
    for incident, receiver in drill.ledger.pairs():
        last = drill.ledger.told(incident.id, receiver)[-1:]
        for problem in incident.problems.values():
            as_told = last[0].report.as_told(last[0].at) if last else None
            ends = {key_of_line(line): line.end for line in last[0].report.lines} if last else {}
            if problem.muted_by is None and is_wanted(problem, as_told, timing_of(drill, incident.route)):
                assert ends[problem.key] is problem.end


@bounded
@given(layouts, scripts(ROUGH))
def test_the_reason_for_a_notification_is_what_it_tells(layout: dict[str, Any], script: list[Step]) -> None:
    for telling in played(layout, script).ledger.tellings:
        report = telling.report
        assert (report.cause is Cause.RECOVERED) == (report.state is State.RECOVERED)
        assert (report.cause is Cause.QUIET) == (report.state is State.QUIET)
        if report.state is State.OPEN:
            assert (report.cause is Cause.FIRST) == (report.told_at is None)
        if report.cause is Cause.REPEAT:
            assert not any(line.is_news for line in report.lines if line.end is None)


@bounded
@given(layouts, scripts(ROUGH))
def test_who_can_be_told_is_told_in_time(layout: dict[str, Any], script: list[Step]) -> None:
    """But for receivers that join an incident later, as those of a route behind one that goes on."""
    assume(not any(route.get("continue") for route in layout.get("routes", ())))
    drill = played(layout, [step for step in script if not isinstance(step, Silence)], rules=())
    for beginning, at in drill.ledger.beginnings.items():
        incident = drill.ledger.incidents[beginning.incident]
        timing = timing_of(drill, incident.route)
        for receiver in set(incident.receivers) - drill.disturbed:
            told = drill.ledger.told(incident.id, receiver)
            last_at = max((one.at for one in told if one.at <= at), default=datetime.min.replace(tzinfo=UTC))
            told_at = min(one.at for one in told if one.tells_of(beginning))
            # What comes when the interval is nearly over is waited for as well.
            assert told_at <= max(at, last_at + timing.group_interval) + timing.group_wait + 2 * STEP


@bounded
@given(layouts, scripts(st.one_of(CALM, CALM, LINKS, TURNS, RESTARTS)))
def test_a_restart_changes_nothing(layout: dict[str, Any], script: list[Step]) -> None:
    """But for what is muted: a new process looks at that at once, and may tell it a little sooner."""
    through = [step for step in script if not isinstance(step, Restart)]
    assert shown(played(layout, script, rules=())) == shown(played(layout, through, rules=()))


def shown(drill: Drill) -> list[tuple[Any, ...]]:
    """Return who was told when and what, but for what was made at random."""
    return [
        (
            *(one.at, one.receiver, one.is_dead, one.report.cause, one.report.state, one.report.group),
            *(one.report.revision, one.report.occurrences, one.report.since_told),
            [replace(line, event=None) for line in one.report.lines],  # type: ignore[arg-type]  # left out
        )
        for one in drill.ledger.tellings
    ]


@bounded
@given(layouts, scripts(ROUGH))
def test_what_a_process_knows_is_what_another_would_find_in_the_store(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = Drill(layout, rules=DEFAULT_RULES, storm_rules=STORMS)
    for step in script:
        step.play(drill)
    drill.pass_(STEP)
    assert sorted(drill.pipeline.board._live.values(), key=lambda one: one.id) == drill.store.live_incidents()
    known = sorted(drill.pipeline.storms._live.values(), key=lambda one: one.id)
    assert known == sorted(drill.store.live_storms(), key=lambda one: one.id)


@bounded
@given(layouts, scripts(ROUGH))
def test_in_a_storm_every_problem_is_told_by_itself_or_in_a_digest(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script, storm_rules=STORMS)
    for beginning in drill.ledger.beginnings.keys() - drill.ledger.muted:
        for receiver in drill.ledger.incidents[beginning.incident].receivers:
            told = drill.ledger.told(beginning.incident, receiver)
            digested = drill.ledger.digested(beginning.incident, receiver)
            assert any(one.tells_of(beginning) for one in told) or any(
                one.revision >= beginning.revision for one in digested
            ), (beginning, receiver)


@bounded
@given(layouts, scripts(ROUGH))
def test_every_storm_ends_with_a_digest_whose_numbers_are_right(
    layout: dict[str, Any], script: list[Step]
) -> None:
    drill = played(layout, script, storm_rules=STORMS)
    last = {digest.storm: (digest, sums) for digest, sums in drill.sums}
    assert last.keys() == {one.storm for one in drill.ledger.enrolled}
    for digest, sums in last.values():
        assert digest.ended_at is not None
        assert (digest.incidents, digest.problems, digest.occurrences) == sums
