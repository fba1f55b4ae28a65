import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.consumer.messages import event, payload
from tocsin_consumer.cli import main
from tocsin_consumer.records import Entry
from tocsin_consumer.silence import Silence
from tocsin_consumer.silence_command import SILENCED
from tocsin_consumer.store import Store

CONFIG = """\
broker: {{url: "mqtt://localhost:1", username: ops}}
store: sqlite:///{folder}/tocsin.db
time_zone: Asia/Shanghai
receivers:
  - {{name: dump, stdout: {{}}}}
route: {{receivers: [dump]}}
"""
WINDOWS = """\
silences:
  - name: always
    match: {kind: Node}
    windows: [{days: mon-sun}]
    author: ops
    comment: we know
  - name: new-year
    match: {cluster: "edge-.*"}
    windows: [{days: [thu], from: "00:00", to: "01:00"}]
    time_zone: UTC
"""
HOUR = timedelta(hours=1)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration whose consumer has run once."""
    file = tmp_path / "consumer.yaml"
    file.write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    Store(f"sqlite:///{tmp_path}/tocsin.db").close()
    return file


def call(config: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["silence", command, "--config", str(config), *arguments])


def add(config: Path, *arguments: str) -> str:
    """Add a silence and return its id."""
    result = call(config, "add", "--comment", "planned", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def refusal(config: Path, *arguments: str) -> str:
    result = call(config, "add", "--comment", "planned", *arguments)
    assert result.exit_code == 2
    assert stored(config) == []
    return " ".join(result.stderr.partition("Error: ")[2].split()).removeprefix("Invalid value for ")


def stored(config: Path) -> list[Silence]:
    store = Store(f"sqlite:///{config.parent}/tocsin.db")
    try:
        return store.silences(datetime(1970, 1, 1, tzinfo=UTC))
    finally:
        store.close()


def test_a_silence_that_is_added_is_kept_with_who_and_why_and_its_id_is_printed(config: Path) -> None:
    before = datetime.now(UTC)
    id_ = add(config, "--match", "cluster=edge-.*", "--match", "reason=BackOff", "--for", "2h", "--author", "lena")
    [silence] = stored(config)
    assert (silence.id, silence.author, silence.comment) == (id_, "lena", "planned")
    assert silence.match.model_dump(exclude_none=True) == {"cluster": "edge-.*", "reason": "BackOff"}
    assert silence.ends_at - silence.starts_at == 2 * HOUR
    assert silence.starts_at - before < timedelta(minutes=5)


@pytest.mark.parametrize(("sudo", "author"), [(None, "lena"), ("kim", "kim")])
def test_the_author_is_who_asks_also_behind_sudo(
    config: Path, monkeypatch: pytest.MonkeyPatch, sudo: str | None, author: str
) -> None:
    monkeypatch.setenv("LOGNAME", "lena")
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo:
        monkeypatch.setenv("SUDO_USER", sudo)
    add(config, "--match", "kind=Pod", "--for", "1h")
    assert stored(config)[0].author == author


def test_times_are_in_the_time_zone_of_the_configuration(config: Path) -> None:
    add(config, "--match", "kind=Pod", "--start", "2100-01-01T06:00", "--until", "2100-01-01T09:00 Europe/Berlin")
    [silence] = stored(config)
    assert silence.starts_at == datetime(2099, 12, 31, 22, 0, tzinfo=UTC)
    assert silence.ends_at == datetime(2100, 1, 1, 8, 0, tzinfo=UTC)


def test_what_began_in_the_past_holds_from_now_to_the_end_that_was_meant(config: Path) -> None:
    add(config, "--match", "kind=Pod", "--start", "2020-01-01T00:00", "--until", "2100-01-01T00:00")
    [silence] = stored(config)
    assert silence.starts_at == silence.created_at


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--for", "2h"], "say what to hold with --match, or --all"),
        (
            ["--match", "cluster=.*", "--for", "2h"],
            "cluster=.* matches every event, or nearly so; say --all if that is meant",
        ),
        (
            ["--match", "kind=Pod", "--all", "--for", "2h"],
            "--all holds everything, and kind=Pod does not; leave one out",
        ),
        (["--match", "kid=Pod", "--for", "2h"], "--match: kid: unknown key; did you mean kind?"),
        (
            ["--match", "kind=*", "--for", "2h"],
            "--match: kind: expected a regular expression, found '*': nothing to repeat at position 0",
        ),
        (["--match", "kind=Pod"], "say when it ends: with --for or with --until"),
        (
            ["--match", "kind=Pod", "--for", "1h", "--until", "2100-01-01T00:00"],
            "--for and --until both say when it ends; leave one out",
        ),
        (["--match", "kind=Pod", "--for", "0s"], "--for: expected more than 0s and less than ten years, found 0s"),
        (["--match", "kind=Pod", "--for", "1h", "--comment", " "], "--comment: expected why, found nothing"),
        (
            ["--match", "kind=Pod", "--for", "1h", "--author", ""],
            "--author: expected whom to ask about it, found nothing",
        ),
        (
            ["--match", "namespace=", "--for", "1h"],
            "--match: namespace: expected a pattern; objects without a namespace are in _cluster",
        ),
        (
            ["--match", "kind=", "--for", "1h"],
            "--match: kind: expected a pattern, found an empty one; this is empty in no event",
        ),
        (
            ["--match", "namespace=shop,kind=Pod", "--for", "1h"],
            (
                "--match: expected one field in each --match, found 'namespace=shop,kind=Pod'; "
                "say --match again for the next"
            ),
        ),
        (
            ["--match", "kind=Pod", "--for", "2 hours"],
            "--for: expected a duration such as 30s, 5m, 4h or 7d, found '2 hours'",
        ),
        (
            ["--match", "kind=Pod", "--start", "2100-01-02T00:00", "--until", "2100-01-01T00:00"],
            "--until: 2100-01-01 00:00 UTC+8 is not after its start, 2100-01-02 00:00 UTC+8",
        ),
        (
            ["--match", "kind=Pod", "--until", "2100-01-01T00:00 Mars/Base"],
            "--until: there is no time zone 'Mars/Base'; expected an IANA name such as Asia/Shanghai",
        ),
    ],
)
def test_a_mistake_is_explained_and_nothing_is_kept(config: Path, arguments: list[str], problem: str) -> None:
    assert refusal(config, *arguments).startswith(problem)


def test_an_end_that_is_past_is_told_with_the_time_it_is(config: Path) -> None:
    said = refusal(config, "--match", "kind=Pod", "--until", "2020-01-01T00:00")
    assert said.startswith("--until: 2020-01-01 00:00 UTC+8 is past: it is 20")
    said = refusal(config, "--match", "kind=Pod", "--start", "2020-01-01T00:00", "--for", "1h")
    assert said.startswith("--for: 2020-01-01 01:00 UTC+8 is past: it is 20")


def test_a_silence_for_everything_is_possible_where_it_is_meant(config: Path) -> None:
    add(config, "--all", "--for", "2h")
    assert stored(config)[0].match.model_dump(exclude_none=True) == {}
    assert call(config, "list").stdout.split("  ")[-2:] == [
        "everything",
        f"({stored(config)[0].author}: planned)\n",
    ]


def test_a_comment_is_required(config: Path) -> None:
    result = call(config, "add", "--all", "--for", "2h")
    assert result.exit_code == 2
    assert "Missing option '--comment'" in result.stderr


def test_it_is_told_how_many_events_of_the_last_day_a_silence_would_have_held(config: Path) -> None:
    now = datetime.now(UTC)
    said = [
        (event(uid="a", reason="BackOff"), HOUR),
        (event(uid="a", reason="BackOff", count=2), HOUR),
        (event(uid="b", reason="Failed"), HOUR),
        (event(uid="c", reason="BackOff", cluster="edge-2"), HOUR),
        (event(uid="d", reason="BackOff"), 25 * HOUR),
    ]
    store = Store(f"sqlite:///{config.parent}/tocsin.db")
    entries = [Entry(one, payload(one), now - age, ()) for one, age in said]
    store.record(entries, [], positions={}, now=now)
    store.close()
    result = call(config, "add", "--comment", "x", "--match", "reason=BackOff", "--for", "1h")
    assert result.stderr.splitlines()[-1] == "of 3 events of the last day, it would have held 2"


def test_a_list_shows_what_holds_now_or_will(config: Path) -> None:
    first = add(config, "--match", "kind=Pod", "--for", "3h")
    second = add(config, "--match", "kind=Job", "--for", "2h")
    call(config, "expire", second)
    config.write_text(config.read_text() + WINDOWS)
    lines = call(config, "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [first, "active"],
        ["always", "active"],
        ["new-year", lines[2].split()[1]],
    ]
    assert lines[1] == "always active   for ever  kind=Node  (ops: we know)"
    every = call(config, "list", "--expired").stdout.splitlines()
    assert [line.split()[:2] for line in every[:2]] == [[second, "expired"], [first, "active"]]


def test_a_list_for_programs_has_an_object_a_line(config: Path) -> None:
    id_ = add(config, "--match", "kind=Pod", "--for", "3h")
    config.write_text(config.read_text() + WINDOWS)
    objects = [json.loads(line) for line in call(config, "list", "--json").stdout.splitlines()]
    assert [(one["kind"], one.get("id") or one["name"]) for one in objects] == [
        ("silence", id_),
        ("window", "always"),
        ("window", "new-year"),
    ]
    assert objects[1]["ends_at"] is None
    ends_at = datetime.fromisoformat(objects[2]["ends_at"])
    assert (ends_at.hour, ends_at.weekday(), ends_at.utcoffset()) == (1, 3, timedelta())


def test_where_nothing_is_silenced_the_list_is_empty(config: Path) -> None:
    result = call(config, "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing is silenced\n")


def test_an_expired_silence_holds_nothing_any_more(config: Path) -> None:
    ids = [add(config, "--match", "kind=Pod", "--for", "3h") for _ in range(2)]
    assert call(config, "check", "back-off").exit_code == SILENCED
    result = call(config, "expire", *ids)
    assert (result.exit_code, result.output) == (0, "")
    assert call(config, "check", "back-off").exit_code == 0
    assert [silence.comment for silence in stored(config)] == ["planned", "planned"]


def test_what_cannot_be_expired_is_told_and_the_others_are_all_the_same(config: Path) -> None:
    first, second = (add(config, "--match", "kind=Pod", "--for", "3h") for _ in range(2))
    call(config, "expire", first)
    result = call(config, "expire", "0000", first, second)
    assert result.exit_code == 1
    unknown, ended = result.stderr.splitlines()
    assert unknown == "no silence is called '0000'; there are none"
    assert ended.startswith(f"{first} has ended already, 20")
    assert len([one for one in stored(config) if one.ends_at > datetime.now(UTC)]) == 0


def test_check_tells_what_holds_an_event_and_until_when(config: Path) -> None:
    config.write_text(config.read_text() + WINDOWS)
    id_ = add(config, "--match", "cluster=edge-042", "--until", "2100-01-01T06:00", "--author", "lena")
    result = call(config, "check", "back-off")
    assert result.exit_code == SILENCED
    assert result.stdout.splitlines() == [
        f"silence {id_} until 2100-01-01 06:00 UTC+8  (lena: planned)",
        "it is held until 2100-01-01 06:00 UTC+8",
    ]
    assert call(config, "check", "node-not-ready").stdout.splitlines()[1:] == [
        "window always for ever  (ops: we know)",
        "it is held for ever",
    ]


def test_nothing_holds_a_digest(config: Path) -> None:
    add(config, "--match", "kind=Cluster", "--for", "1h")
    result = call(config, "check", "storm")
    assert (result.exit_code, result.stdout.partition(" or")[0]) == (
        0,
        "nothing holds it: it goes to the receiver whose storm",
    )


def test_check_looks_at_the_time_that_is_asked_for(config: Path) -> None:
    add(config, "--match", "kind=Pod", "--start", "2100-01-01T06:00", "--for", "1h")
    assert call(config, "check", "back-off").stdout == "nothing holds it\n"
    assert call(config, "check", "back-off", "--at", "2100-01-01T06:30").exit_code == SILENCED
    assert call(config, "check", "back-off", "--at", "2100-01-01T07:00").exit_code == 0
    result = call(config, "check", "back-off", "--at", "soon")
    assert result.exit_code == 2
    assert "expected a time such as 2026-11-27T06:00" in result.stderr


def test_an_event_of_kubernetes_is_from_the_cluster_that_is_named(config: Path) -> None:
    add(config, "--match", "cluster=edge-.*", "--for", "1h")
    said = {"type": "Warning", "reason": "BackOff", "message": "m", "firstTimestamp": "2026-11-23T19:18:54Z"}
    said |= {"involvedObject": {"kind": "Pod", "name": "a"}, "metadata": {"uid": "u"}}  # type: ignore[dict-item]
    file = config.parent / "event.json"
    file.write_text(json.dumps(said))
    assumed = call(config, "check", str(file))
    assert assumed.exit_code == 0
    how = "--cluster NAME says which it is from"
    assert assumed.stderr == f"{file} names no cluster, so it is taken for one of 'example'; {how}\n"
    named = call(config, "check", str(file), "--cluster", "edge-1")
    assert (named.exit_code, named.stderr) == (SILENCED, "")
    assert call(config, "check", str(file), "--cluster", "Edge 1").exit_code == 2


def test_an_event_that_is_none_is_told(config: Path) -> None:
    result = call(config, "check", "no-such-sample")
    assert result.exit_code == 1
    assert "no-such-sample is neither a file nor a sample" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("expire", "x"), ("add", "--all", "--for", "1h", "--comment", "c"), ("check", "back-off")],
)
def test_before_a_consumer_has_run_there_is_no_store_and_none_is_made(
    config: Path, arguments: tuple[str, ...]
) -> None:
    store = config.parent / "tocsin.db"
    store.unlink()
    result = call(config, *arguments)
    assert result.exit_code == 1
    assert result.stderr == f"store {store}: there is none yet; a consumer makes it when it first runs\n"
    assert not store.exists()


def test_a_store_of_an_older_version_is_left_to_the_consumer(config: Path) -> None:
    connection = sqlite3.connect(config.parent / "tocsin.db")
    connection.execute("UPDATE meta SET value = '3'")
    connection.commit()
    connection.close()
    result = call(config, "list")
    assert result.exit_code == 1
    assert "has schema version 3, not 5; a consumer of this version brings it up to date" in result.stderr


def test_silences_are_added_beside_a_consumer_that_is_at_work(config: Path) -> None:
    """It holds the store for itself; it sees what is added in its next transaction."""
    consumer = Store(f"sqlite:///{config.parent}/tocsin.db", exclusive=True)
    arguments = ("add", "--config", str(config), "--all", "--for", "1h", "--comment", "c")
    done = subprocess.run(
        [sys.executable, "-m", "tocsin_consumer", "silence", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    [silence] = consumer.silences(datetime.now(UTC))
    assert done.stdout == f"{silence.id}\n"
    consumer.close()
