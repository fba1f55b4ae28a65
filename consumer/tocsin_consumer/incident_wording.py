"""What is said of an incident as a whole, in each language: a title, what has changed, what is left out. Pure."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tocsin_consumer.dispatch import Cause
from tocsin_consumer.incident import End
from tocsin_consumer.inert import one_line
from tocsin_consumer.labels import LABELS, Language
from tocsin_consumer.line_view import LineView
from tocsin_consumer.notice import KIND as CLUSTER
from tocsin_consumer.recovery import NODE
from tocsin_consumer.report import Report
from tocsin_consumer.severity import Severity

_BY_SEVERITY: Final = {level.value: rank for rank, level in enumerate(Severity)}
_TIME: Final = "%m-%d %H:%M"
#: Kind of the objects → how they are called in `_WORDS`.
_UNITS: Final = {NODE: "nodes", CLUSTER: "clusters"}

#: What is said → how; with an `_1` at its end, how it is said of one.
_WORDS: Final[dict[Language, dict[str, str]]] = {
    "zh": {
        "objects": "{n} 个对象",
        "nodes": "{n} 个节点",
        "clusters": "{n} 个集群",
        "kinds": "{problem} 等 {n} 种问题",
        "in": "{place} 中 {what}",
        "node": "节点 {node}",
        "recovered": "{title}{gap}已恢复",
        "quiet": "{title}{gap}未再出现",
        "over": "{title}，均已结束",
        "still": "自 {since} 起仍在持续。",
        "changed": "自上次通知（{told}）以来：{changes}。",
        "still_unchanged": "自 {since} 起仍在持续，上次通知以来没有新情况。",
        "new": "新增 {n} 项",
        "some_recovered": "恢复 {n} 项",
        "some_quiet": "{n} 项未再出现",
        "more_times": "又发生 {n} 次",
        "no_proof": "此后没有再收到相关事件，但这不等于已经恢复。",
        "some_no_proof": "其中 {n} 项只是未再出现，不等于已经恢复。",
        "left_out": "另有 {n} 项未列出（共 {times} 次）",
        "muted": "另有 {n} 项被静默或抑制",
        "beyond": "此外还有未逐项区分的问题（共 {times} 次）",
        "tally": "{n} 项{label}",
        "comma": "，",
        "semicolon": "；",
        "space": "",
    },
    "en": {
        "objects": "{n} objects",
        "objects_1": "1 object",
        "nodes": "{n} nodes",
        "nodes_1": "1 node",
        "clusters": "{n} clusters",
        "clusters_1": "1 cluster",
        "kinds": "{problem} and {others} more",
        "in": "{what} in {place}",
        "node": "node {node}",
        "recovered": "{title} recovered",
        "quiet": "{title} gone quiet",
        "over": "{title}, all over",
        "still": "Still going on since {since}.",
        "changed": "Since it was last told ({told}): {changes}.",
        "still_unchanged": "Still going on since {since}; nothing new since it was last told.",
        "new": "{n} new",
        "some_recovered": "{n} recovered",
        "some_quiet": "{n} gone quiet",
        "more_times": "{n} more occurrences",
        "more_times_1": "1 more occurrence",
        "no_proof": "Nothing more was heard of it since, which does not prove that it is over.",
        "some_no_proof": "{n} of these only went quiet, which does not prove that they are over.",
        "left_out": "and {n} more, ×{times} in all",
        "muted": "{n} muted",
        "beyond": "and others that are not told apart, ×{times}",
        "tally": "{n} {label}",
        "comma": ", ",
        "semicolon": "; ",
        "space": " ",
    },
}


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an incident as a whole."""

    #: What it is and where: of one problem its reason and owner, of several how many objects have what.
    title: str
    #: What is different since it was told last, and what its end is worth, in sentences; empty if nothing is.
    changes: str
    #: How many problems are how bad, the worst first, and then how many have ended how.
    tally: str
    object_count: int
    #: The count with what the objects are called.
    objects: str


def said_of(
    report: Report, lines: Sequence[LineView], *, since: datetime, told_at: datetime | None, language: Language
) -> Said:
    """Return what to say of `report`, whose problems are `lines`; times are those of the receiver's clock."""
    number = len({identity for line in lines for identity in line.identities()})
    objects = _objects(lines, number, language, has_more=report.has_more)
    return Said(
        title=_title(lines, report.group, objects, language),
        changes=_changes(report, lines, since=since, told_at=told_at, language=language),
        tally=_tally(lines, language),
        object_count=number,
        objects=objects,
    )


