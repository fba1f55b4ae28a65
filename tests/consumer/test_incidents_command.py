import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.consumer.desk import Desk
from tocsin_consumer.cli import main
from tocsin_consumer.inhibit import DEFAULT_RULES
from tocsin_consumer.mute import Mutes
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.records import Outcome
from tocsin_consumer.storm import StormRules

CONFIG = """\
broker: {{url: "mqtt://localhost:1", username: ops}}
store: sqlite:///{folder}/tocsin.db
time_zone: Asia/Shanghai
receivers:
  - {{name: ops, stdout: {{}}, grouped: true}}
route: {{receivers: [ops]}}
"""
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "consumer.yaml"
    file.write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    return file


@pytest.fixture
def desk(config: Path) -> Iterator[Desk]:
    """Return a desk at the store of the configuration, whose nodes that are not ready inhibit."""
    desk = Desk(store=f"sqlite:///{config.parent}/tocsin.db", mutes=Mutes(DEFAULT_RULES))
    yield desk
    desk.store.close()


def call(config: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["incidents", command, "--config", str(config), *arguments])


def lines(config: Path, *arguments: str) -> list[str]:
    result = call(config, "list", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def shown(config: Path, id_: int = 1) -> str:
    result = call(config, "show", str(id_))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def shown_object(config: Path, id_: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(config, "show", str(id_), "--json").stdout)
    return found


def test_a_live_incident_is_listed_with_what_goes_on_and_who_was_told_when(config: Path, desk: Desk) -> None:
    desk.say(count=3)
    desk.pass_(MINUTE)
    assert lines(config) == [
        (
            "1      open      since 2026-11-24 16:00 UTC+8  warning   "
            "edge-1: BackOff of StatefulSet production/api  1 object, 3 occurrences  "
            "ops told 2026-11-24 16:00 UTC+8"
        )
    ]


def test_several_objects_are_counted_and_their_reasons_are_named(config: Path, desk: Desk) -> None:
    desk.say(name="api-0")
    desk.say(name="api-1")
    desk.say(name="web")
    assert "edge-1: BackOff of 3 objects in production  3 objects, 3 occurrences  ops not told" in lines(config)[0]


def test_what_came_since_a_receiver_was_told_is_told(config: Path, desk: Desk) -> None:
    desk.say(uid="u", count=1)
    desk.pass_(MINUTE)
    desk.say(uid="u", count=5)
    desk.say(name="web")
    assert "(1 of news and 5 occurrences since)" in lines(config)[0]


def test_a_notification_that_is_under_way_is_pending(config: Path, desk: Desk) -> None:
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    assert lines(config)[0].endswith("ops not told; one is pending")
    assert "(first): pending, due 2026-11-24 16:00 UTC+8" in shown(config)
    assert shown_object(config)["receivers"][0]["pending"] is True


def test_what_mutes_an_incident_is_named(config: Path, desk: Desk) -> None:
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeNotReady", type="Normal")
    desk.say(node="pi-3")
    desk.pass_(MINUTE)
    [line] = [line for line in lines(config) if "BackOff" in line]
    assert line.endswith("ops not told  1 of 1 muted by NodeNotReady of Node pi-3 (node-not-ready)")


def test_closed_incidents_are_listed_on_request_only(config: Path, desk: Desk) -> None:
    desk.state("online")
    desk.say()
    desk.pass_(timedelta(hours=2), step=MINUTE)
    assert lines(config) == []
    assert lines(config, "--closed")[0].startswith(
        "1      closed    opened 2026-11-24 16:00 UTC+8, closed 2026-11-24 17:"
    )
    assert "next        nothing: closed 2026-11-24 17:" in shown(config)


def test_incidents_are_listed_by_when_something_was_heard_of_them(config: Path, desk: Desk) -> None:
    desk.clock.now = datetime.now(UTC) - 3 * DAY
    desk.restart()
    desk.say(reason="Old")
    desk.clock.now = datetime.now(UTC)
    desk.say(reason="New")
    assert ["New" in line for line in lines(config, "--since", "2d")] == [True]
    assert len(lines(config, "--since", "4d")) == 2


def test_incidents_are_listed_by_their_cluster(config: Path, desk: Desk) -> None:
    desk.say(cluster="edge-1")
    desk.say(cluster="edge-2")
    assert ["edge-2" in line for line in lines(config, "--cluster", "edge-2")] == [True]


def test_a_cluster_that_no_incident_is_of_is_told_with_those_that_there_are(config: Path, desk: Desk) -> None:
    nowhere = ("list", "--cluster", "nowhere")
    assert call(config, *nowhere).stderr == "no incident is of a cluster nowhere; none is kept\n"
    desk.state("online")
    desk.say(cluster="edge-1")
    said = "no incident is of a cluster nowhere; those that are kept are of edge-1\n"
    assert call(config, *nowhere).stderr == said
    desk.pass_(timedelta(hours=2), step=MINUTE)
    for number in range(2, 7):
        desk.say(cluster=f"edge-{number}")
    assert call(config, *nowhere).stderr.endswith("are of edge-1, edge-2, edge-3 and 3 more\n")
    closed = call(config, "list", "--cluster", "edge-1")
    assert closed.stderr == "there are none; --closed shows those that are closed\n"
    silent = call(config, "list", "--closed", "--since", "1m", "--cluster", "edge-1")
    assert silent.stderr == "nothing was heard of any for 1m\n"
    assert call(config, "list", "--cluster", "Edge/1").exit_code == 2


def test_what_is_over_is_listed_with_its_end_and_as_bad_as_it_was(config: Path, desk: Desk) -> None:
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeNotReady", type="Normal")
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeNotSchedulable", type="Normal")
    desk.say(name="api-0", reason="FailedScheduling")
    desk.pass_(10 * MINUTE)
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeReady", type="Normal")
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeSchedulable", type="Normal")
    desk.say(name="api-0", reason="Scheduled", type="Normal")
    spans = [line.partition("UTC+8, ")[2] for line in lines(config)]
    assert [span[: span.index(" edge-1")].split() for span in spans] == [
        ["recovered", "2026-11-24", "16:10", "UTC+8", severity] for severity in ("critical", "info", "warning")
    ]


def test_what_went_quiet_is_listed_with_when_it_was_heard_last(config: Path, desk: Desk) -> None:
    desk.state("online")
    desk.say()
    desk.pass_(MINUTE)
    desk.reroute({"receivers": ["ops"], "quiet_after": "10m", "group_interval": "30m"})
    desk.pass_(11 * MINUTE)
    assert lines(config)[0].startswith(
        "1      quiet     opened 2026-11-24 16:00 UTC+8, last heard 2026-11-24 16:00 UTC+8"
    )
    assert "quiet: opened" in shown(config)


def test_what_may_still_be_told_is_not_told_yet(config: Path, desk: Desk) -> None:
    desk.say()
    assert ", goes on, not told yet\n" in shown(config)


def test_what_nobody_is_to_be_told_is_told_to_nobody(config: Path, desk: Desk) -> None:
    desk.reroute({"receivers": []})
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeNotReady", type="Normal")
    assert ", goes on, told to nobody\n" in shown(config)


def test_what_was_given_up_is_not_told_and_what_is_closed_never_was(config: Path, desk: Desk) -> None:
    desk.state("online")
    desk.down.add("ops")
    desk.say()
    desk.pass_(MINUTE)
    due = desk.store.due("ops", desk.clock.now, limit=1)
    desk.store.settle([Outcome(one, "dead", desk.clock.now, reason="HTTP 502") for one in due])
    assert ", goes on, not told\n" in shown(config)
    desk.pass_(timedelta(hours=2), step=MINUTE)
    assert ", quiet, never told\n" in shown(config)
    assert "(first): given up 2026-11-24 16:01 UTC+8: HTTP 502\n" in shown(config)


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("text", ["x", "0s", "2", "99999d"])
def test_a_length_that_makes_no_sense_is_refused(config: Path, text: str) -> None:
    assert call(config, "list", "--since", text).exit_code == 2


def test_one_is_shown_with_its_lines_and_their_objects(config: Path, desk: Desk) -> None:
    desk.say(name="api-0", count=2)
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeNotReady", type="Normal")
    desk.pass_(MINUTE)
    text = shown(config)
    assert "incident    1: edge-1: BackOff of StatefulSet production/api\n" in text
    assert "group       cluster=edge-1 namespace=production reason=BackOff\n" in text
    assert "route       route\n" in text
    assert "line        warning: BackOff of StatefulSet production/api, goes on\n" in text
    assert "            objects: api-0\n            Back-off restarting failed container\n" in text
    assert "receiver    ops: told 2026-11-24 16:00 UTC+8\n" in text
    assert "delivery    2026-11-24 16:00 UTC+8 ops (first): delivered 2026-11-24 16:00 UTC+8\n" in text


def test_objects_and_lines_that_are_over_say_so(config: Path, desk: Desk) -> None:
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeNotReady", type="Normal")
    desk.pass_(MINUTE)
    desk.say(kind="Node", ns=None, name="pi-3", reason="NodeReady", type="Normal")
    assert "critical: NodeNotReady of Node pi-3, recovered" in shown(config)
    assert "objects: pi-3 (over)" in shown(config)
    assert shown_object(config)["lines"][0]["ended"] == "recovered"


def test_the_history_tells_the_digest_that_an_incident_was_told_in(config: Path) -> None:
    rules = StormRules(cluster=RateLimit(1, timedelta(minutes=5)), fleet=None, calm_after=timedelta(minutes=10))
    desk = Desk(store=f"sqlite:///{config.parent}/tocsin.db", storm_rules=rules)
    desk.say(reason="A")
    desk.say(reason="B")
    desk.pass_(MINUTE)
    desk.store.close()
    assert "ops (digest of a storm of edge-1): delivered 2026-11-24 16:00 UTC+8\n" in shown(config, 2)
    assert {one["storm"] is None for id_ in (1, 2) for one in shown_object(config, id_)["deliveries"]} == {
        True,
        False,
    }


def test_a_route_that_is_gone_is_told_to_be(config: Path, desk: Desk) -> None:
    desk.say()
    with sqlite3.connect(config.parent / "tocsin.db") as connection:
        connection.execute('UPDATE incidents SET route = \'/{"kind": "Job"}\'')
    connection.close()
    assert "route       not in the configuration any more\n" in shown(config)


def test_what_is_listed_as_json_can_be_read_by_programs(config: Path, desk: Desk) -> None:
    desk.say()
    [line] = lines(config, "--json")
    found = json.loads(line)
    assert (found["id"], found["state"], found["severity"]) == (1, "open", "warning")
    assert found["lines"][0]["objects"] == {"api-0": True}
    assert found["lines"][0]["message"] == "Back-off restarting failed container"


@pytest.mark.parametrize("command", ["list", "show"])
def test_nothing_that_a_cluster_wrote_acts_on_a_terminal(config: Path, desk: Desk, command: str) -> None:
    desk.say(name="a\x1b[2Jpi", msg="\x1b]0;owned\x07\nline\u202e", reason="R\x1b[31m")
    text = call(config, command, *(["1"] if command == "show" else [])).stdout
    assert "\\x1b[2J" in text
    assert not set("\x1b\x07\u202e") & set(text)


def test_a_time_beyond_every_date_is_shown_as_the_last(config: Path, desk: Desk) -> None:
    desk.say(first=0, last=253_402_300_799)
    assert "1970-01-01 08:00 UTC+8 to 9999-12-31" in shown(config)


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("id_", "code"), [("7", 1), ("0", 2), ("x", 2), (str(2**63), 2)])
def test_an_id_that_no_incident_has_is_told(config: Path, id_: str, code: int) -> None:
    result = call(config, "show", id_)
    assert result.exit_code == code
    if code == 1:
        assert result.stderr == "no incident has the id 7, or it is no longer kept\n"
    else:
        said = f"expected the number of an incident, such as 17, as `incidents list` shows it, found {id_!r}"
        assert said in " ".join(result.stderr.split())


def test_without_a_store_a_line_says_so(config: Path) -> None:
    result = call(config, "list")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
