"""A real Mosquitto for tests and for the demo: started on a free loopback port, stopped, killed, frozen."""

import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Final, Self

from tests.waiting import until

#: A broker that believes everyone, and forgets everything when it ends.
OPEN: Final = "listener {port} 127.0.0.1\nallow_anonymous true\n"
#: Where Debian and Homebrew put daemons, which is not on everybody's PATH.
_PLACES: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/opt/homebrew/opt/mosquitto/sbin")


def find(command: str) -> str | None:
    """Return where a command of Mosquitto's is, or None."""
    return shutil.which(command, path=os.pathsep.join((os.environ.get("PATH", ""), *_PLACES)))


def is_installed() -> bool:
    """Whether Mosquitto can be started here, and set up: `mosquitto/setup` works with openssl."""
    return find("mosquitto") is not None and find("openssl") is not None


def free_port() -> int:
    """Return a port of the loopback that nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Mosquitto:
    """A broker with a configuration of one's own.

    Args:
        folder: an empty folder of its own, where the configuration and the log are put.
        configuration: as in mosquitto.conf; `{port}` stands for the port and `{folder}` for the folder.
        file: where to put the configuration; a file in `folder` by default.
        user: as whom it runs if it is started by root; by default it stays root.

    As a context manager it runs from enter to exit.
    """

    #: What a configuration begins with: everything is logged.
    preamble: ClassVar[str] = "log_dest stderr\nlog_type all\n"

    def __init__(
        self, folder: Path, configuration: str = OPEN, *, file: Path | None = None, user: str = "root"
    ) -> None:
        self.port = free_port()
        self.log_file = folder / "mosquitto.log"
        self._configuration_file = file or folder / "mosquitto.conf"
        text = configuration.replace("{port}", str(self.port)).replace("{folder}", str(folder))
        # By itself it would give up root, and with it the folder.
        identity = f"user {user}\n" if os.geteuid() == 0 else ""
        self._configuration_file.write_text(f"{identity}{self.preamble}{text}", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it, and wait until it accepts connections."""
        executable = find("mosquitto")
        assert executable is not None, "Mosquitto is missing; install it with the system's package manager"
        with self.log_file.open("ab") as log:
            command = [executable, "-c", str(self._configuration_file)]
            self._process = subprocess.Popen(
                command,
                stderr=log,
                stdout=log,
                start_new_session=True,
                restore_signals=False,  # a file that may not grow is an error to it then, and not its end
            )
        until(self._accepts, within_seconds=10, otherwise="Mosquitto does not accept connections")
        return self

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Mosquitto did not start:\n{self.log()}"
        try:
            for port in self.listening():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    def listening(self) -> Collection[int]:
        """Return the ports at which it accepts connections once it has started."""
        return (self.port,)

    def fill_disk(self) -> None:
        """Let it write no more than a full disk would (Linux)."""
        self._limit_files(1)

    def free_disk(self) -> None:
        """Let it write again."""
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, size: int) -> None:
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def log(self) -> str:
        """Return all that it has logged so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP freezes it, SIGCONT thaws it."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it as an operator would, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would, and wait."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
