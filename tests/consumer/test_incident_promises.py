"""Random streams of events through random trouble: no promise about incidents is broken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from tests.consumer.drill import Drill, Mishap, Mood
from tests.consumer.episodes import ENDS, History
from tests.consumer.promises import Outcome, Way
from tocsin_consumer.dispatch import Timing
from tocsin_consumer.incident import ProblemKey
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.silence import Wish
from tocsin_schemas.event import EventPayload

CLUSTERS = ("edge-1", "edge-2")
RECEIVERS = ("ops", "boss", "team")
FAR_AWAY = datetime(9000, 1, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@dataclass(frozen=True)
class Plan:
    """Options of the routes, and what happens."""

    timing: Timing
    #: Of the route whose receiver wants to know what goes quiet, and not what recovers.
    team: Timing
    steps: Sequence[Any]

    @property
    def route(self) -> dict[str, Any]:
        """The routing tree."""
        return {
            "receivers": ["ops"],
            **options(self.timing),
            "routes": [
                {"match": {"reason": "Evicted"}, "receivers": []},
                {"match": {"kind": "Node"}, "receivers": ["ops", "boss"], "group_by": ["cluster"]},
                {"match": {"namespace": "shop"}, "continue": True, "receivers": ["team"], **options(self.team)},
                {"match": {"kind": "Pod"}, "receivers": ["ops", "team"], "group_by": ["namespace", "reason"]},
            ],
        }

    def routing(self, event: EventPayload) -> list[Way]:
        """Return what the tree comes to."""
        if event.reason == "Evicted":
            return []
        if event.kind == "Node":
            return [Way(("ops", "boss"), self.timing, ("cluster",))]
        ops = Way(("ops",), self.timing, ("namespace", "reason"))
        if event.ns == "shop":
            return [Way(("team",), self.team, ("cluster", "namespace", "reason")), ops]
        return [replace(ops, receivers=("ops", "team"))]


def options(timing: Timing) -> dict[str, Any]:
    """Return what a configuration file says of it."""
    spans = ("group_wait", "group_interval", "repeat_interval", "quiet_after")
    seconds = {name: f"{getattr(timing, name).total_seconds():.0f}s" for name in spans}
    return {**seconds, "send_recovered": timing.send_recovered, "send_quiet": timing.send_quiet}


def inhibited(history: History, event: EventPayload) -> list[tuple[datetime, datetime]]:
    """Return when the node of a Pod was not ready, which explains whatever is wrong with the Pod."""
    node = ProblemKey(event.cluster, "", "Node", event.node or "", "NodeNotReady")
    spans = history.of(node) if event.kind == "Pod" else []
    return [(one.began_at, one.ended_at or FAR_AWAY) for one in spans]


PODS = (
    {"kind": "Pod", "ns": "shop", "name": "api-7c9f8d6b5-x2x4q", "node": "pi-1"},
    {"kind": "Pod", "ns": "shop", "name": "api-7c9f8d6b5-bb7zk", "node": "pi-1"},
    {"kind": "Pod", "ns": "shop", "name": "db-0", "node": "pi-2"},
    {"kind": "Pod", "ns": "factory", "name": "reader", "node": "pi-1"},
)
REPLICAS = {PODS[0]["name"]: PODS[1], PODS[1]["name"]: PODS[0]}
NODES = tuple({"kind": "Node", "ns": None, "name": name} for name in ("pi-1", "pi-2"))
POD_REASONS = ("BackOff", "FailedScheduling", "Evicted")
NODE_REASONS = ("NodeNotReady", "Rebooted")

#: Reason of a problem → reason of the event that ends it.
STARTERS = {started: end for end, started in ENDS.items()}
#: Cluster, object and reason.
Source = tuple[str, dict[str, Any], str]
SOURCES = st.one_of(
    *(
        st.tuples(st.sampled_from(CLUSTERS), st.sampled_from(objects), st.sampled_from(reasons))
        for objects, reasons in ((PODS, POD_REASONS), (NODES, NODE_REASONS))
    )
)
GROWTHS = st.sampled_from((1, 1, 2))
TIMES = st.sampled_from((SECOND, 10 * SECOND, MINUTE, 4 * MINUTE, 12 * MINUTE))
MOODS = st.tuples(st.just("mood"), st.sampled_from(RECEIVERS), st.sampled_from(Mood))
STEPS = st.one_of(
    st.tuples(st.just("event"), SOURCES, GROWTHS),
    # Most of what happens has to do with what happened before.
    st.tuples(st.just("again"), st.integers(0, 5), GROWTHS),
    st.tuples(st.just("new"), st.integers(0, 5)),
    st.tuples(st.just("end"), st.integers(0, 5)),
    st.tuples(st.just("time"), TIMES),
    st.tuples(st.just("time"), TIMES),
    MOODS,
    st.one_of(st.tuples(st.just("mishap"), st.sampled_from(Mishap)), st.tuples(st.just("restart"))),
    st.tuples(st.just("silence"), st.sampled_from(("BackOff", "FailedScheduling")), st.integers(1, 15)),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    timing = Timing(
        group_wait=draw(st.sampled_from((timedelta(), 10 * SECOND, MINUTE))),
        group_interval=draw(st.sampled_from((30 * SECOND, 2 * MINUTE))),
        repeat_interval=draw(st.sampled_from((MINUTE, 10 * MINUTE))),
        quiet_after=draw(st.sampled_from((2 * MINUTE, 8 * MINUTE))),
        send_recovered=True,
        send_quiet=draw(st.booleans()),
    )
    team = replace(timing, send_recovered=False, send_quiet=True, group_interval=MINUTE)
    return Plan(timing, team, [*draw(st.lists(MOODS, max_size=1)), *draw(st.lists(STEPS, max_size=40))])


class Play:
    """A plan on its way."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._said: list[tuple[Source, str]] = []
        self.drill = Drill(plan.route, RECEIVERS, DEFAULT_RULES)
        self._pass(SECOND)

    def step(self, kind: str, *said: Any) -> None:
        """Let one thing happen."""
        getattr(self, f"_{kind}")(*said)

    def outcome(self) -> Outcome:
        """Let all go well until nothing happens any more, and return what it came to."""
        for pager in self.drill.pagers.values():
            pager.mood = Mood.WELL
        self.drill.store.mishap = None
        self._pass(45 * MINUTE)
        store, now = self.drill.store, self.drill.clock.now
        return Outcome(
            self.drill.log,
            self._plan.routing,
            self._plan.timing.quiet_after,
            inhibited,
            store.incidents(),
            sum(one.waiting for one in store.backlog().values()),
            now,
            frozenset(said[1] for said in self._plan.steps if said[0] == "mood"),
        )

    def _event(self, source: Source, growth: int) -> None:
        self._said.append((source, f"uid-{len(self._said)}"))
        self._say(*self._said[-1], growth)

    def _again(self, index: int, growth: int) -> None:
        """Let an Event that came before occur again."""
        if self._said:
            self._say(*self._said[index % len(self._said)], growth)

    def _new(self, index: int) -> None:
        """Let another Event say the same as one before, of its replica if there is one."""
        if self._said:
            cluster, thing, reason = self._said[index % len(self._said)][0]
            self._event((cluster, REPLICAS.get(thing["name"], thing), reason), 1)

    def _end(self, index: int) -> None:
        """Let one of the problems that can recover do so, whether it still goes on or not."""
        starters = [(source, STARTERS[source[2]]) for source, _ in self._said if source[2] in STARTERS]
        if starters:
            (cluster, thing, _), reason = starters[index % len(starters)]
            self._event((cluster, thing, reason), 1)

    def _say(self, source: Source, uid: str, growth: int) -> None:
        cluster, thing, reason = source
        kind = "Normal" if thing["kind"] == "Node" or reason in ENDS else "Warning"
        self.drill.say(uid, growth, cluster=cluster, reason=reason, type=kind, **thing)

    def _time(self, length: timedelta) -> None:
        self._pass(length)

    def _mood(self, receiver: str, mood: Mood) -> None:
        self.drill.pagers[receiver].mood = mood

    def _mishap(self, mishap: Mishap) -> None:
        self.drill.store.mishap = mishap

    def _restart(self) -> None:
        self.drill.start()

    def _silence(self, reason: str, minutes: int) -> None:
        now = self.drill.clock.now
        self.drill.silence(Wish(MatchSettings(reason=reason), now, now + minutes * MINUTE, "ops", "I know"))

    def _pass(self, length: timedelta) -> None:
        self.drill.pass_(length, step=min(length, 10 * SECOND), clusters=CLUSTERS)


