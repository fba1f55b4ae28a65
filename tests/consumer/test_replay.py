"""What a replay tells is what a consumer would have told."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.consumer.desk import Desk
from tests.consumer.messages import NOW, event, payload, status
from tests.consumer.produced import RECORDING
from tocsin_consumer.cli import main
from tocsin_consumer.recording import Recorded
from tocsin_consumer.replay import Message, Outcome, Replay
from tocsin_consumer.report import Report
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.tally import Fate, Tally, cause_of
from tocsin_schemas.event import EventPayload
from tocsin_schemas.status import StatusPayload

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CALM = {"storm": {"cluster": None, "fleet": None}}
FEISHU = {"feishu": {"url": "https://open.feishu.cn/open-apis/bot/v2/hook/0"}}


def configured(route: dict[str, Any] | None = None, **keys: Any) -> ConsumerSettings:
    """Return a configuration with one receiver, `ops`."""
    values: dict[str, Any] = {
        "broker": {"url": "mqtt://localhost:1", "username": "ops"},
        "receivers": [{"name": "ops", **FEISHU}],
        "route": {"receivers": ["ops"], **(route or {})},
        **CALM,
    }
    return ConsumerSettings.model_validate(values | keys)


def came(after: timedelta = timedelta(), **fields: Any) -> Recorded:
    """Return an Event that came so long after the beginning."""
    at = NOW + after
    seconds = int(at.timestamp())
    return Recorded(event(**({"first": seconds, "last": seconds, "uid": f"{after}"} | fields)), at)


def stated(after: timedelta, state: str, **fields: Any) -> Recorded:
    message = status(state, **fields).message
    return Recorded(StatusPayload.model_validate_json(message.payload), NOW + after)


def played(
    recorded: Sequence[Recorded], settings: ConsumerSettings | None = None, *, run_on: timedelta = HOUR
) -> tuple[list[Message], Outcome]:
    replay = Replay(settings or configured(), recorded, run_on=run_on)
    messages = list(replay.run())
    outcome = replay.outcome()
    replay.close()
    return messages, outcome


def causes(messages: Sequence[Message]) -> list[str]:
    return [cause_of(message.notification) for message in messages]


_ROUTE = {
    "group_wait": "10s",
    "group_interval": "1m",
    "repeat_interval": "7m",
    "quiet_after": "5m",
    "send_quiet": True,
}
#: So far from each other, and from all that they make due, that a second sooner or later changes no order.
_seconds = st.integers(0, 28).map(lambda number: number * 41)
_said = st.tuples(
    _seconds,
    st.sampled_from(["api-0", "web-0"]),
    st.sampled_from(["BackOff", "Failed"]),
    st.sampled_from(["a", "b"]),
)
_nodes = st.tuples(_seconds, st.just("pi-1"), st.sampled_from(["NodeNotReady", "NodeReady"]), st.just(None))


@settings(max_examples=40, deadline=None)
@given(st.lists(_said | _nodes, min_size=1, max_size=8))
def test_a_clock_that_jumps_tells_what_one_tells_that_goes_second_by_second(stream: list[Any]) -> None:
    recorded = [
        came(
            second * SECOND,
            uid=f"uid-{number}",
            seq=number + 1,
            name=name,
            reason=reason,
            ns=namespace,
            **({"kind": "Node", "type": "Normal"} if namespace is None else {}),
        )
        for number, (second, name, reason, namespace) in enumerate(sorted(stream, key=lambda said: said[0]))
    ]
    desk = Desk(_ROUTE)
    for one in recorded:
        desk.pass_(one.at - desk.clock.now)
        assert isinstance(one.said, EventPayload)
        desk.say(**one.said.model_dump(by_alias=True, exclude_none=True, exclude={"v"}), **_absent(one.said))
    desk.pass_(30 * MINUTE)
    messages, _ = played(recorded, configured(_ROUTE, inhibit=[]), run_on=30 * MINUTE)
    told = [(message.at, message.notification.report) for message in messages]
    by_seconds = _by_incident((at, report) for at, _, report in desk.told)
    assert _by_incident(told).keys() == by_seconds.keys()
    for group, reports in _by_incident(told).items():
        assert [_gist(report) for _, report in reports] == [_gist(report) for _, report in by_seconds[group]]
        late = [at - then for (at, _), (then, _) in zip(reports, by_seconds[group], strict=True)]
        assert all(-3 * SECOND <= one <= 3 * SECOND for one in late), late


def _by_incident(told: Iterable[tuple[datetime, Any]]) -> dict[str, list[tuple[datetime, Report]]]:
    """Return what is told of each group; of what is told in one second, the order is nobody's concern."""
    found: dict[str, list[tuple[datetime, Report]]] = {}
    for at, report in told:
        assert isinstance(report, Report)
        found.setdefault(json.dumps(dict(report.group)), []).append((at, report))
    return found


