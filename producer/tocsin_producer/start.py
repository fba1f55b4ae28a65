"""Begins the agent as a small process: `python -m tocsin_producer.start DESCRIPTOR`, see `agent`.

What the agent imports imports much that it never uses; unless that is put off, the process breaks the bounds of
`bench/memory.py`. What each part of it is worth, and what else was tried, is measured by `bench/alternatives.py`.
"""

import importlib
import os
import sys
import typing
from collections.abc import Mapping
from typing import Any, Final

from tocsin_producer import headers
from tocsin_schemas.put_off import Ready, put_off

#: Who imports them, and what for: dataclasses and http.client, see `READY`; paho for proxies and WebSockets;
#: urllib.parse for addresses in brackets; logging for tracebacks; and we, for recordings and client certificates.
PUT_OFF: Final = (
    "base64",
    "email.message",
    "email.parser",
    "gzip",
    "hashlib",
    "inspect",
    "ipaddress",
    "locale",
    "pathlib",
    "platform",
    "random",
    "shutil",
    "stringprep",
    "tempfile",
    "textwrap",
    "tokenize",
    "traceback",
    "urllib.request",
    "uuid",
)


def _annotations(cls: type) -> dict[str, Any]:
    """Do what dataclasses ask of `inspect` for each class since Python 3.13, as they did before it themselves."""
    found: dict[str, Any] = cls.__dict__.get("__annotations__", {})  # noqa: RUF063 - `inspect` is put off
    return found


def _uniform(low: float, high: float) -> float:
    """Do what pauses need of `random`."""
    return low + (high - low) * int.from_bytes(os.urandom(4)) / 2**32


#: What such a module can be asked for without being loaded: what is asked for by who always imports it.
READY: Final[Mapping[str, Ready]] = {
    "email.message": {"Message": headers.Message},
    "email.parser": {"Parser": headers.Parser},
    "inspect": {"get_annotations": _annotations},
    "platform": {"system": lambda: os.uname().sysname},
    "random": {"uniform": _uniform},
}


class _Annotation:
    """Stands for an annotation that is written as a text, and that nobody reads."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


def load_paho() -> None:
    """Import paho, without the code into which Python up to 3.13 compiles some hundred of its annotations."""
    names = vars(typing)
    forward_ref = names["ForwardRef"]
    names["ForwardRef"] = _Annotation
    try:
        importlib.import_module("paho.mqtt.client")
    finally:
        names["ForwardRef"] = forward_ref


def main() -> int:
    """Run the agent, and return its exit code."""
    put_off(PUT_OFF, READY)
    load_paho()
    from tocsin_producer import agent  # noqa: PLC0415 - what it imports must find the others put off

    return agent.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
