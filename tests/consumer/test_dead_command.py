"""What was given up: seen, tried again and dropped by command."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.consumer.desk import UPLINK, Desk
from tests.consumer.messages import NOW, event, payload, topic
from tests.consumer.site import Site, connected, consumer
from tests.fakes.faults import Answer
from tests.fakes.webhook import WebhookFake
from tests.mosquitto import Mosquitto
from tests.waiting import until
from tocsin_consumer import dead_command, pipeline
from tocsin_consumer.cli import main
from tocsin_consumer.dead_letter import Search
from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.pipeline import Pipeline
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.records import DeadPayload, Delivery, Entry, Outcome
from tocsin_consumer.settings import load_settings
from tocsin_consumer.store import Store
from tocsin_consumer.storm import StormRules
from tocsin_schemas.event import EventPayload

CONFIG = """\
broker: {{url: "mqtt://localhost:1", username: ops}}
store: sqlite:///{folder}/tocsin.db
receivers:
  - {{name: ops, stdout: {{}}}}
route: {{receivers: [ops]}}
"""


class Sut:
    """A store with dead letters, and the commands about them."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "consumer.yaml"
        self.config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
        self.store = Store(f"sqlite:///{folder}/tocsin.db")

    def call(self, command: str, *arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(main, ["dead", command, "--config", str(self.config), *arguments], input=answer)

    def kill(self, said: EventPayload, *, receiver: str = "ops") -> None:
        """Give the delivery of an event up."""
        self.store.record([Entry(said, payload(said), NOW, (receiver,))], [], positions={}, now=NOW)
        self._settle(receiver, "dead", "code 19001: no such bot")

    def deliver(self, said: EventPayload) -> None:
        self.store.record([Entry(said, payload(said), NOW, ("ops",))], [], positions={}, now=NOW)
        self._settle("ops", "delivered")

    def _settle(self, receiver: str, state: Any, reason: str | None = None) -> None:
        self.store.settle([Outcome(one, state, NOW, reason=reason) for one in self.due(receiver)])

    def bury(self, content: bytes, *, at: str | None = None) -> None:
        """Give a message up."""
        letter = DeadPayload(at or topic(event()), content, "v: expected 1, found 2", NOW)
        self.store.record([], [letter], positions={}, now=NOW)

    def due(self, receiver: str = "ops") -> list[Delivery]:
        return self.store.due(receiver, NOW + timedelta(days=9999), limit=100)

    def left(self) -> list[int]:
        return [letter.id for letter in self.store.dead_letters(Search())]


@pytest.fixture
def sut(tmp_path: Path) -> Sut:
    return Sut(tmp_path)


def test_a_list_tells_of_each_dead_letter_when_what_and_why_the_newest_last(sut: Sut) -> None:
    sut.kill(event())
    sut.bury(b"{}")
    first, second = sut.call("list").stdout.splitlines()
    about = "ops: edge-1 BackOff Pod production/api-0: code 19001: no such bot"
    assert first == f"     1  2026-11-24 08:00:00 UTC  delivery  {about}"
    assert second.endswith("payload   k8s/v1/edge-1/event/production/Pod/BackOff: v: expected 1, found 2")
    assert sut.call("list", "--kind", "payload").stdout.splitlines() == [second]
    assert sut.call("list", "--receiver", "ops").stdout.splitlines() == [first]
    newest = sut.call("list", "--limit", "1", "--json")
    assert json.loads(newest.stdout)["id"] == 2
    assert newest.stderr == "1 older ones are not shown; see --limit\n"
    assert sut.call("list", "--kind", "payload", "--receiver", "ops").stderr == "there are no such dead letters\n"


@pytest.mark.parametrize("command", [("list",), ("replay", "--all"), ("drop", "--all")])
def test_a_receiver_that_there_is_not_is_told_with_those_that_there_are(
    sut: Sut, command: tuple[str, ...]
) -> None:
    refused = sut.call(*command, "--receiver", "nobody")
    assert (refused.exit_code, "no receiver is called 'nobody'; there are ops" in refused.stderr) == (2, True)
    sut.kill(event(), receiver="gone")
    assert "is called 'gone'" not in sut.call(*command, "--receiver", "gone").stderr


def test_ids_that_are_none_are_told_and_the_others_are_done_all_the_same(sut: Sut) -> None:
    for uid in "abc":
        sut.kill(event(uid=uid))
    replayed = sut.call("replay", "1", "77", "2")
    assert (replayed.exit_code, sut.left()) == (1, [3])
    assert replayed.stderr == "2 will be tried again\nthere is no dead letter 77\n"
    dropped = sut.call("drop", "3", "77", "--yes")
    assert (dropped.exit_code, sut.left()) == (1, [])
    assert dropped.stderr == "1 forgotten\nthere is no dead letter 77\n"
    refused = sut.call("show", "x")
    assert refused.exit_code == 2
    assert "expected the number of a dead letter, such as 17, as `dead list` shows it, found 'x'" in " ".join(
        refused.stderr.split()
    )


def test_what_stood_in_a_digest_says_so(tmp_path: Path) -> None:
    rules = StormRules(cluster=RateLimit(1, timedelta(minutes=5)), fleet=None, calm_after=timedelta(minutes=10))
    desk = Desk(store=f"sqlite:///{tmp_path}/tocsin.db", storm_rules=rules)
    desk.say(reason="A")
    desk.pass_(timedelta(seconds=11))
    desk.down.add("ops")
    desk.say(reason="B")
    desk.pass_(timedelta(minutes=1))
    desk.store.settle(
        [
            Outcome(one, "dead", desk.clock.now, reason="no")
            for one in desk.store.due("ops", desk.clock.now, limit=1)
        ]
    )
    about = "about     the digest of a storm of edge-1\n"
    assert about in Sut(tmp_path).call("show", "1").stdout


def test_one_dead_letter_is_shown_whole_and_nothing_in_it_acts_on_a_terminal(sut: Sut) -> None:
    sut.bury(b'{"v": 2, "msg": "\x1b[31mred"}')
    sut.bury(b"\xff\x9b not JSON", at="k8s/v1/\x1b]0;x\x07")
    shown = sut.call("show", "1").stdout
    assert '"v": 2' in shown
    sut.bury('{"v": 2, "msg": "\u202ereversed\x9b31m"}'.encode())
    said = "".join(sut.call("show", str(number)).stdout for number in (1, 2, 3))
    said += sut.call("list").stdout + sut.call("list", "--json").stdout
    assert set("\x1b\x07\x9b\u202e") & set(said) == set()
    assert (sut.call("show", "9").exit_code, sut.call("show", "9").stderr) == (1, "there is no dead letter 9\n")


def test_a_delivery_is_tried_again_as_if_it_were_new(sut: Sut) -> None:
    sut.kill(event())
    assert sut.due() == []
    assert sut.call("replay", "1").exit_code == 0
    [delivery] = sut.due()
    assert (delivery.attempts, delivery.notification.event.uid) == (0, "uid-1")
    assert sut.left() == []


def test_a_state_that_a_newer_one_has_followed_is_not_told_after_it(sut: Sut) -> None:
    sut.kill(event(count=1))
    sut.deliver(event(count=2))
    result = sut.call("replay", "--all")
    assert (result.exit_code, sut.due(), sut.left()) == (1, [], [1])
    assert (
        "1 left as it was: the receiver has got something newer of it, or is told of it no longer" in result.stderr
    )


def test_a_message_is_tried_again_only_if_it_is_understood_by_now(sut: Sut) -> None:
    sut.bury(b'{"v": 2}')
    sut.bury(payload(event()))
    result = sut.call("replay", "--all")
    assert (result.exit_code, result.stderr) == (
        0,
        "1 will be tried again\n1 left as it was: still not understood\n",
    )
    assert "about to look at it" in sut.call("replay", "2").stderr


def test_nothing_is_tried_again_for_a_receiver_that_there_is_no_more(sut: Sut) -> None:
    sut.kill(event(), receiver="gone")
    result = sut.call("replay", "1")
    assert (result.exit_code, sut.left()) == (1, [1])
    assert "left as it was: no receiver is called gone any more; there are ops\n" in result.stderr
    sut.kill(event(uid="other"))
    assert sut.call("replay", "--all").exit_code == 0
    assert (len(sut.due()), sut.left()) == (1, [1])


def test_all_means_all_however_many_there_are(sut: Sut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_command, "_PAGE", 2)
    for uid in "abcde":
        sut.kill(event(uid=uid))
    assert sut.call("replay", "--all").stderr == "5 will be tried again\n"
    assert [delivery.notification.event.uid for delivery in sut.due()] == list("abcde")
    assert sut.left() == []


def test_many_are_dropped_only_after_a_question(sut: Sut) -> None:
    for uid in "abc":
        sut.kill(event(uid=uid))
    assert sut.call("drop", "1").stderr == "1 forgotten\n"
    refused = sut.call("drop", "--all", answer="n\n")
    assert (refused.exit_code, sut.left()) == (1, [2, 3])
    assert "forget 2 dead letters?" in refused.stderr
    assert sut.call("drop", "--older-than", "3000d", "--yes").stderr == "0 forgotten\n"
    assert sut.call("drop", "--all", "--yes").exit_code == 0
    assert sut.left() == []


def test_what_came_after_the_question_is_not_dropped(sut: Sut, monkeypatch: pytest.MonkeyPatch) -> None:
    for uid in "ab":
        sut.kill(event(uid=uid))
    monkeypatch.setattr("click.confirm", lambda *_, **__: sut.kill(event(uid="late")))
    assert sut.call("drop", "--all").stderr == "2 forgotten\n"
    assert sut.left() == [3]


@pytest.mark.parametrize("arguments", [(), ("1", "--all")])
@pytest.mark.parametrize("command", ["replay", "drop"])
def test_ids_or_all_have_to_be_said(sut: Sut, command: str, arguments: tuple[str, ...]) -> None:
    result = sut.call(command, *arguments)
    assert result.exit_code == 2
    assert "name the ids of dead letters, or else say --all" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("replay", "1", "--receiver", "ops"), "--receiver goes with --all"),
        (("drop", "--older-than", "99999999d"), "expected more than 0s and less than ten years"),
        (("list", "--since", "yesterday"), "--since"),
        (("drop", "7"), "there is no dead letter 7"),
    ],
)
def test_what_makes_no_sense_is_refused(sut: Sut, arguments: tuple[str, ...], complaint: str) -> None:
    sut.kill(event())
    result = sut.call(*arguments)
    assert (result.exit_code in (1, 2), sut.left(), complaint in result.stderr) == (True, [1], True)