def _absent(said: EventPayload) -> dict[str, None]:
    return {"ns": None} if said.ns is None else {}


def _gist(report: Report) -> Any:
    return report.cause, report.state, report.occurrences, report.since_told, {line.owner for line in report.lines}


def test_a_year_of_silence_costs_nothing() -> None:
    recorded = [came(), came(timedelta(days=365), name="web-0")]
    replay = Replay(configured(), recorded)
    assert causes(list(replay.run())) == ["first", "first"]
    assert replay._store.commits < 200


def test_what_goes_on_is_told_again_every_repeat_interval_as_long_as_time_runs_on() -> None:
    messages, _ = played([came(kind="Node", reason="NodeNotReady", ns=None, name="pi-1")], run_on=13 * HOUR)
    assert causes(messages) == ["first", "repeat", "repeat", "repeat"]


def test_a_rate_limit_is_kept_in_the_time_of_the_recording_and_what_it_holds_up_is_merged() -> None:
    limited = {"name": "ops", **FEISHU, "rate_limit": {"count": 2, "per": "10m"}}
    recorded = [came(number * SECOND, ns=f"ns-{number}", seq=number + 1) for number in range(60)]
    messages, outcome = played(recorded, configured(receivers=[limited]))
    assert all(later.at - first.at >= 10 * MINUTE for first, later in zip(messages, messages[2:], strict=False))
    assert "merged" in causes(messages)
    assert sum(outcome.waiting.values()) + len(messages) < 20
    assert outcome.counters.notifications == 60


def test_what_waits_for_a_rate_limit_at_the_end_is_counted() -> None:
    limited = {"name": "ops", **FEISHU, "rate_limit": {"count": 1, "per": "1d"}}
    messages, outcome = played([came(), came(SECOND, ns="other")], configured(receivers=[limited]))
    assert (len(messages), outcome.waiting) == (1, {"ops": 1})


def test_a_cluster_without_statuses_is_taken_to_be_there_however_long_it_says_nothing() -> None:
    messages, _ = played([came(), came(10 * HOUR)])
    assert causes(messages) == ["first", "first"]


def test_a_cluster_whose_statuses_are_recorded_is_told_to_be_offline_and_back() -> None:
    recorded = [
        stated(timedelta(), "online"),
        came(MINUTE),
        stated(5 * MINUTE, "offline"),
        stated(30 * MINUTE, "online", boot=2),
    ]
    messages, _ = played(recorded)
    reasons = [message.notification.event.reason for message in messages]
    assert reasons == ["BackOff", "ClusterOffline", "ClusterOnline"]
    assert abs(messages[1].at - (NOW + 10 * MINUTE + 10 * SECOND)) <= 3 * SECOND


def test_what_a_recording_lacks_was_not_lost() -> None:
    messages, outcome = played([came(seq=3), came(SECOND, seq=700)])
    assert outcome.counters.missing == 0
    assert [message.notification.event.reason for message in messages] == ["BackOff"]


