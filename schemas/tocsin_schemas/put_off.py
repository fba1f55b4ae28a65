"""Modules that are loaded when something of them is asked for, so that a process that runs for long stays small.

What it imports imports much that it never uses. `importlib.util.LazyLoader` would do the same, but loads a module
already when somebody else imports it.
"""

import importlib
import sys
from collections.abc import Collection, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final

#: What a module can be asked for without being loaded, by name.
Ready = Mapping[str, Any]
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class PutOff(ModuleType):
    """Stands for a module until something of it is asked for that is not in `ready`."""

    def __init__(self, name: str, ready: Ready = _NOTHING) -> None:
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


def put_off(names: Collection[str], ready: Mapping[str, Ready] = _NOTHING) -> None:
    """Let the modules `names`, unless they are there already, be loaded when they are first used.

    `ready` is by name what they can be asked for without that: what is asked for by who always imports them.
    """
    for name in names:
        if name not in sys.modules:
            parent, _, own = name.rpartition(".")
            sys.modules[name] = PutOff(name, ready.get(name, _NOTHING))
            if parent:
                setattr(importlib.import_module(parent), own, sys.modules[name])
