"""A configuration file as it was read: plain values, the line of each, and what is wrong with it.

No message repeats what may be a secret: a password that begins with * or ! is YAML's syntax to the parser.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import yaml

#: The path of a value: keys of mappings and indexes of lists.
Location = tuple[str | int, ...]

_MERGE: Final = "tag:yaml.org,2002:merge"
#: What PyYAML's words for a mistake are to a person; the rest of its words say it well enough.
_SYNTAX: Final = {
    r"found undefined alias.*": "text that begins with * wants quotes",
    r"could not determine a constructor for the tag.*": "text that begins with ! wants quotes",
    r"found character '\\t'.*": "a tab; YAML is indented by spaces",
    r"but found another document": "--- begins a second document",
    r"expected <block end>.*": "the indentation differs from that of the lines above",
    r"mapping values are not allowed here": "text with a colon in it wants quotes, or the indentation is wrong",
}


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


def read(path: Path) -> Document:
    """Parse the YAML file at `path`.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or has a key twice.
    """
    name = str(path)
    try:
        return _parse(name, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(name, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unusable(name, f"is not UTF-8 (byte {error.start})") from error


def _parse(name: str, text: str) -> Document:
    sources: dict[Location, str] = {(): name}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = {} if node is None else _Composer(name, sources).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        source = f"{name}:{mark.line + 1}" if mark else name
        raise _unusable(source, f"is not YAML: {_in_words(error.problem)}") from error
    except yaml.reader.ReaderError as error:
        source = f"{name}:{text.count(chr(10), 0, error.position) + 1}"
        raise _unusable(source, f"is not YAML: control character {error.character!r}") from error
    except RecursionError as error:
        raise _unusable(name, "is nested too deeply, or an alias refers to what contains it") from error
    if not isinstance(values, dict):
        raise _unusable(name, f"expected keys and values, found {found(values)}")
    return Document(name, values, sources)


def found(value: object) -> str:
    """Return how a message names `value`."""
    if isinstance(value, str):  # an address may be a secret, or hold one
        return "an address" if "://" in value else _shortened(repr(value))
    match value:
        case None:
            return "nothing"
        case dict():
            return "keys and values"
        case list():
            return "a list" if value else "an empty list"
        case timedelta():
            return f"{value.total_seconds():g}s"
    return _shortened(str(value).lower() if isinstance(value, bool) else str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _in_words(problem: str | None) -> str:
    for pattern, words in _SYNTAX.items():
        if re.fullmatch(pattern, problem or ""):
            return words
    return problem or "something that it does not allow"


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
        self._flattened: set[int] = set()

    def value(self, node: yaml.Node, location: Location) -> Any:
        self._sources.setdefault(location, f"{self._name}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        self._flatten(node)
        entries = {self._name_of(key): (key, value) for key, value in node.value}  # the last of each counts
        result: dict[str, Any] = {}
        for name, (key, value) in entries.items():
            self._sources[*location, name] = f"{self._name}:{key.start_mark.line + 1}"
            result[name] = self.value(value, (*location, name))
        return result

    def _flatten(self, node: yaml.MappingNode) -> None:
        """Put what is merged into `node` in front of what is written there, once: an alias comes back here.

        A merged key may be overridden; a written one may not.
        """
        if id(node) in self._flattened:
            return
        self._flattened.add(id(node))
        for key in self._repeated(node):
            raise yaml.constructor.ConstructorError(
                problem=f"the key {self._name_of(key)} stands here for the second time",
                problem_mark=key.start_mark,
            )
        self._constructor.flatten_mapping(node)

    def _repeated(self, node: yaml.MappingNode) -> Iterator[yaml.Node]:
        names: set[str] = set()
        for key, _ in node.value:
            if key.tag != _MERGE and self._name_of(key) in names:
                yield key
            names.add(self._name_of(key))

    def _name_of(self, key: yaml.Node) -> str:
        """Return a key as it is written: the key `on` is not the boolean that YAML 1.1 takes it for."""
        if isinstance(key, yaml.ScalarNode):
            return str(key.value)
        raise yaml.constructor.ConstructorError(problem="a key that is not text", problem_mark=key.start_mark)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._constructor.construct_object(node)
        except (ValueError, KeyError, AttributeError) as error:  # 2026-02-30, 0x_, !!bool perhaps
            raise yaml.constructor.ConstructorError(
                problem="looks like a number or a date but is none; put it in quotes",
                problem_mark=node.start_mark,
            ) from error
