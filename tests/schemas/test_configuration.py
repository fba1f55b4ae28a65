from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, SecretStr, field_validator

from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.configuration import (
    ConfigurationError,
    Duration,
    PatternField,
    ReadableFile,
    Settings,
    Size,
    load,
)


class Rule(Settings):
    reason: PatternField | None = None
    min_count: int = Field(default=1, ge=1)


class Hook(Settings):
    name: str
    url: str | None = None
    headers: dict[str, str] = Field(default={})


class Log(Settings):
    level: Literal["info", "debug"] = "info"


class Everything(Settings):
    cluster: Annotated[str, Field(pattern="^[a-z]+$")]
    broker: BrokerSettings | None = None
    wait: Duration | None = None
    size: Size | None = None
    loud: bool = False
    rules: list[Rule] = Field(default=[], min_length=1, max_length=3)
    hooks: list[Hook] = Field(default=[])
    names: list[str] = Field(default=[])
    log: Log = Log()
    token: SecretStr | None = None
    token_file: ReadableFile | None = None
    continue_: bool = Field(default=False, alias="continue")

    @field_validator("cluster")
    @classmethod
    def _check_cluster(cls, cluster: str) -> str:
        if cluster == "forbidden":
            raise ValueError("expected another name")
        return cluster


Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return what writes conf.yaml into the current folder, so that its name in messages is short."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes) -> Path:
        path = Path("conf.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read(path: Path, **environment: str) -> Everything:
    return load(Everything, path, environment=environment, planned={"fold": "comes later; remove this key"})[0]


def problems(path: Path, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        read(path, **environment)
    told = [str(problem) for problem in error.value.problems]
    assert str(error.value).splitlines() == told
    return told


def test_a_file_becomes_settings(write: Write) -> None:
    settings = read(write("cluster: edge\nrules: [{reason: BackOff}]\nlog: {level: debug}\ncontinue: true\n"))
    assert (settings.cluster, settings.log.level, settings.continue_) == ("edge", "debug", True)
    assert settings.rules == [Rule(reason="BackOff")]


def test_settings_cannot_be_changed(write: Write) -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(write("cluster: edge")).cluster = "other"  # type: ignore[misc] # mypy knows it too


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "conf.yaml: cluster: is required but missing"),
        ("# only words\n", "conf.yaml: cluster: is required but missing"),
        ("cluster: edge\nhooks:\n  - url: x\n", "conf.yaml:3: hooks[0].name: is required but missing"),
        ("cluster: edge\nclutser: edge\n", "conf.yaml:2: clutser: unknown key; did you mean cluster?"),
        ("cluster: edge\n\nlog:\n  format: x\n", "conf.yaml:4: log.format: unknown key; known here: level"),
        ("cluster: edge\nlog: {levle: x}\n", "conf.yaml:2: log.levle: unknown key; did you mean level?"),
        (
            "cluster: edge\nrules:\n- {min_cuont: 2}\n",
            "conf.yaml:3: rules[0].min_cuont: unknown key; did you mean min_count?",
        ),
        ("cluster: edge\ncontinu: true\n", "conf.yaml:2: continu: unknown key; did you mean continue?"),
        ("cluster: edge\nfold: {interval: 30m}\n", "conf.yaml:2: fold: comes later; remove this key"),
        ("cluster: edge\nlog:\n  fold: 1\n", "conf.yaml:3: log.fold: comes later; remove this key"),
        ('cluster: edge\n"two words": 1\n', "conf.yaml:2: two words: unknown key; known here: broker, cluster,"),
        ("cluster: edge\non: 1\n", "conf.yaml:2: on: unknown key;"),
        ("cluster: Edge_1\n", "conf.yaml:1: cluster: expected text of the form ^[a-z]+$, found 'Edge_1'"),
        ("cluster: forbidden\n", "conf.yaml:1: cluster: expected another name"),
        ("cluster: 042\n", "conf.yaml:1: cluster: expected text, found 34; put it in quotes"),
        ("cluster: yes\n", "conf.yaml:1: cluster: expected text, found true; put it in quotes"),
        ("cluster: 2026-11-23\n", "conf.yaml:1: cluster: expected text, found 2026-11-23; put it in quotes"),
        ("cluster:\n", "conf.yaml:1: cluster: expected text, found nothing"),
        ("cluster: [a]\n", "conf.yaml:1: cluster: expected text, found a list"),
        ("cluster: {a: 1}\n", "conf.yaml:1: cluster: expected text, found keys and values"),
        ("cluster: e\nlog: debug\n", "conf.yaml:2: log: expected keys and values, found text"),
        ("cluster: e\nlog:\n", "conf.yaml:2: log: expected keys and values, found nothing"),
        ("cluster: e\nlog: [level]\n", "conf.yaml:2: log: expected keys and values, found a list"),
        ("cluster: e\nlog: {level: loud}\n", "conf.yaml:2: log.level: expected 'info' or 'debug', found 'loud'"),
        ("cluster: e\nlog:\n  level: 5\n", "conf.yaml:3: log.level: expected 'info' or 'debug', found 5"),
        ("cluster: e\nloud: perhaps\n", "conf.yaml:2: loud: expected true or false, found 'perhaps'"),
        ("cluster: e\nrules: []\n", "conf.yaml:2: rules: expected a list of at least 1, found an empty list"),
        ("cluster: e\nrules: {reason: x}\n", "conf.yaml:2: rules: expected a list, found keys and values"),
        ("cluster: e\nrules:\n- x\n", "conf.yaml:3: rules[0]: expected keys and values, found text"),
        (
            "cluster: e\nrules:\n- {}\n- min_count: 0\n",
            "conf.yaml:4: rules[1].min_count: expected at least 1, found 0",
        ),
        (
            "cluster: e\nrules:\n- min_count: many\n",
            "conf.yaml:3: rules[0].min_count: expected a whole number, found 'many'",
        ),
        (
            "cluster: e\nrules:\n- min_count: 1.5\n",
            "conf.yaml:3: rules[0].min_count: expected a whole number, found 1.5",
        ),
        ("cluster: e\nnames:\n- a\n- 7\n", "conf.yaml:4: names[1]: expected text, found 7; put it in quotes"),
        (
            "cluster: e\nrules:\n- reason: '*Off'\n",
            "conf.yaml:3: rules[0].reason: expected a regular expression, found '*Off': nothing to repeat",
        ),
        (
            "cluster: e\nrules:\n- reason: '('\n",
            "conf.yaml:3: rules[0].reason: expected a regular expression, found '('",
        ),
        (
            "cluster: e\nrules:\n- reason: 404\n",
            "conf.yaml:3: rules[0].reason: expected a regular expression or a list of texts, found 404; put it in",
        ),
        (
            "cluster: e\nrules:\n- reason: [404]\n",
            "conf.yaml:3: rules[0].reason: expected a list of texts, found 404 in it; put it in quotes",
        ),
        ("cluster: e\nwait: 5\n", "conf.yaml:2: wait: expected a duration such as 30s, 5m, 4h or 7d, found 5"),
        ("cluster: e\nsize: big\n", "conf.yaml:2: size: expected a size such as 512KiB or 10MB, found 'big'"),
    ],
)
def test_one_mistake_is_told_with_its_line_its_key_and_what_was_expected(
    text: str, expected: str, write: Write
) -> None:
    (told,) = problems(write(text))
    assert told.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"cluster: \xff", "conf.yaml: is not UTF-8 (byte 9)"),
        (b"a: 1\nb: \x00\n", "conf.yaml:2: is not YAML: control character"),
        ("a: 1\na: 2\n", "conf.yaml:2: is not YAML: the key a stands here for the second time"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "conf.yaml:4: is not YAML: the key b stands here for the second time"),
        ('a: 1\n"a": 2\n', "conf.yaml:2: is not YAML: the key a stands here for the second time"),
        ("a: [1\nb: 2\n", "conf.yaml:2: is not YAML: "),
        ("a: b: c\n", "conf.yaml:1: is not YAML: text with a colon in it wants quotes"),
        ("a:\n  b: 1\n c: 2\n", "conf.yaml:3: is not YAML: the indentation differs from that of the lines above"),
        ("a:\n\tb: 1\n", "conf.yaml:2: is not YAML: a tab; YAML is indented by spaces"),
        ("a: 1\n---\nb: 2\n", "conf.yaml:2: is not YAML: --- begins a second document"),
        ("a: *x\n", "conf.yaml:1: is not YAML: text that begins with * wants quotes"),
        ("a: 1\nb: !x y\n", "conf.yaml:2: is not YAML: text that begins with ! wants quotes"),
        (
            "a: 1\nb: 2026-02-30\n",
            "conf.yaml:2: is not YAML: looks like a number or a date but is none",
        ),
        ("a: 0x_\n", "conf.yaml:1: is not YAML: looks like a number or a date but is none; put it in quotes"),
        ("a: !!bool perhaps\n", "conf.yaml:1: is not YAML: looks like a number"),
        ("? [a]\n: 1\n", "conf.yaml:1: is not YAML: a key that is not text"),
        ("a: &a [*a]\n", "conf.yaml: is nested too deeply, or an alias refers to what contains it"),
        ("[" * 2000, "conf.yaml: is nested too deeply"),
        ("- a\n- b\n", "conf.yaml: expected keys and values, found a list"),
        ("words\n", "conf.yaml: expected keys and values, found 'words'"),
    ],
)
def test_a_file_that_is_not_yaml_or_no_keys_and_values_is_told_with_its_line(
    text: str | bytes, expected: str, write: Write
) -> None:
    (told,) = problems(write(text))
    assert told.startswith(expected)


