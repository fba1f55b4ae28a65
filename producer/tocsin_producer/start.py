"""Begins the agent as a small process: `python -m tocsin_producer.start DESCRIPTOR`, see `agent`.

What the agent imports imports much that it never uses. These modules are put off: each is loaded when something of
it is asked for. Without that the process breaks the bounds of `bench/memory.py`. `importlib.util.LazyLoader` would
do the same, but loads a module already when somebody else imports it.
"""

import importlib
import os
import sys
import typing
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from tocsin_producer import headers

#: Who imports them, and what for: dataclasses and http.client, see `_READY`; paho for proxies and WebSockets;
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
_READY: Final[Mapping[str, Mapping[str, Any]]] = {
    "email.message": {"Message": headers.Message},
    "email.parser": {"Parser": headers.Parser},
    "inspect": {"get_annotations": _annotations},
    "platform": {"system": lambda: os.uname().sysname},
    "random": {"uniform": _uniform},
}
_NOTHING: Final[Mapping[str, Any]] = {}


class PutOff(ModuleType):
    """Stands for a module until something of it is asked for that is not in `ready`."""

    def __init__(self, name: str, ready: Mapping[str, Any] = _NOTHING) -> None:
        super().__init__(name)
        self.__dict__.update(ready)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for these of every module
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            sys.modules.pop(self.__name__, None)  # another thread may be as far
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)  # for who holds this one
        return getattr(module, name)


def put_off(*names: str) -> None:
    """Let the modules `names`, unless they are there already, be loaded when they are first used."""
    for name in names:
        if name not in sys.modules:
            parent, _, own = name.rpartition(".")
            sys.modules[name] = PutOff(name, _READY.get(name, _NOTHING))
            if parent:
                setattr(importlib.import_module(parent), own, sys.modules[name])


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
    put_off(*PUT_OFF)
    load_paho()
    from tocsin_producer import agent  # noqa: PLC0415 - what it imports must find the others put off

    return agent.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
