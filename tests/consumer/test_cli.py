import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.faults import Answer
from tests.fakes.webhook import WebhookFake
from tocsin_consumer.cli import main
from tocsin_schemas import __version__

GOOD = """\
broker: {{url: "mqtt://localhost:1", username: ops}}
store: sqlite:///{folder}/tocsin.db
time_zone: Asia/Shanghai
receivers:
  - {{name: dump, stdout: {{}}}}
  - {{name: hook, webhook: {{url: "{url}"}}}}
  - name: feishu-ops
    feishu: {{url: "https://open.feishu.cn/open-apis/bot/v2/hook/0123456789abcdef"}}
route:
  receivers: [dump, hook]
  routes:
    - {{match: {{reason: Noise}}, receivers: []}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(folder: Path, *, url: str = "http://localhost:1/hook") -> Path:
    file = folder / "consumer.yaml"
    file.write_text(GOOD.format(folder=folder, url=url), encoding="utf-8")
    return file


def call(command: str, config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [command, "--config", str(config), *arguments])


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"tocsin-consumer, version {__version__}\n"


def test_the_package_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "tocsin_consumer", "--version"]
    assert __version__ in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_check_sums_up_what_a_good_configuration_says_and_connects_to_nothing(config: Path) -> None:
    result = call("check", config)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "broker      mqtt://localhost:1 as tocsin-consumer-ops",
        f"store       {config.parent}/tocsin.db, kept for 30 days",
        "presence    told after 5 min offline or 2 h 30 min of silence; 0 clusters expected",
        "receiver    dump (stdout)",
        "receiver    hook (webhook)",
        "receiver    feishu-ops (feishu)",
        "route       → dump, hook",
        "route.routes[0] reason=Noise → dropped",
        "note        no route names the receiver feishu-ops",
        f"{config} is fine",
    ]
    assert list(config.parent.iterdir()) == [config]


def test_a_directory_that_is_not_there_is_told_before_anything_is_connected(config: Path) -> None:
    text = config.read_text().replace("/tocsin.db", "/none/tocsin.db")
    config.write_text(text.replace("stdout: {}", f"file: {{path: {config.parent}/gone/out}}"))
    result = call("check", config)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"{config}:{key}: there is no directory {config.parent}/{name} on this machine; create it"
        for key, name in (("2: store", "none"), ("5: receivers[0].file.path", "gone"))
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "expected the path of a file, found a directory"), (b"no database", "is not an SQLite database")],
)
def test_what_cannot_be_a_store_is_told_by_check(config: Path, content: bytes | None, problem: str) -> None:
    store = config.parent / "tocsin.db"
    if content is None:
        store.mkdir()
    else:
        store.write_bytes(content)
    result = call("check", config)
    assert result.exit_code == 2
    assert f"{config}:2: store: " in result.stderr
    assert problem in result.stderr


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0..."])
def test_a_store_that_is_there_already_is_fine(config: Path, content: bytes) -> None:
    (config.parent / "tocsin.db").write_bytes(content)
    assert call("check", config).exit_code == 0


def test_a_route_that_is_never_asked_is_noted(config: Path) -> None:
    more = "    - {receivers: [feishu-ops]}\n    - {match: {kind: [Pod, Node]}, receivers: [dump]}\n"
    config.write_text(config.read_text() + more)
    lines = call("check", config).output.splitlines()
    assert lines[-4:-1] == [
        "route.routes[1] → feishu-ops",
        "route.routes[2] kind=Pod|Node → dump",
        "note        route.routes[2] is never asked: route.routes[1] before it takes every event",
    ]


@pytest.mark.parametrize("command", ["preview", "send-test"])
def test_the_help_names_the_samples(command: str) -> None:
    said = CliRunner().invoke(main, [command, "--help"]).output
    assert "back-off" in said
    assert "hostile" in said


def test_check_reads_the_file_that_the_environment_names(config: Path) -> None:
    result = CliRunner().invoke(main, ["check"], env={"TOCSIN_CONFIG": str(config)})
    assert result.exit_code == 0


@pytest.mark.parametrize("command", ["check", "preview", "tail"])
def test_all_that_is_wrong_with_a_configuration_is_told_on_standard_error(config: Path, command: str) -> None:
    config.write_text(config.read_text().replace("[dump, hook]", "[dmp]").replace("Asia", "Asja"))
    result = call(command, config)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{config}:3: time_zone: expected an IANA time zone such as Asia/Shanghai or UTC, found 'Asja/Shanghai'",
        f"{config}:10: route.receivers[0]: no receiver is called 'dmp'; there are dump, feishu-ops, hook",
    ]


def test_a_template_that_does_not_fit_is_found_by_check(config: Path) -> None:
    config.write_text(config.read_text().replace("stdout: {}", 'stdout: {template: "{{ raeson }}"}'))
    result = call("check", config)
    assert result.exit_code == 2
    assert ":5: receivers[0].stdout.template: " in result.stderr


def test_preview_shows_what_every_receiver_would_be_sent(config: Path) -> None:
    result = call("preview", config)
    assert result.exit_code == 0
    assert "── dump ── text/plain" in result.output
    assert "── hook ── application/json" in result.output
    assert '"msg_type": "interactive"' in result.output
    assert "0123456789abcdef" not in result.output


def test_preview_of_a_hostile_event_does_not_act_on_the_terminal(config: Path) -> None:
    output = call("preview", config, "--event", "hostile").output
    assert "reboot" in output
    assert not {"\x1b", "\u202e", "\r"} & set(output)


def test_preview_can_show_one_receiver_and_an_event_from_a_file(config: Path) -> None:
    file = config.parent / "event.json"
    file.write_text(
        '{"metadata": {"uid": "u", "creationTimestamp": "2026-11-23T09:00:00Z"}, "type": "Warning", '
        '"involvedObject": {"kind": "Node", "name": "pi-9"}, "reason": "Rebooted", "message": "it did"}'
    )
    result = call("preview", config, "--receiver", "dump", "--event", str(file))
    assert "Rebooted" in result.output
    assert "hook" not in result.output


def test_preview_draws_a_feishu_card(config: Path) -> None:
    page = config.parent / "card.html"
    assert call("preview", config, "--html", str(page)).exit_code == 0
    assert "api-7c9f6d5b8-x2x7p" in page.read_text(encoding="utf-8")


def test_preview_says_when_there_is_no_card_to_draw(config: Path) -> None:
    result = call("preview", config, "--receiver", "dump", "--html", str(config.parent / "card.html"))
    assert result.exit_code == 2
    assert "--html draws the cards of feishu receivers" in result.stderr


def test_a_page_that_cannot_be_written_is_told(config: Path) -> None:
    result = call("preview", config, "--html", str(config.parent / "none" / "card.html"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize("arguments", [["preview", "--receiver", "nobody"], ["send-test", "nobody"]])
def test_a_receiver_that_does_not_exist_is_told_with_those_that_do(config: Path, arguments: list[str]) -> None:
    result = call(arguments[0], config, *arguments[1:])
    assert result.exit_code == 2
    assert "no receiver is called 'nobody'; there are dump, hook, feishu-ops" in result.stderr


def test_an_event_that_does_not_exist_is_told(config: Path) -> None:
    result = call("preview", config, "--event", "nothing")
    assert result.exit_code == 1
    assert "nothing is neither a file nor a sample" in result.stderr


def test_send_test_sends_one_event_and_tells_what_the_service_answers(tmp_path: Path) -> None:
    with WebhookFake() as service:
        result = call("send-test", write(tmp_path, url=service.url), "hook")
        assert result.exit_code == 0
        assert result.output.startswith("hook: ")
        assert len(service.requests) == 1


def test_send_test_fails_when_the_service_refuses_and_says_why_without_the_address(tmp_path: Path) -> None:
    with WebhookFake(Answer(404)) as service:
        result = call("send-test", write(tmp_path, url=f"{service.url}/secret-token"), "hook")
        assert result.exit_code == 1
        assert result.stderr.startswith("hook: not delivered: HTTP 404")
        assert "secret-token" not in result.output


def test_tail_refuses_what_is_no_cluster(config: Path) -> None:
    result = call("tail", config, "--cluster", "edge/#")
    assert result.exit_code == 2
    assert "expected the name of a cluster" in result.stderr


@pytest.mark.parametrize("root", ["#", "k8s/+", "", "$SYS"])
def test_tail_refuses_what_is_no_root_of_topics(config: Path, root: str) -> None:
    result = call("tail", config, "--broker", "mqtt://localhost:1", "--topic-root", root)
    assert result.exit_code == 2
    assert "'--topic-root': expected topic levels such as k8s/v1" in result.stderr


@pytest.mark.parametrize("option", ["--username", "--password-file", "--ca-file", "--topic-root"])
def test_tail_refuses_options_that_would_do_nothing_beside_a_configuration(config: Path, option: str) -> None:
    result = call("tail", config, option, "x")
    assert result.exit_code == 2
    assert f"{option} goes with --broker" in result.stderr


def test_tail_without_a_configuration_checks_the_broker_that_it_is_given(tmp_path: Path) -> None:
    none = tmp_path / "none.yaml"
    result = call("tail", none, "--broker", "http://broker", "--password-file", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "url: expected a url such as mqtts://" in result.stderr
    assert "password_file: " in result.stderr
