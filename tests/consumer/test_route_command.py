import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.consumer.messages import event
from tocsin_consumer.cli import main
from tocsin_consumer.clock import utc_now
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.silence import Wish
from tocsin_consumer.store import Store

CONFIG = """\
broker: {{url: "mqtt://localhost:1", username: ops}}
store: sqlite:///{folder}/tocsin.db
receivers:
  - {{name: ops, stdout: {{}}, grouped: true}}
route: {{receivers: [ops], routes: [{{match: {{cluster: edge-7}}, receivers: []}}]}}
silences: [{{name: always, match: {{kind: Node}}, windows: [{{days: mon-sun}}]}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "consumer.yaml"
    file.write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    return file


def call(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["route", "--config", str(config), *arguments])


def test_it_explains_where_a_sample_would_go(config: Path) -> None:
    result = call(config, "back-off")
    assert result.exit_code == 0
    assert "step          route.routes[0] refuses: expected cluster=edge-7, found 'edge-042'\n" in result.stdout
    assert "told        ops, told of the incident (from route)\n" in result.stdout


@pytest.mark.parametrize("sample", ["storm", "storm-over", "merged"])
def test_a_digest_goes_to_its_receiver_whatever_the_routes_say(config: Path, sample: str) -> None:
    lines = call(config, sample).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["event", "told"]
    assert "the receiver whose storm or backlog it is" in lines[1]
    found = json.loads(call(config, sample, "--json").stdout)
    assert (found["is_digest"], found["told"], found["silenced_by"]) == (True, [], [])


def test_the_cluster_can_be_said(config: Path) -> None:
    assert "told        nobody by route.routes[0]\n" in call(config, "back-off", "--cluster", "edge-7").stdout
    assert call(config, "back-off", "--cluster", "a/b").exit_code == 2


def test_the_event_of_a_file_is_explained(config: Path) -> None:
    file = config.parent / "event.json"
    file.write_text(event(cluster="edge-7").model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
    found = json.loads(call(config, str(file), "--json").stdout)
    assert found["told"][0]["route"] == "route.routes[0]"
    assert found["event"]["cluster"] == "edge-7"


def test_silences_of_the_store_and_of_the_configuration_hold_it(config: Path) -> None:
    store, now = Store(f"sqlite:///{config.parent}/tocsin.db"), utc_now()
    until = now + timedelta(hours=1)
    silence = store.add_silence(Wish(MatchSettings(), now - timedelta(hours=1), until, "lena", "disks"), now)
    store.close()
    assert f"silenced    silence {silence.id} until" in call(config, "back-off").stdout
    found = json.loads(call(config, "node-not-ready", "--json").stdout)
    assert found["silenced_by"] == [f"silence {silence.id}", "window always"]
    assert found["silences_unknown"] is None


def test_without_a_store_it_says_that_silences_are_not_known(config: Path) -> None:
    result = call(config, "back-off")
    assert "none holds it now; those that people have added are not known here: store" in result.stdout


def test_what_is_no_event_is_told_in_a_line(config: Path) -> None:
    result = call(config, "nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nowhere is neither a file nor a sample" in result.stderr