def test_events_are_told_one_by_one_to_whom_is_told_so() -> None:
    logs = [{"name": "dump", "stdout": {}}]
    recorded = [came(uid="a", count=1), came(SECOND, uid="a", count=4), came(MINUTE, uid="b", count=2)]
    told, outcome = played(recorded, configured({"receivers": ["dump"]}, receivers=logs))
    assert causes(told) == ["event"] * 3
    tally = settled(told, outcome, recorded, "dump")
    assert (tally.received["dump"].occurrences, tally.heard) == (6, {"BackOff": 6})


def settled(messages: Sequence[Message], outcome: Outcome, recorded: Sequence[Recorded], *names: str) -> Tally:
    tally = Tally(names)
    for message in messages:
        tally.add(message)
    tally.settle(outcome, [one.said for one in recorded if isinstance(one.said, EventPayload)])
    return tally


def test_nothing_is_written_and_no_secret_is_asked_for_in_a_replay(tmp_path: Path) -> None:
    receivers = [{"name": "dump", "file": {"path": str(tmp_path / "dump")}}]
    messages, _ = played([came()], configured({"receivers": ["dump"]}, receivers=receivers))
    assert json.loads(messages[0].rendering.content)["reason"] == "BackOff"
    assert list(tmp_path.iterdir()) == []


def test_every_problem_has_one_fate_and_none_is_forgotten() -> None:
    silences = [
        {"name": "always", "match": {"namespace": "lab"}, "windows": [{"days": "mon-sun"}], "comment": "c"},
    ]
    recorded = [
        came(uid="named", count=2),
        came(uid="held", ns="lab", count=3),
        came(uid="dropped", ns="noise", count=5),
        came(HOUR, uid="waits", ns="late", count=7),
    ]
    route = {"routes": [{"match": {"namespace": "noise"}, "receivers": []}]}
    messages, outcome = played(recorded, configured(route, silences=silences), run_on=3 * SECOND)
    tally = settled(messages, outcome, recorded, "ops")
    assert {fate: tally.count(fate) for fate in Fate} == {
        Fate.NAMED: (1, 2),
        Fate.DIGESTED: (0, 0),
        Fate.HELD: (1, 3),
        Fate.WAITING: (1, 7),
    }
    assert tally.held() == {"window always": (1, 3)}
    assert outcome.counters.dropped == 1
    assert tally.received["ops"].occurrences == 2


def test_what_a_storm_tells_together_is_counted_in_its_digest() -> None:
    recorded = [came(number * SECOND, ns=f"ns-{number}", seq=number + 1) for number in range(20)]
    storm = {"storm": {"cluster": {"count": 4, "per": "5m"}}}
    messages, outcome = played(recorded, configured(**storm))
    assert causes(messages)[:5] == ["first"] * 4 + ["storm"]
    assert causes(messages)[-1] == "calm"
    tally = settled(messages, outcome, recorded, "ops")
    assert (tally.count(Fate.NAMED), tally.count(Fate.DIGESTED)) == ((4, 4), (16, 16))
    assert tally.received["ops"].occurrences == 20


# The command

CONFIG = """\
broker: {url: "mqtt://localhost:1", username: ops}
time_zone: Asia/Shanghai
receivers:
  - {name: ops, feishu: {url: "https://open.feishu.cn/open-apis/bot/v2/hook/0"}}
  - {name: dump, stdout: {}}
route: {receivers: [ops], routes: [{match: {kind: Job}, receivers: []}]}
"""


