"""What is wrong between the parts of a configuration, each of which may be right by itself. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tocsin_schemas.configuration import Location

#: Where something is wrong, and what.
Problem = tuple[Location, str]


def problems_across(values: Any) -> Iterator[Problem]:
    """Yield what is wrong between receivers and routes, as far as the values, which are unchecked, have any."""
    if not isinstance(values, dict):
        return
    names = [_entry(receiver, "name") for receiver in _list(values.get("receivers"))]
    are_names = bool(names) and all(isinstance(name, str) for name in names)
    for index, text in repeated(names) if are_names else ():
        yield ("receivers", index, "name"), text
    route = values.get("route")
    if isinstance(route, dict):
        yield from _top_problems(route)
        yield from _receiver_problems(route, set(names) if are_names else None, ("route",))


def _top_problems(route: dict[str, Any]) -> Iterator[Problem]:
    """The top of the tree takes every event: what would restrict it belongs further down."""
    if route.get("receivers") is None:
        yield (
            ("route", "receivers"),
            "is required at the top of the tree; an empty list drops what no route takes",
        )
    if route.get("match") is not None:
        yield ("route", "match"), "the top of the tree takes every event; move it into routes"
    if route.get("continue", False) is not False:
        yield ("route", "continue"), "the top of the tree has no route behind it; remove the key"


def _receiver_problems(route: Any, known: set[str] | None, place: Location) -> Iterator[Problem]:
    names = _list(_entry(route, "receivers"))
    for index, text in repeated(names):
        yield (*place, "receivers", index), text
    for index, name in enumerate(names):
        if known is not None and isinstance(name, str) and name not in known:
            yield (
                (*place, "receivers", index),
                f"no receiver is called {name!r}; there are {', '.join(sorted(known))}",
            )
    for index, child in enumerate(_list(_entry(route, "routes"))):
        yield from _receiver_problems(child, known, (*place, "routes", index))


def _entry(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def together(error: ValidationError, more: Iterable[Problem]) -> ValidationError:
    """Return `error` with further problems."""
    known = [
        InitErrorDetails(
            type=PydanticCustomError(detail["type"], "{text}", {**detail.get("ctx", {}), "text": detail["msg"]}),
            loc=detail["loc"],
            input=detail["input"],
        )
        for detail in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data("settings", known + _details(more))


def repeated(names: Sequence[str | None]) -> Iterator[tuple[int, str]]:
    """Yield the places of names that stand there before already, and what is wrong with that."""
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            yield index, f"{name!r} stands here for the second time"


def raise_any(problems: Iterable[Problem]) -> None:
    """Raise a ValidationError if there are any problems."""
    found = list(problems)
    if found:
        raise located(found)


def located(problems: list[Problem]) -> ValidationError:
    """Return an error whose places pydantic puts below the field that is being checked."""
    return ValidationError.from_exception_data("settings", _details(problems))


def _details(problems: Iterable[Problem]) -> list[InitErrorDetails]:
    return [
        InitErrorDetails(
            type=PydanticCustomError("value_error", "{text}", {"text": text}), loc=location, input=None
        )
        for location, text in problems
    ]
