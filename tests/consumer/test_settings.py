import traceback
from datetime import timedelta
from pathlib import Path

import pytest

from tocsin_consumer.dispatch import Timing
from tocsin_consumer.presence import Rules
from tocsin_consumer.route import Route
from tocsin_consumer.settings import ConsumerSettings, load_settings
from tocsin_schemas.configuration import ConfigurationError

GOOD = """\
broker: {url: "mqtt://localhost", username: ops}
receivers:
  - {name: dump, stdout: {}}
route: {receivers: [dump]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consumer.yaml"


def load(file: Path, text: str, **environment: str) -> ConsumerSettings:
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environment)[0]


def problems(file: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(file, text, **environment)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_what_is_not_written_has_a_sensible_value(file: Path) -> None:
    settings = load(file, GOOD)
    assert settings.topic_root == "k8s/v1"
    assert settings.store == "sqlite:////var/lib/tocsin/tocsin.db"
    assert (settings.retention.days, settings.broker.session_expiry.days) == (30, 7)
    assert (str(settings.time_zone), settings.language) == ("UTC", "en")
    assert (settings.log.level, settings.log.format) == ("info", "text")


def test_the_client_id_is_made_from_the_account(file: Path) -> None:
    assert load(file, GOOD).client_id == "tocsin-consumer-ops"
    assert load(file, GOOD, TOCSIN_BROKER_CLIENT_ID="other").client_id == "other"


def test_without_an_account_a_client_id_is_required(file: Path) -> None:
    text = GOOD.replace(", username: ops", "")
    assert problems(file, text) == ["1: broker.client_id: is required where there is no username to make it from"]


def test_scalars_come_from_the_environment_as_well(file: Path) -> None:
    settings = load(file, GOOD, TOCSIN_TIME_ZONE="Asia/Shanghai", TOCSIN_LOG_LEVEL="debug", TOCSIN_RETENTION="60d")
    assert (str(settings.time_zone), settings.log.level, settings.retention.days) == ("Asia/Shanghai", "debug", 60)
    assert problems(file, GOOD, TOCSIN_LANGUAGE="fr") == [
        "environment variable TOCSIN_LANGUAGE: language: expected 'zh' or 'en', found 'fr'"
    ]


def test_presence_has_sensible_times_and_expects_no_clusters(file: Path) -> None:
    presence = load(file, GOOD).presence
    minutes = timedelta(minutes=1)
    assert presence.rules == Rules(offline_after=5 * minutes, steady_after=minutes, silent_after=150 * minutes)
    assert presence.clusters == []


def test_an_expected_cluster_has_a_clusters_name_and_stands_there_once(file: Path) -> None:
    assert problems(file, GOOD + "presence: {offline_after: 0s, clusters: [edge-1, Edge/2, edge-1]}") == [
        "5: presence.clusters[1]: expected lower case letters, digits and dashes, at most 63, found 'Edge/2'",
        "5: presence.offline_after: expected at least 1 second, found 0s",
    ]
    assert problems(file, GOOD + "presence: {clusters: [edge-1, edge-2, edge-1]}") == [
        "5: presence.clusters[2]: 'edge-1' stands here for the second time"
    ]


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8081", ("127.0.0.1", 8081)),
        ("[::1]:9", ("::1", 9)),
        ("pi-1.lan:80", ("pi-1.lan", 80)),
    ],
)
def test_an_address_to_listen_at_has_a_host_and_a_port(file: Path, listen: str, address: tuple[str, int]) -> None:
    http = load(file, GOOD + f"http: {{listen: '{listen}'}}").http
    assert http is not None
    assert http.address == address


@pytest.mark.parametrize(
    "listen", ["8081", ":8081", "localhost", "localhost:0", "localhost:99999", "http://a:1", "::1:8081"]
)
def test_what_nobody_can_listen_at_is_refused(file: Path, listen: str) -> None:
    [problem] = problems(file, GOOD + f"http: {{listen: '{listen}'}}")
    assert problem.startswith("5: http.listen: expected host:port such as 0.0.0.0:8080")


def test_by_default_nobody_listens_and_nobody_is_told_that_we_live(file: Path) -> None:
    settings = load(file, GOOD)
    assert settings.http is None
    assert settings.heartbeat is None


def test_the_address_of_a_heartbeat_is_a_secret_itself_or_in_a_file(file: Path) -> None:
    (file.parent / "url").write_text("https://hc-ping.com/5f1b7c9e\n")
    heartbeat = load(file, GOOD + f"heartbeat: {{url_file: {file.parent}/url}}").heartbeat
    assert heartbeat is not None
    assert (heartbeat.address, heartbeat.every) == ("https://hc-ping.com/5f1b7c9e", timedelta(minutes=1))
    direct = load(file, GOOD + "heartbeat: {url: 'https://hc-ping.com/5f1b7c9e', every: 30s}").heartbeat
    assert "5f1b7c9e" not in repr(direct)
    assert problems(file, GOOD + "heartbeat: {every: 1m}") == [
        "5: heartbeat.url_file: expected url or url_file, found neither"
    ]
    [problem] = problems(file, GOOD + "heartbeat: {url: 'hc-ping.com/5f1b7c9e'}")
    assert "5f1b7c9e" not in problem


def test_names_are_checked_across_the_file_even_where_a_receiver_is_wrong_by_itself(file: Path) -> None:
    text = (
        'broker: {url: "mqtt://localhost", username: ops, keepalive: 1s}\nreceivers:\n'
        "  - {name: dump, stdout: {format: xml}}\n  - {name: dump, slack: {}}\nroute: {receivers: [dmp]}\n"
    )
    assert problems(file, text) == [
        "1: broker.keepalive: expected at least 10 seconds, found 1s",
        "3: receivers[0].stdout.format: expected 'text' or 'json', found 'xml'",
        "4: receivers[1]: expected exactly one of stdout, file, webhook, feishu, found slack",
        "4: receivers[1].name: 'dump' stands here for the second time",
        "5: route.receivers[0]: no receiver is called 'dmp'; there are dump",
    ]


def test_no_receivers_and_no_route_are_told_once(file: Path) -> None:
    assert problems(file, 'broker: {url: "mqtt://localhost", username: ops}\nroute: []') == [
        " receivers: is required but missing",
        "2: route: expected keys and values, found an empty list",
    ]


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        (
            "{severity: crit}",
            "severity: expected what matches critical or warning or info or recovered, found 'crit'",
        ),
        ("{type: warning}", "type: expected what matches Normal or Warning, found 'warning'"),
        ("{type: [Warning, normal]}", "type: expected what matches Normal or Warning, found 'normal'"),
        ("{severity: 'crit|warn'}", "severity: expected what matches critical or"),
    ],
)
def test_a_match_that_no_event_has_is_an_error(file: Path, match: str, problem: str) -> None:
    [said] = problems(file, GOOD.replace("[dump]}", f"[dump], routes: [{{match: {match}, receivers: []}}]}}"))
    assert said.startswith(f"4: route.routes[0].match.{problem}")


@pytest.mark.parametrize("match", ["{severity: 'crit.*|warning'}", "{type: W.+}", "{severity: [info, critical]}"])
def test_a_match_that_some_event_has_is_none(file: Path, match: str) -> None:
    load(file, GOOD.replace("[dump]}", f"[dump], routes: [{{match: {match}, receivers: []}}]}}"))


@pytest.mark.parametrize(
    "store", ["sqlite://host/path/tocsin.db", "sqlite:////tmp/tocsin.db?mode=ro", "sqlite:////tmp/tocsin.db#a"]
)
def test_a_store_with_a_host_or_options_is_refused(file: Path, store: str) -> None:
    [said] = problems(file, GOOD + f"store: '{store}'")
    assert said == "5: store: expected the path of a file behind sqlite:///, without a host, options and fragments"


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("group_by: [cluser]", "group_by[0]: expected 'cluster', 'namespace', 'type'"),
        ("group_wait: soon", "group_wait: expected a duration"),
        ("group_interval: 0s", "group_interval: expected at least 1s, found '0s'"),
        ("repeat_interval: 30d", "repeat_interval: expected at most 7d, found '30d'"),
        ("quiet_after: 5s", "quiet_after: "),
        ("send_recovered: maybe", "send_recovered: "),
    ],
)
def test_what_is_wrong_about_grouping_is_told_in_every_route(file: Path, option: str, problem: str) -> None:
    text = GOOD.replace("[dump]}", f"[dump], routes: [{{{option}}}]}}")
    [said] = problems(file, text)
    assert said.startswith(f"4: route.routes[0].{problem}")


def test_a_route_has_what_it_does_not_say_about_grouping_from_the_one_above(file: Path) -> None:
    text = GOOD.replace("[dump]}", "[dump], group_by: [cluster], group_wait: 1m, routes: [{group_interval: 1m}]}")
    top, child = Route(load(file, text).route).nodes()
    assert top.timing == Timing(group_wait=timedelta(minutes=1))
    assert child.timing == Timing(group_wait=timedelta(minutes=1), group_interval=timedelta(minutes=1))
    assert child.group_by == ("cluster",)


def test_logs_are_told_of_each_event_and_people_of_incidents_unless_the_receiver_says_otherwise(
    file: Path,
) -> None:
    url = "url: 'https://h.example'"
    hooks = [f"{{name: a, webhook: {{{url}}}}}", f"{{name: b, grouped: false, webhook: {{{url}}}}}"]
    receivers = "\n  - ".join(["{name: dump, stdout: {}}", *hooks])
    settings = load(file, GOOD.replace("{name: dump, stdout: {}}", receivers))
    assert settings.single == ("dump", "b")


def test_a_traceback_of_a_wrong_configuration_shows_no_secret(file: Path) -> None:
    feishu = "{name: f, feishu: {url: 'https://h.example/tok-3n', secret: [hunter2]}}"
    with pytest.raises(ConfigurationError) as caught:
        load(file, GOOD.replace("{name: dump, stdout: {}}", feishu))
    shown = "".join(traceback.format_exception(caught.value))
    assert "ValidationError" in shown
    assert "hunter2" not in shown
    assert "tok-3n" not in shown


def test_a_store_that_is_not_sqlite_is_refused_without_showing_its_password(file: Path) -> None:
    [problem] = problems(file, GOOD + "store: postgresql://tocsin:hunter2@db/tocsin")
    assert problem.startswith("5: store: expected an SQLite url")
    assert "hunter2" not in problem


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(file: Path, url: str) -> None:
    assert "memory would forget" in problems(file, GOOD + f'store: "{url}"')[0]


def test_what_is_kept_is_kept_longer_than_the_broker_may_repeat_it(file: Path) -> None:
    assert problems(file, GOOD + "retention: 7d") == [
        "5: retention: expected more than broker.session_expiry, or repeats would not be recognised"
    ]
    text = GOOD.replace("username: ops", "username: ops, session_expiry: 30d")
    assert "retention: expected more than" in problems(file, text)[0]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "CST+8 ", "", "Asia"])
def test_a_time_zone_is_one_that_exists(file: Path, zone: str) -> None:
    assert problems(file, GOOD + f'time_zone: "{zone}"') == [
        f"5: time_zone: expected an IANA time zone such as Asia/Shanghai or UTC, found '{zone}'"
    ]


@pytest.mark.parametrize("root", ["", "k8s/+", "k8s//v1", "/k8s", "k8s/#", "k8s/v1/"])
def test_a_topic_root_is_made_of_levels_that_topics_can_hold(file: Path, root: str) -> None:
    assert problems(file, GOOD + f'topic_root: "{root}"')[0].startswith("5: topic_root: expected topic levels")


def test_there_is_at_least_one_receiver(file: Path) -> None:
    text = GOOD.replace("  - {name: dump, stdout: {}}\n", "  []\n")
    assert problems(file, text) == ["2: receivers: expected a list of at least 1, found an empty list"]


def test_a_receiver_that_stands_there_twice_is_found_at_its_second_place(file: Path) -> None:
    text = GOOD.replace("route:", "  - {name: dump, stdout: {}}\nroute:")
    assert problems(file, text) == ["4: receivers[1].name: 'dump' stands here for the second time"]


def test_what_is_wrong_in_routes_is_found_at_its_place_and_all_at_once(file: Path) -> None:
    text = """\
