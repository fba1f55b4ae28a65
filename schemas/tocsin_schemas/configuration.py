"""The dialect of tocsin's configuration files: YAML whose errors name the line, with the environment over it.

A file is read into a tree of plain values together with the line of every key, `TOCSIN_…` variables are laid
over its scalars, and a pydantic model checks the whole. Everything that is wrong is reported at once.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from tocsin_schemas.matching import Pattern, compile_pattern

ENVIRONMENT_PREFIX: Final = "TOCSIN"

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_DURATION: Final = re.compile(r"(?=\S)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_SIZE: Final = re.compile(r"(\d+)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_UNITS: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
#: What stands under these keys is never repeated in a message.
_SECRET_KEYS: Final = frozenset({"password", "secret", "url", "token", "headers"})


class Settings(BaseModel):
    """A section of a configuration file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `source` is a file with its line or a variable, `key` a path such as a.b[0]."""

    source: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.message}" if self.key else f"{self.source}: {self.message}"


class ConfigurationError(Exception):
    """A configuration that cannot be used, with all its problems."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration file as it was read: its values, and where each of them stands."""

    name: str
    values: Any
    sources: Mapping[Location, str]

    def source(self, location: Location) -> str:
        """Return where `location` is written, or else what is closest around it."""
        for length in range(len(location), -1, -1):
            if location[:length] in self.sources:
                return self.sources[location[:length]]
        return self.name

    def problem(self, location: Location, message: str) -> Problem:
        """Return a problem with what stands at `location`."""
        return Problem(self.source(location), _key(location), message)


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
    try:
        return model.model_validate(document.values), document
    except ValidationError as error:
        raise ConfigurationError(explain(error, model, document, planned or {})) from error


def read(path: Path) -> Document:
    """Parse the YAML file at `path`.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or has a key twice.
    """
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        sources: dict[Location, str] = {(): name}
        values = {} if node is None else _Composer(name, sources).value(node, ())
    except OSError as error:
        raise _unusable(name, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unusable(name, f"is not UTF-8 (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        source = f"{name}:{mark.line + 1}" if mark else name
        raise _unusable(source, f"is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise _unusable(name, f"is not YAML: {error}") from error
    except RecursionError as error:
        raise _unusable(name, "an alias refers to what contains it") from error
    if not isinstance(values, dict):
        raise _unusable(name, f"expected keys and values, found {_found(values)}")
    return Document(name, values, sources)


def overlay(document: Document, model: type[BaseModel], environment: Mapping[str, str]) -> Document:
    """Return `document` with the variables that `model` has scalars for in the place of its own values.

    A variable for `x` also replaces `x_file`, and the other way round.
    """
    values, sources = document.values, dict(document.sources)
    for location in _scalars(model):
        variable = "_".join((ENVIRONMENT_PREFIX, *location)).upper()
        if variable in environment:
            values = _with(values, location, environment[variable])
            sources[location] = f"environment variable {variable}"
    return Document(document.name, values, sources)


def explain(
    error: ValidationError,
    model: type[BaseModel],
    document: Document,
    planned: Mapping[str, str],
) -> list[Problem]:
    """Return what pydantic found wrong in the words of the person who wrote the file, in the file's order."""
    problems = []
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if not _is_machinery(part))
        problems.append(document.problem(location, _message(detail, location, model, planned)))
    return sorted(set(problems), key=lambda problem: (_line(problem.source), problem.key))


def _message(
    detail: ErrorDetails,
    location: Location,
    model: type[BaseModel],
    planned: Mapping[str, str],
) -> str:
    if detail["type"] == "missing":
        return "is required but missing"
    if detail["type"] == "extra_forbidden":
        key = str(location[-1])
        return planned.get(key) or _unknown(key, sorted(_keys(model, location[:-1])))
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if detail["type"] == "value_error" or _SECRET_KEYS & set(map(str, location)):
        return message
    return f"{message}, found {_found(detail['input'])}"


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def _found(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "keys and values"
        case list():
            return "a list"
        case timedelta():
            return f"{value.total_seconds():g}s"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _line(source: str) -> tuple[str, int]:
    name, _, line = source.rpartition(":")
    return (name, int(line)) if line.isdigit() else (source, 0)


def _key(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _unusable(source: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem(source, "", message)])


class _Composer:
    """Turns YAML nodes into plain values and notes the line of each."""

    def __init__(self, name: str, sources: dict[Location, str]) -> None:
        self._name = name
        self._sources = sources
        self._constructor = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, location: Location) -> Any:
        self._sources.setdefault(location, f"{self._name}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._constructor.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        merges = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
        self._constructor.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(self._constructor.construct_object(key_node, deep=True))
            if key in result and not merges:  # a merged key may be overridden; a written one may not
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key} stands here for the second time",
                    problem_mark=key_node.start_mark,
                )
            self._sources[*location, key] = f"{self._name}:{key_node.start_mark.line + 1}"
            result[key] = self.value(value_node, (*location, key))
        return result


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
            field = model.model_fields.get(part)
            section = _section(field.annotation) if field else None
            if section is None:
                return set()
            model = section
    return {field.alias or name for name, field in model.model_fields.items()}


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


def _is_machinery(part: str | int) -> bool:
    """Whether pydantic put `part` into a location to tell alternatives of a type apart."""
    return (isinstance(part, str) and re.fullmatch(r"[\w-]+", part) is None) or part in {"str", "list[str]"}


def _with(values: Any, location: tuple[str, ...], value: str) -> Any:
    """Return a copy of `values` with `value` at `location`, and without the key that says the same."""
    key, *rest = location
    copy = dict(values) if isinstance(values, dict) else {}
    if rest:
        copy[key] = _with(copy.get(key), tuple(rest), value)
    else:
        copy.pop(key.removesuffix("_file") if key.endswith("_file") else f"{key}_file", None)
        copy[key] = value
    return copy


def _parse_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a duration such as 30s, 5m, 4h or 7d, found {_found(value)}")
    days, hours, minutes, seconds = match.groups(default="0")
    return timedelta(days=int(days), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def _parse_size(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a size such as 512KiB or 10MB, found {_found(value)}")
    return int(match[1]) * _UNITS[match[2] or "B"]


def _check_pattern(pattern: Pattern) -> Pattern:
    try:
        compile_pattern(pattern)
    except re.error as error:
        hint = "; for any text write .*" if isinstance(pattern, str) and pattern.startswith("*") else ""
        raise ValueError(f"expected a regular expression, found {pattern!r}: {error}{hint}") from error
    return pattern


def _check_readable(path: Path) -> Path:
    """Read the file once, so that a wrong path or mode is found now and not at the first alert."""
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return path


#: A length of time, written like 30s, 5m, 1h30m or 7d.
Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
#: A number of bytes, written like 64KiB or 10MB.
Size = Annotated[int, BeforeValidator(_parse_size)]
#: A regular expression that compiles and must match the whole text, or a list of exact values.
PatternField = Annotated[Pattern, AfterValidator(_check_pattern)]
#: A file that exists and can be read.
ReadableFile = Annotated[Path, AfterValidator(_check_readable)]


def read_secret(value: SecretStr | None, file: Path | None) -> str | None:
    """Return a secret from where it is kept; the last line break of a file does not belong to it."""
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    return value.get_secret_value() if value is not None else None
