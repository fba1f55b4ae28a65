import gzip
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.apiserver import ApiServer
from tests.producer.conftest import event
from tests.schemas.fake_broker import ACCEPTED, CONNECT, PUBLISH, SUBSCRIBE, FakeBroker
from tests.schemas.session_harness import broker_at
from tests.waiting import until
from tocsin_producer import agent as agent_module
from tocsin_producer.agent import Agent, main
from tocsin_producer.filter import Rule
from tocsin_producer.health import Source
from tocsin_producer.intake import Intake
from tocsin_producer.plan import ApiServer as Server
from tocsin_producer.plan import Plan, Replay
from tocsin_producer.resolve import from_kubeconfig
from tocsin_schemas.pulse import Pulse

Act = Callable[["Scripted", threading.Event], None]


class TakingBroker(FakeBroker):
    """Speaks MQTT 5, takes everything, and remembers the bodies of what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def answer(self, kind: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            return ACCEPTED
        if kind == PUBLISH:
            self.bodies.append(body)
            length = int.from_bytes(body[:2], "big")
            return b"\x40\x02" + body[2 + length : 4 + length]
        return b"\x90\x04" + body[:2] + b"\x00\x01" if kind == SUBSCRIBE else b""


class Scripted:
    """An event source that does what `act` says; `aborts` counts how often it was broken off."""

    has_listed = True
    contact_seconds = None

    def __init__(self, act: Act) -> None:
        self.pulse = Pulse()
        self.act = act
        self.intake: Intake
        self.aborts = 0
        self.released = threading.Event()

    def run(self, stop: threading.Event) -> None:
        self.act(self, stop)

    def abort(self) -> None:
        self.aborts += 1


def until_stopped(_source: Scripted, stop: threading.Event) -> None:
    stop.wait()


def until_released(source: Scripted, _stop: threading.Event) -> None:
    source.released.wait()


def plan(broker_port: int = 1, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "cluster": "edge-042",
        "topic_root": "k8s/v1",
        "broker": broker_at(broker_port),
        "source": Server("http://127.0.0.1:1"),
        "include": [Rule()],
        "exclude": [],
        "fold_seconds": 0.0,
        "budget_bytes_per_day": None,
        "budget_reset_seconds": 0,
        "outbox_path": None,
        "outbox_max_messages": 100,
        "outbox_max_bytes": 100_000,
        "message_limit": 1024,
        "http_listen": None,
        "log_level": "info",
        "log_format": "text",
        "resolve_command": [],
    }
    return Plan(**(values | changes))


def scripted(*sources: Scripted) -> Callable[[Intake], Sequence[Source]]:
    def given(intake: Intake) -> Sequence[Source]:
        for source in sources:
            source.intake = intake
        return sources

    return given


class Running:
    """An agent that runs in a thread."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.codes: list[int] = []
        self.thread = threading.Thread(target=lambda: self.codes.append(agent.run()))
        self.thread.start()

    def wait(self) -> int:
        self.thread.join(20)
        return self.codes[0]

    def stop(self) -> int:
        self.agent.stop()
        return self.wait()


def test_a_stop_ends_sources_and_session_and_is_clean() -> None:
    sources = [Scripted(until_stopped), Scripted(until_stopped)]
    assert Running(Agent(plan(), sources=scripted(*sources))).stop() == 0


def test_what_came_in_until_the_sources_ended_is_published_before_the_goodbye() -> None:
    def offer_at_the_end(source: Scripted, stop: threading.Event) -> None:
        stop.wait()
        source.released.wait()
        source.intake.offer([event("late")], "watch")

    source = Scripted(offer_at_the_end)
    with TakingBroker() as broker:
        running = Running(Agent(plan(broker.port), sources=scripted(source)))
        until(lambda: broker.bodies)
        running.agent.stop()
        until(lambda: source.aborts >= 5)  # a while has passed
        assert not any(b'"offline"' in body for body in broker.bodies)
        source.released.set()
        assert running.wait() == 0
    assert b'"uid":"late"' in broker.bodies[-2]
    assert b'"offline"' in broker.bodies[-1]


