"""What is wrong with a template, in the words of those who write it and know no Python. Pure."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from tocsin_consumer.line_view import LineView
from tocsin_consumer.view import View

#: Types as Python calls them → what they are for people. A type that is not here is none that a template meets.
_TYPES: Final = {
    "NoneType": "nothing",
    "None": "nothing",
    "str": "a text",
    "_Done": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "an object",
    "datetime": "a time",
    "timedelta": "a length of time",
    "LineView": "a line",
}
_NAMED: Final = re.compile(rf"'?(?:[\w.]+\.)?\b({'|'.join(_TYPES)})(?: object)?\b'?")


def no_such_name(name: str) -> str:
    """Say that a template knows no such name, and what there is instead."""
    return f"{name!r} is undefined; {_instead(name, [field.name for field in fields(View)])}"


def no_such_part(owner: Any, name: object) -> str:
    """Say that a value has no part of that name or number, and what there is instead."""
    if isinstance(owner, list | tuple) and isinstance(name, int):
        return f"a list of {len(owner)} has no element {name}; the first is 0"
    instead = _instead(str(name), _names(owner))
    return f"{kind_of(owner)} has no {name!r}" + (f"; {instead}" if instead else "")


def explained(error: Exception) -> str:
    """Return what an error says that a template raised, without the names of Python's types."""
    text = str(error) or type(error).__name__
    return _NAMED.sub(lambda found: _TYPES[found[1]], text) if isinstance(error, TypeError) else text


def kind_of(value: Any) -> str:
    """Return what a value is: `a time`, `a line`, `nothing`."""
    return _TYPES.get(type(value).__name__, "this")


def expected(filter_name: str, what: str, found: Any) -> TypeError:
    """Return the error of a filter that got something else than it is for."""
    return TypeError(f"the filter {filter_name} expected {what}, found {kind_of(found)}")


def _names(owner: Any) -> list[str]:
    if isinstance(owner, LineView):
        return [field.name for field in fields(owner)]
    return list(map(str, owner)) if isinstance(owner, Mapping) else []


def _instead(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(known)}" if known else ""
