import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.consumer.messages import event, payload
from tocsin_consumer.cli import main

HEAD = """\
broker: {{url: "mqtt://localhost:1", username: ops}}
store: sqlite:///{folder}/tocsin.db
receivers:
  - {{name: ops, stdout: {{}}}}
  - {{name: spare, stdout: {{}}}}
"""
GOOD = "route: {receivers: [ops, spare], drop: [{reason: Noise}]}\n"
BAD = """\
route:
  receivers: [ops]
  routes:
    - match: {kind: Pod}
    - match: {kind: Pod, namespace: shop}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "consumer.yaml"
    file.write_text(HEAD.format(folder=folder) + text, encoding="utf-8")
    return file


def call(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", "--config", str(config), *arguments])


def test_what_is_of_no_use_is_told_with_file_and_line_and_fails(tmp_path: Path) -> None:
    config = write(tmp_path, BAD)
    result = call(config, "--strict")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{config}:10: route.routes[1]: is never reached: route.routes[0] before it takes all that it would take",
        f"{config}:5: receivers[1]: nobody uses the receiver spare: no route tells it anything",
    ]
    assert "is fine" not in result.stdout


def test_without_strict_it_is_no_failure(tmp_path: Path) -> None:
    config = write(tmp_path, BAD)
    result = call(config)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, f"{config} is fine")


def test_a_repeat_that_never_comes_so_soon_is_noted_and_fails_if_strict(tmp_path: Path) -> None:
    config = write(tmp_path, "route: {receivers: [ops, spare], repeat_interval: 1m}\n")
    said = "repeat_interval 1m is shorter than group_interval 5m, and nothing is told again any sooner than that"
    result = call(config)
    assert (result.exit_code, f"note        route: {said}" in result.stdout.splitlines()) == (0, True)
    strict = call(config, "--strict")
    assert (strict.exit_code, strict.stderr) == (1, f"{config}:6: route.repeat_interval: {said}\n")


def test_where_all_is_of_use_it_is_fine(tmp_path: Path) -> None:
    config = write(tmp_path, GOOD)
    result = call(config, "--strict")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == f"{config} is fine"


def recording(folder: Path, *lines: bytes) -> str:
    (folder / "day.ndjson").write_bytes(b"\n".join(lines))
    return str(folder / "day.ndjson")


def test_a_recording_shows_what_holds_for_nothing_in_it(tmp_path: Path) -> None:
    config = write(tmp_path, GOOD)
    with_noise = recording(tmp_path, payload(event()), payload(event(reason="Noise", uid="n")))
    assert call(config, "--strict", "--recording", with_noise).exit_code == 0
    result = call(config, "--strict", "--recording", recording(tmp_path, payload(event()), b"{"))
    assert result.exit_code == 1
    bad, finding = result.stderr.splitlines()
    assert "1 lines are not understood; the first: line 2: " in bad
    assert finding == f"{config}:6: route.drop[0]: drops none of the 1 events in the recording that come to it"


def test_of_a_watch_counts_what_a_producer_publishes_from_the_cluster_that_is_said(tmp_path: Path) -> None:
    watched = {
        "type": "ADDED",
        "object": {
            "metadata": {"uid": "u", "creationTimestamp": "2026-11-24T08:00:00Z"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web"},
            "type": "Warning",
            "reason": "Noise",
            "message": "m",
        },
    }
    other = json.loads(json.dumps(watched).replace("Noise", "BackOff").replace('"u"', '"v"'))
    route = "route: {receivers: [ops, spare], drop: [{reason: Noise, cluster: lab-1}]}\n"
    file = recording(tmp_path, json.dumps(watched).encode(), json.dumps(other).encode())
    arguments = ("--strict", "--recording", file, "--cluster")
    assert call(write(tmp_path, route), *arguments, "lab-1").exit_code == 0
    assert call(write(tmp_path, route), *arguments, "lab-2").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["--recording", "x"], 2, "--recording goes with --strict"),
        (["--strict", "--cluster", "x"], 2, "--cluster goes with --recording"),
        (["--strict", "--recording", "nowhere"], 1, "nowhere cannot be read"),
        (["--strict", "--recording", "/dev/null"], 1, "/dev/null holds no event"),
    ],
)
def test_a_recording_that_cannot_be_used_is_told_in_a_line(
    tmp_path: Path, arguments: list[str], code: int, problem: str
) -> None:
    result = call(write(tmp_path, GOOD), *arguments)
    assert result.exit_code == code
    assert problem in result.stderr