def test_a_source_that_does_not_end_is_named_and_not_waited_for_in_a_spin(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(agent_module, "_STOP_SECONDS", 0.5)
    hanging = Scripted(until_released)
    running = Running(Agent(plan(), sources=scripted(Scripted(until_stopped), hanging)))
    assert running.stop() == 1
    hanging.released.set()
    assert "did not end in time: watch-1" in caplog.text
    assert 1 <= hanging.aborts <= 12


def test_a_source_that_fails_ends_the_process_to_start_anew(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_source: Scripted, _stop: threading.Event) -> None:
        raise RuntimeError("broken")

    assert Running(Agent(plan(), sources=scripted(Scripted(fail)))).wait() == 1
    assert "no events can come any more" in caplog.text


def test_a_broken_recording_is_told_in_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "watch.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"at": 0, "line": null}\n'))
    assert Running(Agent(plan(source=Replay(str(path), 0.0)))).wait() == 1
    assert f"no events can come any more: {path}:1: not a line of a recorded watch" in caplog.text
    assert "Traceback" not in caplog.text


def offer_one(source: Scripted, stop: threading.Event) -> None:
    source.intake.offer([event("a")], "watch")
    stop.wait()


def test_what_waits_in_memory_at_the_end_makes_it_a_stop_cut_short(caplog: pytest.LogCaptureFixture) -> None:
    running = Running(Agent(plan(), sources=scripted(Scripted(offer_one))))
    until(lambda: running.agent._outbox.waiting)
    assert running.stop() == 1
    assert "what waited was not saved" in caplog.text


def test_what_waits_in_a_file_at_the_end_is_saved(tmp_path: Path) -> None:
    kept = plan(outbox_path=str(tmp_path / "outbox.db"))
    running = Running(Agent(kept, sources=scripted(Scripted(offer_one))))
    until(lambda: running.agent._outbox.waiting)
    assert running.stop() == 0
    again = Agent(kept, sources=scripted())
    assert again._outbox.waiting == 1


def test_a_state_that_cannot_be_used_is_an_exit_with_code_2(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "configure", lambda *_: None)
    unusable = plan(outbox_path=str(tmp_path))
    assert main([str(unusable.pass_on())]) == 2
    assert f"cannot open {tmp_path}" in caplog.text


def write_kubeconfig(path: Path, server: str, token: str) -> str:
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_a_kubeconfig_that_is_renewed_after_the_token_was_refused_is_taken_up_without_a_restart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "kubeconfig"
    command = [sys.executable, "-P", "-m", "tocsin_producer.resolve", str(path)]
    with TakingBroker() as broker, ApiServer(token="first") as server:
        source = from_kubeconfig(write_kubeconfig(path, server.url, "first"))
        running = Running(Agent(plan(broker.port, source=source, resolve_command=command)))
        until(lambda: server.watches)
        server.rotate_token("second")
        server.drop_connections()
        refused = len(server.requests)
        until(lambda: len(server.requests) >= refused + 2)  # with what the kubeconfig still says
        path.unlink()
        write_kubeconfig(path, server.url, "second")
        server.events.put(event("meanwhile"))
        until(lambda: any(b'"uid":"meanwhile"' in body for body in broker.bodies))
        assert running.stop() == 0
    assert broker.accepted == 1


def test_a_long_list_loses_nothing_to_a_link_that_gets_it_through() -> None:
    with TakingBroker() as broker, ApiServer() as server:
        for number in range(500):
            server.events.put(event(f"uid-{number}"))
        running = Running(Agent(plan(broker.port, source=Server(server.url))))
        until(lambda: len(broker.bodies) > 500 and not running.agent._outbox.waiting)
        assert running.stop() == 0
    assert (running.agent._link.counters.published, running.agent._outbox.lost) == (500, 0)
