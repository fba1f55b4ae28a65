"""What a configuration says that holds for nothing, or for everything, that is recorded. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tocsin_consumer.match import MatchSettings, Texts, match_of
from tocsin_consumer.route import Route, Verdict
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.strict import Finding, own_rules, reach
from tocsin_schemas.configuration import Location


def recorded_findings(settings: ConsumerSettings, recorded: Sequence[Texts]) -> Iterator[Finding]:
    """Yield what holds for nothing or for everything in a recording: routes, drops, inhibition, silences.

    What is never reached whatever comes is left to `strict.findings`.
    """
    yield from _route_findings(settings, recorded)
    for index, rule in own_rules(settings):
        yield from _match_findings(rule.source, ("inhibit", index, "source"), recorded)
        yield from _match_findings(rule.target, ("inhibit", index, "target"), recorded)
    for index, silence in enumerate(settings.silences):
        yield from _match_findings(silence.match, ("silences", index, "match"), recorded)


def _route_findings(settings: ConsumerSettings, recorded: Sequence[Texts]) -> Iterator[Finding]:
    top = Route(settings.route, single=settings.single)
    asked: Counter[str] = Counter()
    held: Counter[str] = Counter()
    dropped: Counter[tuple[str, int]] = Counter()
    for texts in recorded:
        for visit in top.walk(texts):
            asked[visit.route.name] += 1
            held[visit.route.name] += visit.verdict != Verdict.REFUSES
            if visit.drop is not None:
                dropped[visit.route.name, visit.drop] += 1
    locations = reach(settings).locations
    for node in top.nodes():
        if node.name not in locations:
            continue
        location = locations[node.name]
        if not held[node.name]:
            yield Finding(location, _nothing(asked[node.name], len(recorded)))
        elif node.match != MatchSettings():
            yield from _everything(held[node.name], len(recorded), (*location, "match"))
        for index, _ in enumerate(node.settings.drop) if held[node.name] else ():
            yield from _drop_finding(dropped[node.name, index], held[node.name], (*location, "drop", index))


def _nothing(asked: int, number: int) -> str:
    if not asked:
        return f"none of the {number} events in the recording reaches it"
    return f"takes none of the {asked} events in the recording that reach it"


def _everything(held: int, number: int, location: Location) -> Iterator[Finding]:
    if held == number:
        yield Finding(location, f"matches every one of the {number} events in the recording")


def _drop_finding(dropped: int, reached: int, location: Location) -> Iterator[Finding]:
    if not dropped:
        yield Finding(location, f"drops none of the {reached} events in the recording that come to it")
    elif dropped == reached:
        yield Finding(location, f"drops every one of the {reached} events in the recording that come to it")


def _match_findings(match: MatchSettings, location: Location, recorded: Sequence[Texts]) -> Iterator[Finding]:
    if match == MatchSettings():
        return
    held = sum(map(match_of(match), recorded))
    if not held:
        yield Finding(location, f"matches none of the {len(recorded)} events in the recording")
    yield from _everything(held, len(recorded), location)
