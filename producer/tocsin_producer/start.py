"""Begins the agent as a small process: `python -m tocsin_producer.start DESCRIPTOR`, see `agent`.

What the agent imports imports much that it never uses. These modules are put off: each is loaded when something of
it is asked for. Without that the process breaks the bounds of `bench/memory.py`. `importlib.util.LazyLoader` would
do the same, but loads a module already when somebody else imports it.
"""

import importlib
import sys
from types import ModuleType
from typing import Any, Final

#: Who imports them, and what for: dataclasses for classes without a docstring; paho for proxies and WebSockets;
#: urllib.parse for addresses in brackets; logging for tracebacks; and we, for recordings and client certificates.
PUT_OFF: Final = (
    "gzip",
    "hashlib",
    "inspect",
    "ipaddress",
    "locale",
    "shutil",
    "tempfile",
    "textwrap",
    "tokenize",
    "urllib.request",
    "uuid",
)


class PutOff(ModuleType):
    """Stands for a module until something of it is asked for."""

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
            sys.modules[name] = PutOff(name)
            if parent:
                setattr(importlib.import_module(parent), own, sys.modules[name])


def main() -> int:
    """Run the agent, and return its exit code."""
    put_off(*PUT_OFF)
    from tocsin_producer import agent  # noqa: PLC0415 - what it imports must find the others put off

    return agent.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
