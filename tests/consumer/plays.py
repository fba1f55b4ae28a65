"""Random streams of events through random trouble, and what they come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Final, Literal

from hypothesis import strategies as st

from tests.consumer.drill import Drill, Mood
from tests.consumer.episodes import ENDS
from tests.consumer.layouts import LAYOUTS, Layout
from tests.consumer.messages import NO_STORMS
from tests.consumer.mishaps import Mishap, Writing
from tests.consumer.outcome import Outcome
from tocsin_consumer.dispatch import Timing
from tocsin_consumer.incident import Incident
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.records import Storm
from tocsin_consumer.silence import Wish
from tocsin_consumer.storm import StormRules

CLUSTERS: Final = ("edge-1", "edge-2")
RECEIVERS: Final = ("ops", "boss", "team")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STORMS: Final = StormRules(cluster=RateLimit(2, 5 * MINUTE), fleet=RateLimit(3, 5 * MINUTE), calm_after=7 * MINUTE)

PODS: Final = (
    {"kind": "Pod", "ns": "shop", "name": "api-7c9f8d6b5-x2x4q", "node": "pi-1"},
    {"kind": "Pod", "ns": "shop", "name": "api-7c9f8d6b5-bb7zk", "node": "pi-1"},
    {"kind": "Pod", "ns": "shop", "name": "db-0", "node": "pi-2"},
    {"kind": "Pod", "ns": "factory", "name": "reader"},
)
REPLICAS: Final = {PODS[0]["name"]: PODS[1], PODS[1]["name"]: PODS[0]}
NODES: Final = tuple({"kind": "Node", "ns": None, "name": name} for name in ("pi-1", "pi-2"))
POD_REASONS: Final = ("BackOff", "FailedScheduling", "FailedMount", "Evicted")
NODE_REASONS: Final = ("NodeNotReady", "Rebooted")

#: Reason of a problem → reasons of the events that end it.
ENDED_BY: Final = {
    reason: tuple(end for end, ended in ENDS.items() if reason in ended) for one in ENDS.values() for reason in one
}
#: Cluster, object and reason.
Source = tuple[str, dict[str, Any], str]
SOURCES: Final = st.one_of(
    *(
        st.tuples(st.sampled_from(CLUSTERS), st.sampled_from(objects), st.sampled_from(reasons))
        for objects, reasons in ((PODS, POD_REASONS), (NODES, NODE_REASONS))
    )
)
INDICES: Final = st.integers(0, 5)
TIMES: Final = st.sampled_from((SECOND, 10 * SECOND, 25 * SECOND, MINUTE, 4 * MINUTE, 12 * MINUTE))
MOODS: Final = st.tuples(st.just("mood"), st.sampled_from(RECEIVERS), st.sampled_from(Mood))
#: After which a worker does not rest, so that it goes on at the same moments after a restart.
EVEN_MOODS: Final = MOODS.filter(lambda mood: mood[2] is not Mood.BUSY)
LINKS: Final = st.tuples(st.just("link"), st.sampled_from(CLUSTERS), st.sampled_from(("online", "offline")))
RESTARTS: Final = st.tuples(st.just("restart"))
EVENTS: Final = st.one_of(
    st.tuples(st.just("event"), SOURCES, st.sampled_from((1, 1, 2))),
    # Most of what happens has to do with what happened before.
    st.tuples(st.just("again"), INDICES, st.sampled_from((1, 1, 4, 0, -1))),
    st.tuples(st.just("new"), INDICES),
    st.tuples(st.just("end"), INDICES),
    st.tuples(st.just("flap"), INDICES, st.sampled_from((5, 15, 40))),
)
PASSES: Final = st.tuples(st.just("time"), TIMES)
TROUBLE: Final = st.one_of(
    MOODS,
    LINKS,
    st.tuples(st.just("mishap"), st.sampled_from(("record", "settle")), st.sampled_from(Mishap)),
    RESTARTS,
    st.tuples(
        st.just("silence"),
        st.sampled_from(("BackOff", "FailedScheduling", "NodeNotReady")),
        st.sampled_from((1, 5, 15)),
    ),
    st.tuples(st.just("hear_all")),
)


def weighed(*weights: tuple[st.SearchStrategy[Any], int]) -> st.SearchStrategy[Any]:
    """Return what draws from some strategies more often; `one_of` alone takes those that are the same for one."""
    return st.one_of(*(strategy.map(tuple) for strategy, weight in weights for _ in range(weight)))


STEPS: Final = weighed((EVENTS, 2), (PASSES, 8), (TROUBLE, 1))
EVEN_STEPS: Final = weighed((EVENTS, 2), (PASSES, 8), (st.one_of(LINKS, EVEN_MOODS, RESTARTS), 2))
TIMINGS: Final = st.builds(
    Timing,
    group_wait=st.sampled_from((timedelta(), 10 * SECOND, MINUTE)),
    group_interval=st.sampled_from((30 * SECOND, 2 * MINUTE)),
    repeat_interval=st.sampled_from((MINUTE, 10 * MINUTE)),
    quiet_after=st.sampled_from((2 * MINUTE, 8 * MINUTE)),
    send_quiet=st.booleans(),
)
TREES: Final = st.builds(lambda layout, timing: layout(timing), st.sampled_from(LAYOUTS), TIMINGS)


@dataclass(frozen=True)
class Plan:
    """What happens to whom."""

    layout: Layout
    steps: Sequence[Any]
    #: Whether much is told together, and whether what explains others inhibits them.
    has_storms: bool = False
    inhibits: bool = True


def plans(
    steps: st.SearchStrategy[Any], moods: st.SearchStrategy[Any] = MOODS, **options: st.SearchStrategy[bool]
) -> st.SearchStrategy[Plan]:
    """Return plans; some receivers may be unwell from the beginning."""
    # A list of lists, as one that may be empty is short nearly always.
    parts = st.lists(st.lists(steps, max_size=10), max_size=8)
    all_steps = st.builds(lambda first, then: [*first, *chain(*then)], st.lists(moods, max_size=2), parts)
    return st.builds(Plan, TREES, all_steps, **options)


class Play:
    """A plan on its way."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._said: list[tuple[Source, str]] = []
        self._linked = set(CLUSTERS)
        self.drill = Drill(
            plan.layout,
            RECEIVERS,
            rules=DEFAULT_RULES if plan.inhibits else (),
            storm_rules=STORMS if plan.has_storms else NO_STORMS,
        )
        self._time(SECOND)
        for step in plan.steps:
            self.step(*step)

    def step(self, kind: str, *said: Any) -> None:
        """Let one thing happen."""
        getattr(self, f"_{kind}")(*said)

    def outcome(self) -> Outcome:
        """Let all go well until nothing happens any more, and return what it came to."""
        drill, said = self.drill, self._plan.steps
        for pager in drill.pagers.values():
            pager.mood = Mood.WELL
        drill.store.mishaps.clear()
        self._time(10 * SECOND)
        known, stored = self._known(), self._stored()
        drill.expire_silences()
        self._linked = set(CLUSTERS)
        if self._plan.has_storms:  # which what is told again and again keeps going
            self._recover_nodes()
        self._time(5 * MINUTE)
        self._time(50 * MINUTE, step=30 * SECOND)
        return Outcome(
            log=drill.log,
            layout=self._plan.layout,
            incidents=drill.store.incidents(),
            pending=sum(one.waiting for one in drill.store.backlog().values()),
            ended_at=drill.clock.now,
            known=known,
            stored=stored,
            unwell=frozenset(step[1] for step in said if step[0] == "mood" and step[2] is not Mood.WELL),
        )

    def _known(self) -> list[Incident | Storm]:
        pipeline = self.drill.pipeline
        return [*pipeline.board._live.values(), *pipeline.storms._live.values()]

    def _stored(self) -> list[Incident | Storm]:
        return [*self.drill.store.live_incidents(), *self.drill.store.live_storms()]

    def _recover_nodes(self) -> None:
        for cluster in CLUSTERS:
            for node in NODES:
                self._event((cluster, node, "NodeReady"), 1)

    def _event(self, source: Source, growth: int) -> None:
        self._said.append((source, f"uid-{len(self._said)}"))
        self._say(*self._said[-1], growth)

    def _again(self, index: int, growth: int) -> None:
        """Let an Event that came before occur again, or an old state of it come again."""
        if self._said:
            self._say(*self._said[index % len(self._said)], growth)

    def _new(self, index: int) -> None:
        """Let another Event say the same as one before, of its replica if there is one."""
        if self._said:
            cluster, thing, reason = self._said[index % len(self._said)][0]
            self._event((cluster, REPLICAS.get(thing["name"], thing), reason), 1)

    def _end(self, index: int) -> None:
        """Let one of the problems that can recover do so, whether it still goes on or not."""
        found = [
            (cluster, thing, end) for (cluster, thing, reason), _ in self._said for end in ENDED_BY.get(reason, ())
        ]
        if found:
            self._event(found[index % len(found)], 1)

    def _flap(self, index: int, seconds: int) -> None:
        """Let a node go, come back, and go again."""
        for reason in ("NodeNotReady", "NodeReady", "NodeNotReady"):
            self._event((CLUSTERS[index % 2], NODES[0], reason), 1)
            self._time(seconds * SECOND, step=5 * SECOND)

    def _say(self, source: Source, uid: str, growth: int) -> None:
        cluster, thing, reason = source
        kind = "Normal" if thing["kind"] == "Node" or reason in ENDS else "Warning"
        self.drill.say(uid, growth, cluster=cluster, reason=reason, type=kind, **thing)

    def _time(self, length: timedelta, *, step: timedelta = 10 * SECOND) -> None:
        """Let time pass, in which the clusters that are there say so."""
        for cluster in sorted(self._linked):
            self.drill.link(cluster, "online")
        self.drill.pass_(length, step=step)

    def _mood(self, receiver: str, mood: Mood) -> None:
        self.drill.pagers[receiver].mood = mood

    def _link(self, cluster: str, state: Literal["online", "offline"]) -> None:
        self._linked = self._linked | {cluster} if state == "online" else self._linked - {cluster}
        self.drill.link(cluster, state)

    def _mishap(self, writing: Writing, mishap: Mishap) -> None:
        self.drill.store.mishaps[writing] = mishap

    def _restart(self) -> None:
        self.drill.start()

    def _silence(self, reason: str, minutes: int) -> None:
        now = self.drill.clock.now
        self.drill.silence(Wish(MatchSettings(reason=reason), now, now + minutes * MINUTE, "ops", "I know"))

    def _hear_all(self) -> None:
        self.drill.expire_silences()
