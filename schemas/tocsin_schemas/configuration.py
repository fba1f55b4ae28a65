"""The dialect of tocsin's configuration files: YAML whose errors name the line, with the environment over it.

A file is read into a tree of plain values together with the line of every key (`document`), `TOCSIN_…`
variables are laid over its scalars, and a pydantic model checks the whole. Everything that is wrong is reported
at once.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from tocsin_schemas.document import ConfigurationError, Document, Location, Problem, found, read
from tocsin_schemas.fields import (
    CaFile,
    ClusterField,
    Duration,
    Listen,
    Number,
    PatternField,
    ReadableFile,
    SecretFile,
    Size,
    StateFile,
    TopicRoot,
    duration_text,
)

__all__ = [
    "CaFile",
    "ClusterField",
    "ConfigurationError",
    "Document",
    "Duration",
    "Listen",
    "Location",
    "Number",
    "PatternField",
    "Problem",
    "ReadableFile",
    "SecretFile",
    "Settings",
    "Size",
    "StateFile",
    "TopicRoot",
    "check",
    "explain",
    "lay_over",
    "load",
    "overlay",
    "read",
]

ENVIRONMENT_PREFIX: Final = "TOCSIN"

Model = TypeVar("Model", bound=BaseModel)

#: What stands under these keys is never repeated in a message.
_SECRET_KEYS: Final = frozenset({"password", "secret", "url", "token", "headers"})

#: Pydantic's errors in our words; where a text was found instead of something larger, it is not repeated.
_WRONG_KIND: Final = {
    "model_type": "keys and values",
    "dict_type": "keys and values",
    "list_type": "a list",
    "string_type": "text",
    "path_type": "the path of a file",
}
_WRONG_VALUE: Final = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "at least {min_length} character(s)",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "literal_error": "{expected}",
}


class Settings(BaseModel):
    """A section of a configuration file: frozen, and an unknown key is an error.

    What pydantic finds wrong never shows what was written: it may be a secret, and a traceback shows causes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def load(
    model: type[Model],
    path: Path,
    *,
    environment: Mapping[str, str] = os.environ,
    planned: Mapping[str, str] | None = None,
) -> tuple[Model, Document]:
    """Read `path`, lay `environment` over it and check it against `model`.

    Args:
        model: the settings expected.
        path: a YAML file.
        environment: variables; `TOCSIN_BROKER_URL` is the key `broker.url`.
        planned: keys that a later version will know, with what to say about them.

    Raises:
        ConfigurationError: with every problem found.
    """
    document = overlay(read(path), model, environment)
    return check(model, document, planned), document


def check(model: type[Model], document: Document, planned: Mapping[str, str] | None = None) -> Model:
    """Check `document` against `model`; `planned` as for `load`.

    Raises:
        ConfigurationError: with every problem found.
    """
    try:
        return model.model_validate(document.values)
    except ValidationError as error:
        raise ConfigurationError(explain(error, model, document, planned or {})) from error


def overlay(document: Document, model: type[BaseModel], environment: Mapping[str, str]) -> Document:
    """Return `document` with the variables that `model` has scalars for in the place of its own values."""
    variables = {location: "_".join((ENVIRONMENT_PREFIX, *location)).upper() for location in _scalars(model)}
    given = {location: name for location, name in variables.items() if name in environment}
    return lay_over(
        document,
        {location: (environment[name], f"environment variable {name}") for location, name in given.items()},
    )


def lay_over(document: Document, given: Mapping[tuple[str, ...], tuple[str, str]]) -> Document:
    """Return `document` with what is `given` in the place of its own values: each is a value and where it stands.

    A value for `x` also replaces the document's `x_file`, and the other way round.
    """
    values, sources = document.values, dict(document.sources)
    for location in given:
        values = _without(values, _partner(location))
    for location, (value, source) in given.items():
        values = _with(values, location, value)
        sources[location] = source
    return Document(document.name, values, sources)


def explain(
    error: ValidationError,
    model: type[BaseModel],
    document: Document,
    planned: Mapping[str, str],
) -> list[Problem]:
    """Return what pydantic found wrong in the words of the person who wrote the file, in the file's order."""
    problems = set()
    for detail in error.errors(include_url=False):
        location = _location(detail["loc"], document)
        problems.add(document.problem(location, _message(detail, location, model, planned)))
    return sorted(problems, key=lambda problem: (*_line(problem.source), problem.key, problem.message))