def plan_of(*steps: Any) -> Plan:
    """Return a plan for what comes up too rarely by chance."""
    timing = Timing(timedelta(), 30 * SECOND, 10 * MINUTE, 8 * MINUTE)
    return Plan(timing, replace(timing, send_recovered=False, send_quiet=True), steps)


NODES_AWAY = [("event", ("edge-1", node, "NodeNotReady"), 1) for node in NODES]
UNSCHEDULED = [("event", ("edge-2", pod, "FailedScheduling"), 1) for pod in PODS]
NODE_AWAY = ("event", ("edge-2", NODES[0], "NodeNotReady"), 1)
OTHERS_GO_ON = [("time", 4 * MINUTE), ("again", 0, 1)] * 4


@example(
    plan_of(("mood", "boss", Mood.BUSY), NODES_AWAY[0], ("time", MINUTE), NODES_AWAY[1], ("time", 4 * MINUTE))
)
@example(plan_of(NODE_AWAY, UNSCHEDULED[0], ("time", MINUTE), ("end", 0)))
@example(plan_of(UNSCHEDULED[2], UNSCHEDULED[0], *OTHERS_GO_ON, UNSCHEDULED[1], ("end", 2)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans())
def test_whatever_happens_every_problem_is_told_in_its_time_and_all_counts_add_up(plan: Plan) -> None:
    play = Play(plan)
    for step in plan.steps:
        play.step(*step)
    outcome = play.outcome()
    violations = list(outcome.violations())
    for entry in outcome.log.entries if violations else ():
        note(str(entry))
    assert violations == []