def test_a_running_consumer_takes_up_what_is_to_be_tried_again_at_its_next_turn(tmp_path: Path) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path}/tocsin.db")
    sut = Sut(tmp_path)
    desk.pipeline.decide(UPLINK)
    sut.bury(payload(event(uid="late")))
    assert sut.call("replay", "1").exit_code == 0
    assert [report.event.uid for report in desk.pass_(timedelta(minutes=1))] == ["late"]
    assert sut.left() == []


def test_many_messages_are_taken_up_in_parts_and_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_AGAIN_LIMIT", 2)
    desk = Desk(store=f"sqlite:///{tmp_path}/tocsin.db")
    sut = Sut(tmp_path)
    for count in (1, 2, 3):
        sut.bury(payload(event(count=count)))
    assert sut.call("replay", "--all").exit_code == 0
    desk.pipeline.decide(UPLINK)
    assert (desk.pipeline.counters.events, len(sut.left())) == (2, 1)
    desk.pipeline.decide(UPLINK)
    assert (desk.pipeline.counters.events, desk.pipeline.counters.stale, sut.left()) == (3, 0, [])


def test_a_command_is_heeded_at_the_next_turn_if_the_store_fails_at_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path}/tocsin.db")
    sut = Sut(tmp_path)
    sut.bury(payload(event()))
    assert sut.call("replay", "1").exit_code == 0
    with monkeypatch.context() as patched:
        patched.setattr(Store, "silences", fail)
        with pytest.raises(StoreError):
            desk.pipeline.decide(UPLINK)
    desk.pipeline.decide(UPLINK)
    assert (desk.pipeline.counters.events, sut.left()) == (1, [])