broker: {url: "mqtt://localhost", username: ops}
receivers:
  - {name: dump, stdout: {}}
route:
  match: {kind: Pod}
  continue: true
  routes:
    - receivers: [dump, dump]
      routes:
        - receivers:
            - dump
            - dumb
"""
    assert problems(file, text) == [
        "4: route.receivers: is required at the top of the tree; an empty list drops what no route takes",
        "5: route.match: the top of the tree takes every event; move it into routes",
        "6: route.continue: the top of the tree has no route behind it; remove the key",
        "8: route.routes[0].receivers[1]: 'dump' stands here for the second time",
        "12: route.routes[0].routes[0].receivers[1]: no receiver is called 'dumb'; there are dump",
    ]


def test_an_unknown_receiver_is_found_beside_what_else_is_wrong_in_routes(file: Path) -> None:
    text = GOOD.replace("[dump]}", "[5, dmp], match: {kind: '('}, routes: [{receivers: [dumb], matsch: {}}]}")
    assert problems(file, text) == [
        "4: route.match: the top of the tree takes every event; move it into routes",
        (
            "4: route.match.kind: expected a regular expression, found '(': "
            "missing ), unterminated subpattern at position 0"
        ),
        "4: route.receivers[0]: expected text, found 5; put it in quotes",
        "4: route.receivers[1]: no receiver is called 'dmp'; there are dump",
        "4: route.routes[0].matsch: unknown key; did you mean match?",
        "4: route.routes[0].receivers[0]: no receiver is called 'dumb'; there are dump",
    ]


def test_an_expression_that_does_not_compile_is_found_at_its_place(file: Path) -> None:
    text = GOOD.replace("[dump]}", "[dump], routes: [{match: {reason: '*Failed'}}, {drop: [{namspace: x}]}]}")
    first, second = problems(file, text)
    assert first == (
        "4: route.routes[0].match.reason: expected a regular expression, found '*Failed': "
        "nothing to repeat at position 0; for any text write .*"
    )
    assert second == "4: route.routes[1].drop[0].namspace: unknown key; did you mean namespace?"