def test_a_file_that_is_not_there_or_a_folder_is_told(write: Write) -> None:
    assert problems(Path("missing.yaml")) == ["missing.yaml: cannot be read: No such file or directory"]
    folder = write("").parent
    assert problems(folder / ".") == [".: cannot be read: Is a directory"]


def test_a_byte_order_mark_does_no_harm(write: Write) -> None:
    assert read(write(b"\xef\xbb\xbfcluster: edge\n")).cluster == "edge"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    lines = [
        "loud: perhaps",
        "wait: 5",
        "log:",
        "  level: loud",
        "zebra: 1",
        "rules:",
        "- min_count: 0",
        "size: x",
    ]
    path = write("\n".join(lines * 1) + "\n")
    told = problems(path, TOCSIN_LOG_LEVEL="louder")
    assert [problem.split(": ")[:2] for problem in told] == [
        ["conf.yaml", "cluster"],
        ["conf.yaml:1", "loud"],
        ["conf.yaml:2", "wait"],
        ["conf.yaml:5", "zebra"],
        ["conf.yaml:7", "rules[0].min_count"],
        ["conf.yaml:8", "size"],
        ["environment variable TOCSIN_LOG_LEVEL", "log.level"],
    ]


def test_line_ten_comes_behind_line_nine(write: Write) -> None:
    told = problems(write("cluster: e\nnames:\n" + "- 1\n" * 10))
    assert [problem.split(": ")[0] for problem in told] == [f"conf.yaml:{line}" for line in range(3, 13)]