def test_a_message_that_fails_again_is_a_dead_letter_again_and_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path}/tocsin.db")
    sut = Sut(tmp_path)
    for uid in ("bad", "good"):
        sut.bury(payload(event(uid=uid)))
    assert sut.call("replay", "--all").exit_code == 0
    process = Pipeline.process

    def process_but_for_one(made: Pipeline, arrivals: Sequence[Arrival]) -> None:
        if any(b'"bad"' in arrival.message.payload for arrival in arrivals):
            raise RuntimeError
        process(made, arrivals)

    monkeypatch.setattr(Pipeline, "process", process_but_for_one)
    desk.pipeline.decide(UPLINK)
    assert desk.pipeline.counters.events == 1
    [letter] = desk.store.dead_letters(Search())
    assert (letter.kind, letter.reason) == ("payload", "internal error: RuntimeError")


@pytest.mark.broker
def test_a_consumer_at_work_delivers_at_once_what_is_tried_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, WebhookFake(Answer(status=404)) as hook:
        site = Site(tmp_path, broker.port)
        receiver = {"name": "hook", "grouped": False, "webhook": {"url": hook.url}}
        config = site.write_settings(receivers=[receiver], route={"receivers": ["hook"]})
        with consumer(load_settings(config, {})[0]) as made:
            connected(made)
            site.publish(event(), b'{"v":2}')
            until(lambda: site.query("SELECT COUNT(*) FROM dead_letters") == [(2,)])
            hook.reply = Answer()
            result = CliRunner().invoke(main, ["dead", "replay", "--config", str(config), "--all"])
            assert result.stderr == "1 will be tried again\n1 left as it was: still not understood\n"
            hook.wait_for(2, timeout_seconds=20)
            until(lambda: made._workers["hook"].counters.delivered == 1)
    assert [request.json()["uid"] for request in hook.requests] == ["uid-1", "uid-1"]
    assert site.query("SELECT kind FROM dead_letters") == [("payload",)]


def fail(*_: object) -> Any:
    raise StoreError("the disk is full")


def test_an_incident_that_was_given_up_is_told_as_it_is_by_then(tmp_path: Path) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path}/tocsin.db")
    desk.down.add("ops")
    desk.say(name="api-0")
    desk.pass_(timedelta(minutes=1))
    [given_up] = desk.store.due("ops", desk.clock.now, limit=1)
    desk.store.settle([Outcome(given_up, "dead", desk.clock.now, reason="refused")])
    desk.down.clear()
    assert desk.pass_(timedelta(minutes=1)) == []
    desk.say(name="api-0", uid="more")
    sut = Sut(tmp_path)
    assert "ops: incident 1, edge-1: BackOff of StatefulSet production/api: refused" in sut.call("list").stdout
    assert sut.call("replay", "--all").exit_code == 0
    [report] = desk.pass_(timedelta(minutes=1))
    assert report.occurrences == 2
