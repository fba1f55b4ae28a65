"""Kinds of values that configuration files have: numbers, durations, sizes, patterns, files, topics."""

import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator

from tocsin_schemas.document import found
from tocsin_schemas.matching import Pattern, compile_pattern
from tocsin_schemas.secret import read_secret
from tocsin_schemas.topics import CLUSTER_PATTERN, safe_level

_DURATION: Final = re.compile(
    r"(?=.)(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?",
)
_SIZE: Final = re.compile(r"([0-9]+) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_ADDRESS: Final = re.compile(r"(?:[\w.-]+|\[[0-9a-f:.]+\]):(\d{1,5})", re.ASCII | re.IGNORECASE)
_UNITS: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}


def _refuse_bool(value: object) -> object:
    """Refuse what Python takes for 0 or 1, and nobody means as a number."""
    if isinstance(value, bool):
        raise ValueError(f"expected a whole number, found {found(value)}")  # noqa: TRY004 - pydantic reports it
    return value


def _parse_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a duration such as 30s, 5m, 4h or 7d, found {found(value)}")
    days, hours, minutes, seconds = match.groups(default="0")
    try:
        return timedelta(days=int(days), hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    except (OverflowError, ValueError) as error:  # ValueError: thousands of digits
        raise ValueError(f"expected a duration of a few years at most, found {found(value)}") from error


def duration_text(length: timedelta) -> str:
    """Return how a duration is written in a file, in whole seconds: `1h30m`, `0s`."""
    left, text = int(length.total_seconds()), ""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def _parse_size(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or len(match[1]) > 18:
        raise ValueError(f"expected a size such as 512KiB or 10MB, found {found(value)}")
    return int(match[1]) * _UNITS[match[2] or "B"]


def _check_pattern(value: object) -> object:
    """Check a pattern before pydantic does, which would tell of each alternative on its own."""
    match value:
        case str():
            _check_expression(value)
        case []:
            raise ValueError("expected at least one text; an empty list matches nothing")
        case list():
            for item in value:
                _check_text(item)
        case _:
            expected = "expected a regular expression or a list of texts"
            raise ValueError(f"{expected}, found {found(value)}{_quotes(value)}")
    return value


def _check_text(item: object) -> None:
    if not isinstance(item, str):
        message = f"expected a list of texts, found {found(item)} in it{_quotes(item)}"
        raise ValueError(message)  # noqa: TRY004 - what pydantic reports to the user


def _check_expression(pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except re.error as error:
        hint = "; for any text write .*" if pattern.startswith("*") else ""
        raise ValueError(f"expected a regular expression, found {pattern!r}: {error}{hint}") from error


def _quotes(value: object) -> str:
    return "" if value is None or isinstance(value, dict | list) else "; put it in quotes"


def _check_readable(path: Path) -> Path:
    """Read from the file once, so that a wrong path or mode is found now and not at the first alert.

    An address is told to be one; as a path, its slashes have become one. Only what clearly is a path is
    repeated: the secret itself may have been written where its file belongs.
    """
    if re.match(r"[a-z][a-z0-9+.-]*:/", str(path)):
        raise ValueError("expected the path of a file, found an address; it belongs under url, or into a file")
    name = str(path) if path.is_absolute() else "the file"
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL within it
        raise ValueError("expected the path of a file") from error
    return path


def _check_secret_file(path: Path) -> Path:
    if not read_secret(path).strip():
        raise ValueError(f"{path} is empty")
    return path


def _check_ca_file(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError as error:
        raise ValueError(f"{path} has no certificates in PEM form") from error
    return path


def _check_place(path: Path) -> Path:
    path = path.expanduser()
    if path == Path() or path.is_dir():
        raise ValueError("expected the path of a file, found a directory")
    return path


def _check_topic_root(root: str) -> str:
    if any(level != safe_level(level) for level in root.split("/")) or root.startswith("$"):
        raise ValueError("expected topic levels such as k8s/v1, without wildcards, dots and spaces")
    return root


def _check_cluster(name: str) -> str:
    if not CLUSTER_PATTERN.fullmatch(name):
        raise ValueError(f"expected lower case letters, digits and dashes, at most 63, found {name!r}")
    return name


def _check_listen(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[1]) < 65_536:
        raise ValueError(f"expected host:port such as 0.0.0.0:8080 or [::1]:8080, found {address!r}")
    return address


#: A whole number.
Number = Annotated[int, BeforeValidator(_refuse_bool)]
#: A length of time, written like 30s, 5m, 1h30m or 7d.
Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
#: A number of bytes, written like 64KiB or 10MB.
Size = Annotated[int, BeforeValidator(_parse_size)]
#: A regular expression that compiles and must match the whole text, or a list of exact values.
PatternField = Annotated[Pattern, BeforeValidator(_check_pattern)]
#: A file that exists and can be read.
ReadableFile = Annotated[Path, AfterValidator(_check_readable)]
#: A file that holds a secret.
SecretFile = Annotated[ReadableFile, AfterValidator(_check_secret_file)]
#: A file that holds certificates of authorities.
CaFile = Annotated[ReadableFile, AfterValidator(_check_ca_file)]
#: A file of ours, which need not exist yet.
StateFile = Annotated[Path, AfterValidator(_check_place)]
#: The first levels of every topic.
TopicRoot = Annotated[str, AfterValidator(_check_topic_root)]
#: The name of a cluster.
ClusterField = Annotated[str, AfterValidator(_check_cluster)]
#: Where a server of ours listens: a host and a port.
Listen = Annotated[str, AfterValidator(_check_listen)]