def test_an_anchor_may_be_used_again_and_a_mistake_is_told_where_it_is_written(write: Write) -> None:
    text = "cluster: e\nrules:\n- &rule\n  min_count: 0\n- *rule\n"
    assert problems(write(text)) == [
        "conf.yaml:4: rules[0].min_count: expected at least 1, found 0",
        "conf.yaml:4: rules[1].min_count: expected at least 1, found 0",
    ]


def test_merged_keys_may_be_overridden_and_stand_in_an_alias(write: Write) -> None:
    text = (
        "cluster: e\n"
        "rules:\n"
        "- &base {reason: a, min_count: 2}\n"
        "- &more\n"
        "  <<: *base\n"
        "  reason: b\n"
        "- *more\n"
        "names: [x]\n"
    )
    rules = read(write(text)).rules
    assert rules == [Rule(reason="a", min_count=2), Rule(reason="b", min_count=2), Rule(reason="b", min_count=2)]


def test_a_key_written_twice_is_a_mistake_beside_a_merge_as_well(write: Write) -> None:
    text = "cluster: e\nrules:\n- &base {reason: a}\n- <<: *base\n  reason: b\n  reason: c\n"
    (told,) = problems(write(text))
    assert told == "conf.yaml:6: is not YAML: the key reason stands here for the second time"


def test_a_mistake_in_an_overridden_key_is_told_at_the_line_that_counts(write: Write) -> None:
    text = "cluster: e\nrules:\n- &base {min_count: 3}\n- <<: *base\n  min_count: 0\n"
    (told,) = problems(write(text))
    assert told.startswith("conf.yaml:5: rules[1].min_count")


def test_the_environment_is_laid_over_the_file(write: Write) -> None:
    path = write("cluster: edge\nlog: {level: info}\n")
    settings = read(path, TOCSIN_CLUSTER="other", TOCSIN_LOG_LEVEL="debug", TOCSIN_WAIT="5m", TOCSIN_LOUD="true")
    assert (settings.cluster, settings.log.level, settings.loud) == ("other", "debug", True)
    assert settings.wait is not None
    assert settings.wait.total_seconds() == 300


def test_the_environment_alone_is_enough(write: Write) -> None:
    settings = read(write(""), TOCSIN_CLUSTER="edge", TOCSIN_BROKER_URL="mqtt://localhost")
    assert settings.broker is not None
    assert settings.broker.url == "mqtt://localhost"


def test_a_key_with_an_alias_has_a_variable_of_that_name(write: Write) -> None:
    assert read(write("cluster: e"), TOCSIN_CONTINUE="true").continue_


def test_a_mistake_in_a_variable_names_the_variable(write: Write) -> None:
    (told,) = problems(write("cluster: e\nwait: 5m\n"), TOCSIN_WAIT="soon")
    assert told.startswith("environment variable TOCSIN_WAIT: wait: expected a duration")