def remainder(*, left_out: int, left_out_count: int, muted: int, beyond: int, language: Language) -> str:
    """Return in words what is not listed; empty if all is."""
    said = []
    if left_out:
        said.append(_say("left_out", left_out, language, times=left_out_count))
    if beyond:
        said.append(_say("beyond", beyond, language, times=beyond))
    if muted:
        said.append(_say("muted", muted, language))
    return _WORDS[language]["semicolon"].join(said)


def worst(lines: Sequence[LineView]) -> LineView:
    """Return the problem that is the worst of those that go on, or else of all."""
    return min(lines, key=lambda line: (bool(line.ended), _BY_SEVERITY[line.severity]))


def _title(lines: Sequence[LineView], group: Mapping[str, str], objects: str, language: Language) -> str:
    if len(lines) == 1:
        [line] = lines
        is_told_by_title = line.problem == line.title and line.ended == End.RECOVERED  # a notice of the return
        return line.title if is_told_by_title else _ended(line.title, lines, language)
    what = f"{_problems(lines, language)} · {_in(_place(lines, group, language), objects, language)}"
    return _ended(what, lines, language)


def _objects(lines: Sequence[LineView], number: int, language: Language, *, has_more: bool) -> str:
    kinds = {line.kind for line in lines}
    unit = _UNITS.get(kinds.pop(), "objects") if len(kinds) == 1 else "objects"
    return _say(unit, number + has_more, language, n=f"{number}+" if has_more else number)


def _changes(
    report: Report, lines: Sequence[LineView], *, since: datetime, told_at: datetime | None, language: Language
) -> str:
    known, facts = _WORDS[language], {"since": since.strftime(_TIME), "told": told_at and told_at.strftime(_TIME)}
    different = known["comma"].join(_changed(lines, report.since_told, language)) if told_at else ""
    said = []
    if report.cause == Cause.REPEAT:
        said.append(known["still" if different else "still_unchanged"].format(**facts))
    if different:
        said.append(known["changed"].format(**facts, changes=different))
    return known["space"].join([*said, *_proof(lines, language)])


def _tally(lines: Sequence[LineView], language: Language) -> str:
    states = Counter(line.ended or line.severity for line in lines)
    ordered = [*_BY_SEVERITY, End.QUIET.value]
    labels = LABELS[language]
    return " · ".join(
        _WORDS[language]["tally"].format(n=states[state], label=labels[state])
        for state in ordered
        if states[state]
    )


def _problems(lines: Sequence[LineView], language: Language) -> str:
    problem, number = worst(lines).problem, len({line.problem for line in lines})
    if number == 1:
        return problem
    return _WORDS[language]["kinds"].format(problem=problem, n=number, others=number - 1)


def _place(lines: Sequence[LineView], group: Mapping[str, str], language: Language) -> str:
    """Return what all have in common besides their cluster, which stands beside every title; it may be nothing."""
    namespaces = {line.namespace for line in lines}
    if len(namespaces) == 1 and (namespace := namespaces.pop()):
        return namespace
    node = one_line(group.get("node", ""))
    return _WORDS[language]["node"].format(node=node) if node else ""


def _in(place: str, what: str, language: Language) -> str:
    return _WORDS[language]["in"].format(place=place, what=what) if place else what


def _ended(what: str, lines: Sequence[LineView], language: Language) -> str:
    ends = {line.ended for line in lines}
    if "" in ends:
        return what
    gap = " " if what[-1:].isascii() else ""  # Chinese has none between its own characters
    return _WORDS[language][ends.pop() if len(ends) == 1 else "over"].format(title=what, gap=gap)


def _changed(lines: Sequence[LineView], new_count: int, language: Language) -> Iterator[str]:
    """Yield what is different; that the only problem has ended stands in the title."""
    begun = sum(line.is_new for line in lines)
    ended = Counter(line.ended for line in lines if line.is_over and len(lines) > 1)
    for name, number in (
        ("new", begun),
        ("some_recovered", ended[End.RECOVERED]),
        ("some_quiet", ended[End.QUIET]),
        ("more_times", new_count),
    ):
        if number:
            yield _say(name, number, language)


def _proof(lines: Sequence[LineView], language: Language) -> list[str]:
    """Return what is to be said of problems of which nothing more was heard, once all are over."""
    quiet = sum(line.ended == End.QUIET for line in lines)
    if not quiet or not all(line.ended for line in lines):
        return []
    return [_say("no_proof" if quiet == len(lines) else "some_no_proof", quiet, language)]


def _say(name: str, number: int, language: Language, **facts: object) -> str:
    known = _WORDS[language]
    form = known.get(f"{name}_1", known[name]) if number == 1 else known[name]
    return form.format_map({"n": number, **facts})
