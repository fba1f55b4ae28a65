from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.consumer.test_settings import GOOD, load, problems
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.silence import RecurringSilence
from tocsin_consumer.window import Window

HOUR = timedelta(hours=1)
SILENCE = "silences:\n  - name: nightly\n    match: {cluster: 'edge-.*'}\n    windows: "


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consumer.yaml"


def window(file: Path, text: str) -> Window:
    [silence] = load(file, GOOD + SILENCE + f"[{text}]").recurring_silences
    [found] = silence.windows
    return found


def problem(file: Path, text: str) -> str:
    [found] = problems(file, GOOD + SILENCE + f"[{text}]")
    return found.removeprefix("8: silences[0].windows[0].")


def test_a_silence_has_what_is_written(file: Path) -> None:
    text = SILENCE + "\n      - {days: [mon, thu], from: '22:00', to: '04:00'}\n"
    more = "    time_zone: Asia/Shanghai\n    author: lena\n    comment: backups\n"
    assert load(file, GOOD + text + more).recurring_silences == [
        RecurringSilence(
            "nightly",
            MatchSettings(cluster="edge-.*"),
            (Window(frozenset({0, 3}), 22 * HOUR, 4 * HOUR),),
            ZoneInfo("Asia/Shanghai"),
            "lena",
            "backups",
        )
    ]


def test_its_time_zone_is_that_of_the_file_where_it_says_none(file: Path) -> None:
    text = "time_zone: Europe/Berlin\n" + SILENCE + "[{days: sat-sun}]"
    [silence] = load(file, GOOD + text).recurring_silences
    assert silence.time_zone == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("days", "numbers"),
    [
        ("[mon-fri]", {0, 1, 2, 3, 4}),
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("[Sat, Sunday]", {5, 6}),
        ("[fri-mon]", {4, 5, 6, 0}),
        ("[mon-wed, wed-thu]", {0, 1, 2, 3}),
        ("sun", {6}),
        ("[tue-tue]", {1}),
    ],
)
def test_days_are_written_one_by_one_or_as_ranges(file: Path, days: str, numbers: set[int]) -> None:
    assert window(file, f"{{days: {days}}}").days == numbers


def test_a_window_that_says_no_times_is_the_whole_day_and_one_without_days_is_every_day(file: Path) -> None:
    assert window(file, "{days: sun}") == Window(frozenset({6}), timedelta(), 24 * HOUR)
    assert window(file, "{from: '1:30', to: '24:00'}") == Window(frozenset(range(7)), 1.5 * HOUR, 24 * HOUR)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{from: 22:00, to: '04:00'}",
            'from: expected a time such as "22:00", found 1320; put it in quotes',
        ),
        ("{from: '25:00'}", """from: expected a time of day such as "07:30" or "24:00", found '25:00'"""),
        ("{to: '7pm'}", """to: expected a time of day such as "07:30" or "24:00", found '7pm'"""),
        ("{from: '24:00'}", 'from: expected a time before "24:00"; the next day begins at "00:00"'),
        (
            "{from: '07:00', to: '7:00'}",
            'to: expected another time than from; a whole day is from "00:00" to "24:00"',
        ),
        ("{days: [mo]}", "days[0]: expected a day such as mon, or days such as mon-fri, found 'mo'"),
        (
            "{days: [mon, 'mon:fri']}",
            "days[1]: expected a day such as mon, or days such as mon-fri, found 'mon:fri'",
        ),
        ("{days: []}", "days: expected a list of at least 1, found an empty list"),
        ("{day: mon}", "day: unknown key; did you mean days?"),
    ],
)
def test_a_window_that_is_wrong_is_told_with_its_line(file: Path, text: str, expected: str) -> None:
    assert problem(file, text) == expected


def test_all_that_is_wrong_with_silences_is_told_at_once(file: Path) -> None:
    text = (
        "silences:\n"
        "  - name: a\n    match: {}\n    windows: []\n"
        "  - name: b\n    match: {clusters: x, reason: []}\n    windows: [{}]\n    time_zone: Europe/Berln\n"
    )
    assert problems(file, GOOD + text) == [
        "7: silences[0].match: expected at least one field; to hold everything, write cluster: .*",
        "8: silences[0].windows: expected a list of at least 1, found an empty list",
        "10: silences[1].match.clusters: unknown key; did you mean cluster?",
        "10: silences[1].match.reason: expected at least one text; an empty list matches nothing",
        "12: silences[1].time_zone: expected an IANA time zone such as Asia/Shanghai or UTC, found 'Europe/Berln'",
    ]


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("silences", "{name: a, match: {kind: Pod}, windows: [{}]}"),
        ("inhibit", "{name: a, source: {kind: Node}, target: {}}"),
    ],
)
def test_a_name_stands_there_once(file: Path, section: str, entry: str) -> None:
    text = f"{section}:\n  - {entry}\n  - {entry}\n"
    assert problems(file, GOOD + text) == [f"7: {section}[1].name: 'a' stands here for the second time"]


def test_without_rules_those_of_tocsin_inhibit_and_an_empty_list_is_none(file: Path) -> None:
    assert load(file, GOOD).inhibit == list(DEFAULT_RULES)
    assert load(file, GOOD + "inhibit: []").inhibit == []


def test_a_rule_says_what_inhibits_what_in_one_cluster_unless_it_says_otherwise(file: Path) -> None:
    text = "inhibit:\n  - {source: {reason: Down}, target: {kind: Pod}}\n"
    text += "  - {source: {kind: X}, target: {}, equal: []}\n"
    first, second = load(file, GOOD + text).inhibit
    assert (first.name, first.source.reason, first.target.kind, first.equal) == (None, "Down", "Pod", ["cluster"])
    assert second.equal == []


def test_all_that_is_wrong_with_rules_is_told_at_once(file: Path) -> None:
    text = (
        "inhibit:\n"
        "  - {source: {}, target: {kind: Pod}}\n"
        "  - {source: {kind: Node}, equal: [cluster, nodes]}\n"
        "  - {sources: {kind: Node}, source: {kind: Node}, target: {knd: Pod}}\n"
    )
    known = (
        "'cluster', 'namespace', 'type', 'reason', 'kind', 'name', 'component', 'node', 'message', 'field' "
        "or 'severity'"
    )
    assert problems(file, GOOD + text) == [
        "6: inhibit[0].source: expected at least one field; what everything inhibits is never told",
        f"7: inhibit[1].equal[1]: expected {known}, found 'nodes'",
        "7: inhibit[1].target: is required but missing",
        "8: inhibit[2].sources: unknown key; did you mean source?",
        "8: inhibit[2].target.knd: unknown key; did you mean kind?",
    ]
