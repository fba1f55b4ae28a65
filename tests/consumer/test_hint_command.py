import re
import shlex
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_consumer.hints import PLACEHOLDERS, TABLE, CommandTemplate
from tocsin_consumer.inert import one_line


def filled(template: str, **names: str) -> str | None:
    return CommandTemplate(template).filled(dict.fromkeys(PLACEHOLDERS, "") | names)


def test_an_option_is_left_out_whose_value_the_event_lacks() -> None:
    assert filled("kubectl -n {namespace} logs {name} -c {container} --previous", name="a") == (
        "kubectl logs a --previous"
    )
    assert filled("kubectl logs --pod={name} --ns={namespace}", name="a") == "kubectl logs --pod=a"


def test_there_is_no_command_without_what_it_is_about() -> None:
    assert filled("kubectl describe node {node}") is None
    assert filled("kubectl -n {namespace} get pod/{name}", namespace="a") is None


def test_a_pipe_that_stands_alone_is_one_and_all_else_is_text() -> None:
    assert filled("kubectl get {name} | grep '$HOME' *.yaml", name="|") == (
        "kubectl get '|' | grep '$HOME' '*.yaml'"
    )


def test_a_doubled_brace_is_one() -> None:
    assert filled("kubectl get pod {name} -o jsonpath='{{.spec}}'", name="a") == (
        "kubectl get pod a -o 'jsonpath={.spec}'"
    )


@pytest.mark.parametrize(
    "name", ["-o", "--kubeconfig=/dev/stdin", "a\nb", "a\x1b[2J", "\u202ecba", "a\rb", "\x00"]
)
def test_no_command_has_a_name_that_is_an_option_or_acts(name: str) -> None:
    assert filled("kubectl get pod {name}", name=name) is None
    assert filled("kubectl get pod/{name}", name=name) is None


@pytest.mark.parametrize("name", ["$(reboot)", "a b", "a;b", "a'b"])
@pytest.mark.parametrize("program", ["ssh {name} uptime", "sh -c 'echo {name}'", "echo {name} | xargs ls"])
def test_no_name_that_needs_quotes_is_given_to_what_reads_it_again(program: str, name: str) -> None:
    assert filled(program, name=name) is None
    assert filled(program, name="pi-3.lan") is not None


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("", "expected a program"),
        ("{name} -n", "expected a program"),
        ("kubectl get |", "expected a program"),
        ("kubectl | | x", "expected a program"),
        ("kubectl get pod {pod}", r"\{pod\} is no placeholder; there are \{cluster\}, .*, and \{\{ is a brace"),
        ("kubectl get {name!r}", r"'\{name!r\}': expected \{name\} as it is, without ! or : in it"),
        ("kubectl get {name:>9}", r"'\{name:>9\}': expected \{name\} as it is"),
        ("kubectl get {}", "is no placeholder"),
        (
            "kubectl get {name",
            r"expected \{\{ and \}\} for braces, .* \{name\}, .*; found a brace alone in '\{name'",
        ),
        ("kubectl get name}", "found a brace alone in 'name}'"),
        ("kubectl get 'pod", "found a quote that is not closed"),
        ("kubectl get pod\\", "found a backslash with nothing behind it"),
        ("kubectl get pod\nreboot", "expected one line"),
    ],
)
def test_what_is_no_command_is_refused(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CommandTemplate(template)


HOSTILE = (
    st.text(max_size=30)
    | st.text("-;|&$`'\"\\ <>(){}[]*?!#~=%\n\x1b\u202eab", max_size=20)
    | st.sampled_from(["$(reboot)", "'; reboot; '", '"', "a b", "--all", "`reboot`", "{name}", "{{", "\ud800"])
)
TEMPLATES = sorted({entry.command for entry in TABLE if entry.command} | {"echo a{name}b | grep {kind} '{{x}}'"})


def intended(template: str, names: Mapping[str, str]) -> list[str]:
    """Return the words of the command, each put together by replacing, and without options that lack a value."""
    words = shlex.split(template)
    kept = [word for index, word in enumerate(words) if not _lacks(words[index : index + 2], names)]
    kept = [word for word in kept if word not in {f"{{{name}}}" for name, value in names.items() if not value}]
    return [_replaced(word, names) for word in kept]


def _lacks(pair: list[str], names: Mapping[str, str]) -> bool:
    return pair[0].startswith("-") and pair[-1][1:-1] in names and not names[pair[-1][1:-1]]


def _replaced(word: str, names: Mapping[str, str]) -> str:
    parts = re.split(r"(\{\{|\}\}|\{\w+\})", word)
    return "".join({"{{": "{", "}}": "}"}.get(part) or names.get(part[1:-1], part) for part in parts)


@given(st.sampled_from(TEMPLATES), st.fixed_dictionaries(dict.fromkeys(PLACEHOLDERS, HOSTILE)))
def test_a_shell_reads_exactly_the_intended_words_whatever_the_names(template: str, names: dict[str, str]) -> None:
    command = CommandTemplate(template).filled(names)
    if command is None:
        used = [names[name] for name in PLACEHOLDERS if f"{{{name}}}" in template]
        assert any(not value or value.startswith("-") or one_line(value) != value for value in used)
    else:
        assert shlex.split(command) == intended(template, names)
        assert one_line(command) == command
