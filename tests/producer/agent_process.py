"""The agent as the process that it is, on a plan of the test's making."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.mosquitto import free_port
from tests.schemas.session_harness import broker_at
from tests.stage.probes import Probes
from tests.waiting import until
from tocsin_producer.filter import Rule
from tocsin_producer.plan import ApiServer, Plan

CLUSTER = "edge-042"


class AgentProcess:
    """Runs the agent; started again it goes on in the same log, and with the same state if it has a file for it.

    Args:
        folder: for the log.
        broker_port: where the broker is, or will be.
        api_url: where the API server is, or will be.
        changes: what the plan has beside the defaults.
    """

    def __init__(self, folder: Path, *, broker_port: int, api_url: str, **changes: Any) -> None:
        self.log_path = folder / "agent.log"
        self.log_path.touch()
        self._probes = Probes(free_port())
        given: dict[str, Any] = {
            "cluster": CLUSTER,
            "topic_root": "k8s/v1",
            "broker": broker_at(broker_port, client_id=f"tocsin-producer-{CLUSTER}"),
            "source": ApiServer(api_url),
            "include": [Rule({"type": "Warning"})],
            "exclude": [],
            "fold_seconds": 0.0,
            "budget_bytes_per_day": None,
            "budget_reset_seconds": 0,
            "outbox_path": None,
            "outbox_max_messages": 2000,
            "outbox_max_bytes": 1024**2,
            "message_limit": 1024,
            "http_listen": f"127.0.0.1:{self._probes.port}",
            "log_level": "info",
            "log_format": "text",
            "resolve_command": [],
        }
        self.plan = Plan(**(given | changes))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, before: Callable[[], None] | None = None) -> None:
        """Start it; `before` runs in its process first."""
        descriptor = self.plan.pass_on()
        command = [sys.executable, "-P", "-m", "tocsin_producer.start", str(descriptor)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, pass_fds=[descriptor], preexec_fn=before)  # noqa: PLW1509 - it sets limits
        os.close(descriptor)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(20)

    def probe(self, path: str) -> tuple[int, str]:
        """Ask one of its probes; 0 while nobody answers."""
        return self._probes.ask(path)

    def figure(self, name: str) -> float:
        """Return one of its figures."""
        return self._probes.figure(name)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def wait_for_log(self, text: str) -> None:
        until(lambda: text in self.log, otherwise=f"it did not log {text!r}:\n{self.log[-2000:]}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
