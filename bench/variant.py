"""The producer in another way than ours, to see what each of ours is worth: `python -m bench.variant NAME run …`.

A variant is the real command with one thing changed, in the process that checks or in the agent that it becomes.
`bench.alternatives` measures them. What is imported here, the agent that is measured has as well.
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from tocsin_producer import start

_execve: Final = os.execve


class Variant(NamedTuple):
    """What is changed: Python's options, the agent's code or environment; or that no agent takes its place."""

    options: tuple[str, ...] = ()
    change: Callable[[], None] = lambda: None
    is_tuned: bool = True
    becomes_agent: bool = True


def _put_nothing_off() -> None:
    vars(start)["put_off"] = lambda *_: None


def _load_paho_as_it_is() -> None:
    vars(start)["load_paho"] = partial(importlib.import_module, "paho.mqtt.client")


def _ask_for_pages_of(size: int) -> None:
    load_paho = start.load_paho

    def load() -> None:
        """Change the watch once all is put off that shall be, and before it is used."""
        load_paho()
        vars(importlib.import_module("tocsin_producer.watch"))["PAGE_SIZE"] = size

    vars(start)["load_paho"] = load


VARIANTS: Final[Mapping[str, Variant]] = {
    "as it is": Variant(),
    "one process that checks and stays": Variant(becomes_agent=False),
    "no module put off": Variant(change=_put_nothing_off),
    "paho with its annotations": Variant(change=_load_paho_as_it_is),
    "malloc as glibc sets it": Variant(is_tuned=False),
    "pages of 500": Variant(change=partial(_ask_for_pages_of, 500)),
    "pages of 5, which hold as little as a parser that streams": Variant(change=partial(_ask_for_pages_of, 5)),
    "python -OO": Variant(options=("-OO",)),
}


def _become(name: str, _path: str, command: list[str], environment: Mapping[str, str]) -> None:
    """Become the agent in the way of the variant `name`, where the command would replace itself."""
    variant, descriptor = VARIANTS[name], command[-1]
    if not variant.becomes_agent:
        agent: Any = importlib.import_module("tocsin_producer.agent")
        sys.exit(agent.main([descriptor]))
    program = [sys.executable, *variant.options, "-m", "bench.variant", name, descriptor]
    _execve(sys.executable, program, environment if variant.is_tuned else os.environ)


def main() -> None:
    """Run the command or, where all that follows the name is a descriptor, the agent."""
    _, name, *arguments = sys.argv
    if arguments[0].isdecimal():
        VARIANTS[name].change()
        sys.argv[1:] = arguments
        sys.exit(start.main())
    vars(os)["execve"] = partial(_become, name)
    importlib.import_module("tocsin_producer.cli").main(arguments)


if __name__ == "__main__":
    main()
