"""The vocabulary in which feishu_card says what a card may look like: places, values, shapes.

Every check takes a value and its place, and refuses by raising. The wording of errors is the service's own
where users have reported it: `unknown property, property: type, path: ROOT -> body -> elements -> [0](tag: hr)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check: TypeAlias = Callable[[Any, "Where"], None]

PARSE_ERROR = 200621  # "parse card json err", and every unknown property

CONTAINERS = frozenset({"column_set", "collapsible_panel", "interactive_container"})


class CardError(Exception):
    """The card is refused; `code` is the inner ErrCode, `path` the place in the card."""

    def __init__(self, code: int, problem: str, where: Where, *, value: str = "") -> None:
        self.code = code
        self.path = where.path
        said_value = f" ErrorValue: {value};" if value else ""
        super().__init__(f"ErrCode: {code}; ErrMsg: {problem}, path: {where.path};{said_value} ")


@dataclass(frozen=True)
class Where:
    """A place in the card, written as the service writes it, and how many containers surround it."""

    path: str = "ROOT"
    containers: int = 0

    def into(self, step: str, value: object) -> Where:
        """Go one property or list item deeper."""
        tag = value.get("tag") if isinstance(value, dict) else None
        if not isinstance(tag, str):
            return Where(f"{self.path} -> {step}", self.containers)
        return Where(f"{self.path} -> {step}(tag: {tag})", self.containers + (tag in CONTAINERS))

    def wrong(self, problem: str) -> NoReturn:
        """Refuse what stands here."""
        raise CardError(PARSE_ERROR, problem, self)


def anything(_value: object, _where: Where) -> None:
    """Whatever it is, the card pages do not say."""


def string(value: object, where: Where) -> None:
    """Any text."""
    if not isinstance(value, str):
        where.wrong(f"expected a string, found {type(value).__name__}")


def boolean(value: object, where: Where) -> None:
    """True or false."""
    if not isinstance(value, bool):
        where.wrong(f"expected a boolean, found {type(value).__name__}")


def obj(value: object, where: Where) -> None:
    """Any object."""
    if not isinstance(value, dict):
        where.wrong(f"expected an object, found {type(value).__name__}")


def literal(*allowed: object) -> Check:
    """One of these values, and of their type."""

    def check(value: object, where: Where) -> None:
        if not any(value == one and type(value) is type(one) for one in allowed):
            where.wrong(f"invalid value: {value!r}, expected one of {sorted(map(str, allowed))}")

    return check


def pattern(expression: str) -> Check:
    """A string that matches as a whole."""
    compiled = re.compile(expression)

    def check(value: object, where: Where) -> None:
        string(value, where)
        if not compiled.fullmatch(str(value)):
            where.wrong(f"invalid value: {value!r}")

    return check


def integer(low: int, high: int) -> Check:
    """A whole number within bounds."""

    def check(value: object, where: Where) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            where.wrong(f"expected an integer in [{low},{high}], found {value!r}")

    return check


def list_of(check_item: Check) -> Check:
    """A list of values of one kind."""

    def check(value: object, where: Where) -> None:
        if not isinstance(value, list):
            where.wrong(f"expected a list, found {type(value).__name__}")
        for index, item in enumerate(value):
            check_item(item, where.into(f"[{index}]", item))

    return check


def map_of(check_value: Check) -> Check:
    """An object with keys of the author's choice."""

    def check(value: Any, where: Where) -> None:
        obj(value, where)
        for name, item in value.items():
            check_value(item, where.into(name, item))

    return check


@dataclass(frozen=True)
class Shape:
    """An object with documented properties only; the first unknown one is reported as the service does."""

    properties: Mapping[str, Check]
    required: frozenset[str] = field(default_factory=frozenset)

    def __call__(self, value: Any, where: Where) -> None:
        """Check every property of an object."""
        obj(value, where)
        for name in value:
            if name not in self.properties:
                where.wrong(f"unknown property, property: {name}")
        for name in sorted(self.required - value.keys()):
            where.wrong(f"missing property, property: {name}")
        for name, child in value.items():
            self.properties[name](child, where.into(name, child))


def shape(properties: Mapping[str, Check], *required: str) -> Shape:
    """Return a shape of these properties, of which some are required."""
    return Shape(properties, frozenset(required))
