"""The files of an image at work as a container has them at work, without a container's daemon."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.waiting import until
from tocsin_producer.manifest import USER

#: Arguments: the root, then what to mount (a file or folder, and its place below the root), `--`, the command.
_SCRIPT = f"""
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t tmpfs tmpfs "$root/run"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; fi
  mount --bind "$1" "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"
exec chroot --userspec={USER}:{USER} "$root" "$@"
"""


class Container:
    """A command on a root that cannot be written to, by the image's user, with volumes that root has to mount.

    Args:
        root: the files of an image.
        command: with its arguments.
        volumes: the file or folder that is at each place.
        environment: all of it.
        folder: for the log.
    """

    def __init__(
        self,
        root: Path,
        *command: str,
        volumes: Mapping[str, Path],
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._log = folder / f"{Path(command[0]).name}.log"
        self._environment = {"PATH": os.environ["PATH"], **environment}
        mounts = [text for place, source in volumes.items() for text in (str(source), _resolved(place))]
        shell = ("unshare", "--mount", "--propagation", "private", "bash", "-c", _SCRIPT, "bash")
        self._arguments = (*shell, str(root), *mounts, "--", *command)

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=log, env=self._environment)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self, *, within_seconds: float = 20.0) -> int:
        """Ask it to end and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within_seconds)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Wait until it has printed `text`."""
        until(lambda: text in self.log or self._process.poll() is not None)
        assert text in self.log, self.log[-3000:]

    def status(self, name: str) -> str:
        """Return what the kernel says of the process, such as VmRSS or Uid."""
        lines = (
            Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        )
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def _resolved(place: str) -> str:
    """Return a place without the link at /var/run, which from outside of the root would lead out of it."""
    return place.replace("/var/run/", "/run/", 1) if place.startswith("/var/run/") else place