def test_variables_that_belong_to_no_key_are_none_of_our_business(write: Write) -> None:
    # Kubernetes itself sets TOCSIN_SERVICE_HOST in every pod beside a Service called tocsin.
    assert read(write("cluster: e"), TOCSIN_SERVICE_HOST="10.0.0.1", TOCSIN_RULES="x").rules == []


def test_a_variable_for_a_value_replaces_the_files_file_and_the_other_way_round(write: Write) -> None:
    secret = write("").with_name("secret")
    secret.write_text("s")
    by_file = write(f"cluster: e\ntoken_file: {secret}\n")
    assert read(by_file, TOCSIN_TOKEN="t").token_file is None
    by_value = write("cluster: e\ntoken: t\n")
    settings = read(by_value, TOCSIN_TOKEN_FILE=str(secret))
    assert (settings.token, settings.token_file) == (None, secret)


def test_a_value_and_its_file_both_in_the_environment_are_a_contradiction(write: Write) -> None:
    secret = write("").with_name("secret")
    secret.write_text("s")
    path = write("cluster: e\nbroker: {url: 'mqtt://x'}\n")
    (told,) = problems(path, TOCSIN_BROKER_PASSWORD="p", TOCSIN_BROKER_PASSWORD_FILE=str(secret))
    assert told.endswith("broker.password_file: expected either password or password_file, found both")


SECRET = "hunter2-7c9e"


@pytest.mark.parametrize(
    "text",
    [
        f"token: [{SECRET}]",
        f"token: {{a: {SECRET}}}",
        f"tokn: {SECRET}",
        f"token_file: {SECRET}",
        f"token_file: https://example.com/{SECRET}",
        f"token: *{SECRET}",
        f"token: !{SECRET} x",
        f"token: !{SECRET}",
        f"token: @{SECRET}",
        f"token: `{SECRET}",
        f"token: %{SECRET}",
        f'token: "{SECRET}',
        f'token: "\\{SECRET}"',
        f"token: a: {SECRET}",
        f"token: [{SECRET}",
        f"token: &{SECRET}",
        f"broker: mqtt://me:{SECRET}@host",
        f"broker: {{url: 'mqtt://me:{SECRET}@host'}}",
        f"broker: {{url: '{SECRET}'}}",
        f"broker: {{url: 'mqtt://[{SECRET}'}}",
        f"broker: {{url: 'mqtt://host:{SECRET}'}}",
        f"broker: {{url: 'mqtt://host?{SECRET}'}}",
        f"broker: {{url: 'mqtt://host', password: [{SECRET}]}}",
        f"broker: {{url: 'mqtt://host', password: {SECRET}, password_file: /dev/null}}",
        f"hooks: https://example.com/{SECRET}",
        f"hooks: [https://example.com/{SECRET}]",
        f"hooks: [{{name: a, url: [{SECRET}]}}]",
        f"hooks: [{{name: a, headers: {{Authorization: [{SECRET}]}}}}]",
        f"hooks: [{{name: a, headers: {SECRET}}}]",
        f"hooks: [{{url: https://example.com/{SECRET}}}]",
        f"log: {{level: https://example.com/{SECRET}}}",
        f"wait: https://example.com/{SECRET}",
    ],
)
def test_no_message_repeats_a_secret(text: str, write: Write) -> None:
    told = problems(write(f"cluster: Edge\n{text}\n"))
    assert SECRET not in "\n".join(told)


def test_a_number_as_a_password_is_not_repeated(write: Write) -> None:
    (told,) = problems(write("cluster: e\ntoken: 8675309\n"))
    assert told == "conf.yaml:2: token: expected text, found something else; put it in quotes"


def test_a_password_is_never_in_the_repr_of_settings(write: Write) -> None:
    settings = read(write(f"cluster: e\ntoken: {SECRET}\nbroker: {{url: 'mqtt://h', password: {SECRET}}}\n"))
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_a_long_value_is_cut_in_a_message(write: Write) -> None:
    (told,) = problems(write(f"cluster: {'E' * 500}\n"))
    assert len(told) < 150


def test_a_key_with_dots_and_spaces_is_named_in_full(write: Write) -> None:
    text = "cluster: e\nhooks:\n- name: a\n  headers:\n    X-Y: a\n    a.b c: 1\n"
    assert problems(write(text)) == [
        "conf.yaml:6: hooks[0].headers.a.b c: expected text, found something else; put it in quotes"
    ]


def test_for_an_expression_that_begins_with_a_star_the_right_one_is_told(write: Write) -> None:
    (told,) = problems(write("cluster: e\nrules:\n- reason: '*'\n"))
    assert told.endswith("; for any text write .*")
