from pathlib import Path

import pytest

from tests.consumer.messages import event
from tests.consumer.test_settings import GOOD, load, problems
from tocsin_consumer.check import build_receivers
from tocsin_consumer.hint_settings import overrides
from tocsin_consumer.hints import PLACEHOLDERS, Hint, hint_of
from tocsin_consumer.samples import samples


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consumer.yaml"


def written(hints: str) -> str:
    return f"{GOOD}hints:\n{hints}"


def test_without_any_the_built_in_ones_are_in_force(file: Path) -> None:
    assert overrides(load(file, GOOD).hints) == ()


def test_a_text_is_for_every_language_or_each_has_its_own(file: Path) -> None:
    text = written(
        "  - {match: {reason: BackOff}, text: see the runbook}\n"
        "  - {match: {reason: Evicted}, text: {zh: 看手册, en: see the runbook}}\n"
        "  - {match: {reason: Failed}, text: {zh: 看手册}}\n"
    )
    hints = overrides(load(file, text).hints)
    said = [
        [hint_of(event(reason=reason), hints, language) for language in ("zh", "en")]
        for reason in ("BackOff", "Evicted", "Failed")
    ]
    english, chinese = Hint("see the runbook", ""), Hint("看手册", "")
    assert said == [[english, english], [chinese, english], [chinese, chinese]]


def test_a_match_and_a_command_are_those_of_routes_and_of_built_in_hints(file: Path) -> None:
    text = written(
        "  - match: {cluster: 'edge-.*', namespace: [production], message: '.*restarting.*'}\n"
        "    command: 'kubectl --context {cluster} -n {namespace} logs {name} -c {container}'\n"
        "  - match: {kind: Pod}\n"
    )
    hints = overrides(load(file, text).hints)
    assert hint_of(event(), hints, "en") == Hint("", "kubectl --context edge-1 -n production logs api-0")
    assert hint_of(event(cluster="lab"), hints, "en") is None
    assert hint_of(event(kind="Node", reason="NodeNotReady"), hints, "en") is not None


@pytest.mark.parametrize(
    ("hint", "problem"),
    [
        ("{text: x}", "hints[0].match: is required but missing"),
        ("{match: {reasn: x}}", "hints[0].match.reasn: unknown key; did you mean reason?"),
        ("{match: {}, text: {}}", "hints[0].text: expected a text, or texts under zh and en"),
        ("{match: {}, text: {fr: x}}", "hints[0].text.fr: unknown key; known here: en, zh"),
        ("{match: {}, text: 7}", "hints[0].text: expected keys and values, found 7"),
        ("{match: {}, text: ''}", "hints[0].text.en: expected at least 1 character(s), found ''"),
        (
            "{match: {}, command: 'kubectl get {pod}'}",
            "hints[0].command: {pod} is no placeholder; there are "
            + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            + ", and {{ is a brace",
        ),
        (
            '{match: {}, command: "kubectl get \'x"}',
            "hints[0].command: expected words as for a shell, found a quote that is not closed",
        ),
        (
            "{match: {}, command: ''}",
            "hints[0].command: expected a program to run, at the start and behind each |",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_key(file: Path, hint: str, problem: str) -> None:
    assert f"6: {problem}" in problems(file, written(f"  - {hint}\n"))


def test_a_text_that_names_what_only_a_command_can_is_refused_once(file: Path) -> None:
    said = "expected a text that is said as it stands; {name} is filled in in a command only"
    assert problems(file, written("  - {match: {}, text: 'see {name}'}\n")) == [f"6: hints[0].text.en: {said}"]
    assert load(file, written("  - {match: {}, text: 'set {\"a\": 1}'}\n")).hints[0].text is not None


def test_receivers_tell_the_hints_of_the_file(file: Path) -> None:
    text = written("  - {match: {reason: BackOff}, text: call the night shift}\n")
    rendering = build_receivers(load(file, text))["dump"].render(samples()["back-off"])
    assert rendering.content.endswith("\n    → call the night shift")
