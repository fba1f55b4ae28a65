"""A process of ours with its log."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.waiting import until


class Process:
    """A command whose standard error goes to a file, as JSON lines if it logs so."""

    def __init__(
        self, name: str, *arguments: str, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._arguments = arguments
        self.environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, or start it again; the log goes on in the same file."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self.environment,
                start_new_session=True,  # Ctrl-C is for who started it
            )

    def stop(self, *, within_seconds: float = 20.0) -> int:
        """Ask it to end and return its exit code."""
        self._signal(signal.SIGTERM)
        return self.wait(within_seconds=within_seconds)

    def kill(self) -> None:
        """End it at once (kill -9), whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Let it do nothing, until `thaw` (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def hang_up(self) -> None:
        """Let it load its configuration anew (SIGHUP)."""
        self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, *, within_seconds: float = 60.0) -> int:
        """Wait until it ends by itself and return its exit code."""
        assert self._process is not None
        return self._process.wait(within_seconds)

    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has logged so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the lines that it has logged as JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]

    def wait_for_log(self, text: str, *, times: int = 1, within_seconds: float = 20.0) -> None:
        """Wait until `text` stands in the log, so many times."""
        until(
            lambda: self.log.count(text) >= times,
            within_seconds=within_seconds,
            otherwise=f"{self.name} did not log {text!r}:\n{self.log[-3000:]}",
        )