def _location(parts: Location, document: Document) -> Location:
    """Return `parts` without what pydantic put in to tell the alternatives of a type apart."""
    location: Location = ()
    for part in parts:
        machinery = isinstance(part, str) and (part == "str" or re.fullmatch(r"[\w-]+", part) is None)
        if (*location, part) in document.sources or not machinery:
            location = (*location, part)
    return location


def _message(
    detail: ErrorDetails,
    location: Location,
    model: type[BaseModel],
    planned: Mapping[str, str],
) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return "is required but missing"
    if kind == "extra_forbidden":
        key = str(location[-1])
        return planned.get(key) or _unknown(key, sorted(_keys(model, location[:-1])))
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    secret = bool(_SECRET_KEYS & set(map(str, location)))
    if kind in _WRONG_KIND:
        return _wrong_kind(kind, value, secret=secret)
    bounds = {name: _as_written(bound) for name, bound in detail.get("ctx", {}).items()}
    expected = _WRONG_VALUE.get(kind, "{}").format(detail["msg"], **bounds)
    return f"expected {expected}" if secret else f"expected {expected}, found {found(value)}"


def _as_written(bound: object) -> object:
    """Return a bound as it is written in a file; pydantic tells that of a duration as Python has it."""
    said = re.fullmatch(r"datetime\.timedelta\((?:days=(\d+))?(?:, )?(?:seconds=(\d+))?\)", str(bound))
    if said is None:
        return bound
    return duration_text(timedelta(days=int(said[1] or 0), seconds=int(said[2] or 0)))


def _wrong_kind(kind: str, value: object, *, secret: bool) -> str:
    """Say that one kind of thing stands where another belongs; a text may be a secret in the wrong place."""
    scalar = value is not None and not isinstance(value, str | list | dict)
    hint = "; put it in quotes" if kind == "string_type" and scalar else ""
    what = "text" if isinstance(value, str) else "something else" if secret and scalar else found(value)
    return f"expected {_WRONG_KIND[kind]}, found {what}{hint}"


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def _line(source: str) -> tuple[bool, str, int]:
    """Return what sorts the lines of a file in their order, and variables behind them."""
    name, _, line = source.rpartition(":")
    variable = source.startswith("environment variable ")
    return (variable, name, int(line)) if line.isdigit() else (variable, source, 0)


def _scalars(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key of `model` that holds one value, not a list or a mapping."""
    for name, field in model.model_fields.items():
        key = (*prefix, field.alias or name)
        section = _section(field.annotation)
        if _is_collection(field.annotation):
            continue
        if section is not None:
            yield from _scalars(section, key)
        else:
            yield key


def _keys(model: type[BaseModel], location: Location) -> set[str]:
    """Return the keys that `model` knows at `location`."""
    for part in location:
        if isinstance(part, str):
            field = _field(model, part)
            section = _section(field) if field else None
            if section is None:
                return set()
            model = section
    return {field.alias or name for name, field in model.model_fields.items()}


def _field(model: type[BaseModel], key: str) -> Any:
    """Return the annotation of the field that is written as `key`, or None."""
    for name, field in model.model_fields.items():
        if (field.alias or name) == key:
            return field.annotation
    return None


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types that `annotation` allows, without what is wrapped around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _alternatives(argument)
    else:
        yield annotation


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the model that `annotation` holds, itself or in a list."""
    for alternative in _alternatives(annotation):
        if isinstance(alternative, type) and issubclass(alternative, BaseModel):
            return alternative
        if get_origin(alternative) is list:
            return _section(get_args(alternative)[0])
    return None


def _is_collection(annotation: Any) -> bool:
    return any(
        (get_origin(alternative) or alternative) in (list, dict, tuple, set)
        for alternative in _alternatives(annotation)
    )


def _partner(location: tuple[str, ...]) -> tuple[str, ...]:
    """Return where the same may be said in the other way: `x_file` for `x`, and `x` for `x_file`."""
    *place, key = location
    return (*place, key.removesuffix("_file") if key.endswith("_file") else f"{key}_file")


def _with(values: Any, location: tuple[str, ...], value: str) -> Any:
    """Return a copy of `values` with `value` at `location`."""
    key, *rest = location
    copy = dict(values) if isinstance(values, dict) else {}
    copy[key] = _with(copy.get(key), tuple(rest), value) if rest else value
    return copy


def _without(values: Any, location: tuple[str, ...]) -> Any:
    """Return a copy of `values` with nothing at `location`."""
    key, *rest = location
    if not isinstance(values, dict) or key not in values:
        return values
    copy = dict(values)
    if rest:
        copy[key] = _without(copy[key], tuple(rest))
    else:
        del copy[key]
    return copy
