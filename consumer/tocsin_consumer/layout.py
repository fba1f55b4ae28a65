"""Layouts: JSON of any shape whose texts are templates; numbers, true, false and nothing stay what they are."""

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tocsin_consumer.errors import RenderError
from tocsin_consumer.render import Escape, Template
from tocsin_consumer.view import View

#: A value as JSON and YAML have it.
Json = Any
#: Where something stands in a layout: keys and positions from the outside in.
Place = tuple[str | int, ...]
#: The escape for the texts of an object, which may depend on what else the object says.
EscapeIn = Callable[[Mapping[str, Json]], Escape]


def no_escape(_enclosing: Mapping[str, Json]) -> Escape:
    """Leave texts as they are: JSON itself escapes them."""
    return str


class Layout:
    """A compiled layout.

    Args:
        shape: the layout as it was written.
        escape_in: how the values in a text are made harmless, by the object that the text stands in.

    Raises:
        RenderError: a template does not compile.
    """

    def __init__(self, shape: Json, *, escape_in: EscapeIn = no_escape) -> None:
        self._shape = shape
        self._templates = {
            place: Template(text, escape=escape_in(enclosing)) for place, text, enclosing in _texts(shape)
        }

    def render(self, view: View) -> Json:
        """Return the layout with its templates filled in.

        Raises:
            RenderError: naming the place in the layout.
        """
        return self._filled(self._shape, (), view)

    def _filled(self, shape: Json, place: Place, view: View) -> Json:
        if isinstance(shape, dict):
            return {key: self._filled(value, (*place, key), view) for key, value in shape.items()}
        if isinstance(shape, list):
            return [self._filled(value, (*place, index), view) for index, value in enumerate(shape)]
        if isinstance(shape, str):
            return self._text(place, view)
        return shape

    def _text(self, place: Place, view: View) -> str:
        try:
            return self._templates[place].render(view)
        except RenderError as error:
            raise RenderError(f"{_written(place)}{error}") from error


def problems(shape: Json, check: Callable[[str], str | None]) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with a layout and where; `check` tells what is wrong with a text."""
    for place, value, _ in _walk(shape, (), {}):
        problem = check(value) if isinstance(value, str) else _not_json(value)
        if problem is not None:
            yield place, problem


def _not_json(value: object) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "expected a finite number: JSON knows no other"
    if value is None or isinstance(value, bool | int | float):
        return None
    hint = "; put quotes around it" if isinstance(value, dt.date) else ""
    return f"expected what JSON knows, found a {type(value).__name__}{hint}"


def _texts(shape: Json) -> Iterator[tuple[Place, str, Mapping[str, Json]]]:
    for place, value, enclosing in _walk(shape, (), {}):
        if isinstance(value, str):
            yield place, value, enclosing


def _walk(
    shape: Json, place: Place, enclosing: Mapping[str, Json]
) -> Iterator[tuple[Place, Json, Mapping[str, Json]]]:
    if isinstance(shape, dict):
        for key, value in shape.items():
            yield from _walk(value, (*place, key), shape)
    elif isinstance(shape, list):
        for index, value in enumerate(shape):
            yield from _walk(value, (*place, index), enclosing)
    else:
        yield place, shape, enclosing


def _written(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{text.removeprefix('.')}: " if text else ""