def call(folder: Path, *arguments: str | Path) -> Result:
    config = folder / "consumer.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    return CliRunner().invoke(main, ["replay", "--config", str(config), *map(str, arguments)])


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Return a recording of two events, and a line that is none."""
    path = tmp_path / "recording"
    said = [came(name="api-7c9f8d6b5-x2x7p"), came(MINUTE, kind="Job", name="\x1b[31mred")]
    lines = [payload(one.said) for one in said if isinstance(one.said, EventPayload)]
    path.write_bytes(b"\n".join([lines[0], b"{", lines[1], b""]))
    return path


def test_each_message_is_a_line_and_the_summary_says_who_was_told_how_much(
    tmp_path: Path, recording: Path
) -> None:
    done = call(tmp_path, recording)
    assert done.exit_code == 0, done.stderr
    message, _, *summary = done.stdout.splitlines()
    assert message == ("2026-11-24 16:00:11  ops   first      edge-1: Deployment BackOff · production/api")
    assert "from 2026-11-24 16:00:00 to 2026-11-24 16:01:00 UTC+8" in summary
    rows = [line.split() for line in summary]
    assert ["receiver", "messages", "first", "occurrences", "per", "message"] in rows
    assert ["ops", "1", "1", "1", "1.0"] in rows
    assert ["dump", "0", "0", "0", "-"] in rows
    assert "     1 problem with 1 occurrence: told by name" in summary
    assert "     1 state of events: told to nobody, as routes say" in summary
    assert "line 2: holds neither" in done.stderr
    assert "\x1b" not in done.stdout


def test_show_shows_what_would_be_sent_and_summary_shows_no_message(tmp_path: Path, recording: Path) -> None:
    assert '"msg_type": "interactive"' in call(tmp_path, recording, "--show").stdout
    assert "first      edge-1" not in call(tmp_path, recording, "--summary").stdout


def test_one_receiver_can_be_looked_at_by_itself(tmp_path: Path, recording: Path) -> None:
    assert "edge-1: Deployment BackOff" in call(tmp_path, recording, "--receiver", "ops").stdout
    done = call(tmp_path, recording, "--receiver", "dump")
    assert "Deployment BackOff" not in done.stdout
    assert [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("dump")] == [["dump", "0"]]
    assert not any(line.startswith("ops") for line in done.stdout.splitlines())
    summary = json.loads(call(tmp_path, recording, "--receiver", "dump", "--json").stdout)["summary"]
    assert list(summary["receivers"]) == ["dump"]
    unknown = call(tmp_path, recording, "--receiver", "nosuch")
    assert (unknown.exit_code, "no receiver is called 'nosuch'; there are ops, dump" in unknown.stderr) == (
        2,
        True,
    )


def test_with_json_there_is_an_object_per_message_and_one_with_the_summary(
    tmp_path: Path, recording: Path
) -> None:
    objects = [json.loads(line) for line in call(tmp_path, recording, "--json", "--show").stdout.splitlines()]
    message, summary = objects
    assert (message["receiver"], message["cause"], message["at"]) == ("ops", "first", "2026-11-24T08:00:11+00:00")
    assert json.loads(message["content"])["msg_type"] == "interactive"
    said = summary["summary"]
    assert (said["lines"], said["bad_lines"], said["dropped"]) == (3, 1, 1)
    assert said["receivers"]["ops"]["messages"] == 1
    assert said["problems"] == {"named": 1, "digested": 0, "held": 0, "waiting": 0}


def test_a_recorded_watch_is_what_a_producer_publishes_of_it_from_the_cluster_that_is_said(tmp_path: Path) -> None:
    done = call(tmp_path, RECORDING, "--cluster", "edge-7")
    assert done.exit_code == 0, done.stderr
    assert "read 1198 lines, of which 362 say" in done.stderr
    assert "edge-7: Node NodeNotReady" in done.stdout
    everything = call(tmp_path, RECORDING, "--all", "--summary")
    assert ("'example'" in done.stderr, "taken for ones of 'example'" in everything.stderr) == (False, True)
    assert "Scheduled" in everything.stdout
    assert "Scheduled" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["empty"], 1, "holds nothing"),
        (["none"], 1, "cannot be read"),
        (["recording", "--cluster", "Edge 7"], 2, "--cluster"),
        (["recording", "--run-on", "soon"], 2, "--run-on"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_a_line(
    tmp_path: Path, recording: Path, arguments: list[str], code: int, why: str
) -> None:
    (tmp_path / "empty").write_text("\n{\n")
    done = call(tmp_path, tmp_path / arguments[0], *arguments[1:])
    assert (done.exit_code, "Traceback" in done.output) == (code, False)
    assert why in done.stderr
    assert recording.exists()
