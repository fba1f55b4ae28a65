"""The configuration file of a consumer that runs: what is in force, and whether that has changed.

The files that it names, such as those with secrets, are part of it. A change is one of their content, seen through
their time, size and inode: editors and Kubernetes put a new file in the place of the old one.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tocsin_consumer.check import load_checked
from tocsin_consumer.settings import ConsumerSettings
from tocsin_schemas.configuration import ConfigurationError, overlay, read

#: What tells one state of a file from another, as far as that is seen without reading it.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration as it was read; two are equal if there is nothing to take over."""

    settings: ConsumerSettings
    #: Differs where the content of any file does.
    digest: str


class ConfigFile:
    """Reads the file at `path` with `environment` over it, and knows whether to read it again."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self._environment = environment
        self._named: list[Path] = []
        #: The files as they were before they were read, and when they were looked at last.
        self._read: dict[Path, Stamp | None] = {}
        self._seen: dict[Path, Stamp | None] = {}

    def load(self) -> Loaded:
        """Return what the file says now.

        Raises:
            ConfigurationError: with everything that is wrong; until a file changes, it is not worth another try.
        """
        stamp = _stamp(self.path)
        self._named = self._files() or self._named
        self._read = self._seen = {**self._stamps(), self.path: stamp}
        settings, _ = load_checked(self.path, self._environment)
        return Loaded(settings, self._digest())

    def has_changed(self) -> bool:
        """Tell whether a file is not as it was read, and has held still since this was asked last."""
        seen, self._seen = self._seen, self._stamps()
        return self._seen != self._read and self._seen == seen

    def _files(self) -> list[Path]:
        """Return the files that it names: a wrong one is mended by a file that was missing, too."""
        try:
            document = overlay(read(self.path), ConsumerSettings, self._environment)
        except ConfigurationError:
            return []
        return [Path(name) for name in dict.fromkeys(_files_in(document.values))]

    def _digest(self) -> str:
        digests = [hashlib.sha256(_bytes(path)).digest() for path in (self.path, *self._named)]
        return hashlib.sha256(b"".join(digests)).hexdigest()

    def _stamps(self) -> dict[Path, Stamp | None]:
        return {path: _stamp(path) for path in (self.path, *self._named)}


def _files_in(values: Any, key: str = "") -> Iterator[str]:
    """Yield the files that a configuration names."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _files_in(value, str(name))
    elif isinstance(values, list):
        for value in values:
            yield from _files_in(value)
    elif isinstance(values, str) and (key == "file" or key.endswith("_file")):
        yield values


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
