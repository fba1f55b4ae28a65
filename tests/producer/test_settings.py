from pathlib import Path

import pytest

from tocsin_producer.settings import ProducerSettings, load_settings
from tocsin_schemas.configuration import ConfigurationError

MINIMAL = "cluster: edge-042\nbroker: {url: mqtts://broker.example.com}\n"


def load(folder: Path, text: str, environment: dict[str, str] | None = None) -> ProducerSettings:
    path = folder / "producer.yaml"
    path.write_text(text)
    return load_settings(path, environment or {})


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_cluster_and_a_broker_are_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL)
    assert (settings.topic_root, settings.message_limit) == ("k8s/v1", 1024)
    assert (settings.outbox.path, settings.outbox.max_messages, settings.outbox.max_bytes) == (None, 2000, 1048576)


def test_by_default_warnings_and_node_conditions_pass_and_the_noise_of_every_start_does_not(
    tmp_path: Path,
) -> None:
    events = load(tmp_path, MINIMAL).events
    assert [rule.rule().patterns.get("type") for rule in events.include] == ["Warning", "Normal"]
    assert [rule.rule().patterns for rule in events.exclude] == [
        {"reason": "InvalidDiskCapacity|CgroupV1|PossibleMemoryBackedVolumesOnDisk"}
    ]


def test_everything_that_is_wrong_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
cluster: Edge_042
broker:
  url: broker.example.com
  password_file: /nonexistent/password
events:
  include:
    - {type: Warning}
    - {reason: "*BackOff"}
    - {raison: BackOff}
    - {min_count: 0}
outbox: {max_bytes: lots}
message_limit: 4
"""
    found = problems(tmp_path, text)
    assert [problem.partition(" ")[0] for problem in found] == [
        "producer.yaml:1:",
        "producer.yaml:3:",
        "producer.yaml:4:",
        "producer.yaml:8:",
        "producer.yaml:9:",
        "producer.yaml:10:",
        "producer.yaml:11:",
        "producer.yaml:12:",
    ]
    assert "events.include[1].reason: expected a regular expression, found '*BackOff'" in found[3]
    assert "events.include[2].raison: unknown key; did you mean reason?" in found[4]


@pytest.mark.parametrize(
    ("reset_at", "seconds"), [("00:00", 0), ("16:30", 59_400), ("00:00+08:00", 57_600), ("23:00-02:00", 3_600)]
)
def test_a_day_of_the_budget_begins_at_a_time_of_any_zone(tmp_path: Path, reset_at: str, seconds: int) -> None:
    settings = load(tmp_path, MINIMAL + f"budget: {{per_day: 5MiB, reset_at: '{reset_at}'}}")
    assert (settings.budget.per_day, settings.budget.reset_seconds) == (5 * 1024**2, seconds)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("events: {include: [{type: warning}]}", "expected what matches Normal or Warning, found 'warning'"),
        ("events: {include: [{type: [Error]}]}", "expected what matches Normal or Warning, found ['Error']"),
        ("events: {exclude: [{}]}", "expected at least one field; a rule without any excludes every event"),
        ("events: {include: [{reason: []}]}", "an empty list matches nothing"),
        ("outbox: {max_messages: true}", "expected a whole number, found true"),
        ("outbox: {max_bytes: 32KiB}", "expected at least 65536"),
        ("outbox: {path: /tmp}", "expected the path of a file, found a directory"),
        ("fold: {interval: 25h}", "expected at most 1 day"),
        ("budget: {per_day: 100KiB}", "expected at least 262144"),
        ("budget: {per_day: 1MiB, reset_at: 16:00}", "expected text, found 960; put it in quotes"),
        ("budget: {per_day: 1MiB, reset_at: noon}", "expected a time of day such as 00:00 (UTC) or 00:00+08:00"),
        ("budget: {per_day: 1MiB, reset_at: '00:00:30'}", "expected hours and minutes alone"),
        ("budget: {reset_at: '00:00'}", "budget.reset_at: does nothing without per_day"),
        ("message_limit: 8193", "expected at most 8192"),
    ],
)
def test_what_would_do_nothing_or_too_much_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems(tmp_path, MINIMAL + text)
    assert problem in found


def test_a_rule_without_fields_includes_every_event(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + "events: {include: [{}]}").events.include[0].rule().patterns == {}


@pytest.mark.parametrize("root", ["", "/k8s", "k8s/", "k8s/+", "k8s/#", "$SYS/x", "a b"])
def test_a_topic_root_must_be_one(tmp_path: Path, root: str) -> None:
    (problem,) = problems(tmp_path, f'{MINIMAL}topic_root: "{root}"\n')
    assert "topic_root" in problem


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    environment = {"TOCSIN_CLUSTER": "edge-7", "TOCSIN_OUTBOX_MAX_MESSAGES": "7", "TOCSIN_LOG_LEVEL": "debug"}
    settings = load(tmp_path, MINIMAL, environment)
    assert (settings.cluster, settings.outbox.max_messages, settings.log.level) == ("edge-7", 7, "debug")


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "127.0.0.1:1", "localhost:9100", "[::]:8080"])
def test_probes_are_answered_where_it_says(tmp_path: Path, listen: str) -> None:
    assert load(tmp_path, f'{MINIMAL}http: {{listen: "{listen}"}}\n').http.listen == listen
    assert load(tmp_path, MINIMAL).http.listen is None


@pytest.mark.parametrize(
    "listen", ["8080", ":8080", "::1:8080", "host:", "host:http", "host:0", "host:65536", "host:8\u0660"]
)
def test_an_address_to_listen_on_must_be_host_and_port(tmp_path: Path, listen: str) -> None:
    (problem,) = problems(tmp_path, f'{MINIMAL}http: {{listen: "{listen}"}}\n')
    assert "http.listen: expected host:port such as" in problem
