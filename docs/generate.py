"""Writes the reference of both configuration files from the models that check them.

`python -m docs.generate` writes `configuration.md` beside this file; with `--check` it writes nothing and exits
with 1 if that is not current.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tocsin_consumer import receiver_fields, silence_settings
from tocsin_consumer.settings import ConsumerSettings
from tocsin_producer.settings import ProducerSettings
from tocsin_schemas import fields
from tocsin_schemas.configuration import ENVIRONMENT_PREFIX, Document, overlay
from tocsin_schemas.fields import duration_text

FILE: Final = Path(__file__).with_name("configuration.md")

_FIRST: Final = """\
<!-- Written by `make reference` from the models in the code; change those instead. -->
# Configuration

Each side reads one YAML file: `/etc/tocsin/producer.yaml` and `/etc/tocsin/consumer.yaml`, unless `--config` or
`TOCSIN_CONFIG` names another. Whole examples: [producer.yaml](../deploy/examples/producer.yaml),
[consumer.yaml](../deploy/examples/consumer.yaml).

- **The environment goes over the file.** Every single value has a variable: `TOCSIN_BROKER_URL` is
  `broker.url`. Lists and what is within them have none.
- **Secrets belong in files.** Where there is a key such as `password`, there is `password_file` as well; give
  one of the two. The broker's password is read anew for each connection, so it can be rotated without a restart.
- **A mistake is told with its line.** All that is wrong is told at once, with file, line, key and what was
  expected, by `check`, and by `run` before anything is connected (exit code 2). So is a key that nobody knows.

| kind of value | how it is written |
|---|---|
| duration | `30s`, `5m`, `1h30m`, `7d` |
| size | bytes: `65536`, `64KiB`, `10MB` |
| time of day | `"07:30"`, in quotes; `"24:00"` is the end of the day |
| days of the week | `mon-fri`, `[mon, thu]`, `[fri-mon, wed]` |
| pattern | a regular expression for the whole value (`Back.*`), or a list of exact values (`[BackOff, Failed]`) |
| template | [Jinja](templates.md) |
"""
_SIDES: Final[dict[str, type[BaseModel]]] = {"producer.yaml": ProducerSettings, "consumer.yaml": ConsumerSettings}

_SIZE: Final = "size"
#: What a kind of value is called; one that refines another stands before it.
_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (fields.Duration, "duration"),
    (fields.Size, _SIZE),
    (fields.Number, "number"),
    (fields.PatternField, "pattern"),
    (receiver_fields.WebUrlFile, "file with a url"),
    (receiver_fields.BotUrlFile, "file with a url"),
    (fields.SecretFile, "file with a secret"),
    (fields.CaFile, "PEM file"),
    (fields.ReadableFile, "file"),
    (fields.StateFile, "path"),
    (fields.TopicRoot, "topic levels"),
    (fields.ClusterField, "name of a cluster"),
    (fields.Listen, "host:port"),
    (receiver_fields.Timeout, "duration"),
    (receiver_fields.TimeZone, "IANA time zone"),
    (receiver_fields.TemplateText, "template"),
    (silence_settings.Days, "days of the week"),
    (silence_settings.TimeOfDay, "time of day"),
    (receiver_fields.LayoutField, "any shape; its texts are templates"),
    (receiver_fields.WebUrl, "url (a secret)"),
    (receiver_fields.BotUrl, "url (a secret)"),
)
#: A default that is longer than this is not told in a table; the example of the producer shows those.
_LONGEST: Final = 60
_EXAMPLE: Final = "../deploy/examples/producer.yaml"
#: What is left is called after its type.
_TYPES: Final[dict[Any, str]] = {
    SecretStr: "text (a secret)",
    Path: "file",
    ZoneInfo: "IANA time zone",
    timedelta: "duration",
    bool: "true or false",
    int: "number",
    str: "text",
}
_BOUNDS: Final = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}


@dataclass(frozen=True)
class Section:
    """A part of a file: which file it is first found in, its path there, and the model of its keys."""

    file: str
    path: str
    model: type[BaseModel]

    @property
    def heading(self) -> str:
        """What stands above it."""
        return f"`{self.path}` of {self.file}"

    @property
    def anchor(self) -> str:
        """What GitHub makes of the heading."""
        return "".join(
            letter for letter in self.heading.lower().replace(" ", "-") if letter.isalnum() or letter in "_-"
        )


Sections = dict[type[BaseModel], Section]


def reference() -> str:
    """Return the whole document."""
    sections: Sections = {}
    return "\n".join([_FIRST, *(_side(file, model, sections) for file, model in _SIDES.items())])


def _side(file: str, root: type[BaseModel], sections: Sections) -> str:
    """Return the part about one file; what the file before it has as well is not told again."""
    before = set(sections)
    _find(Section(file, "", root), sections)
    texts = [_section(section, root, sections) for model, section in sections.items() if model not in before]
    return f"## {file}\n\n" + "\n".join(texts)


def _find(section: Section, sections: Sections) -> None:
    """Note a section and what is within it, each model once."""
    sections[section.model] = section
    for key, _, hint in keys(section.model):
        inner, is_list = _inner(hint)
        if inner is not None and inner not in sections:
            path = f"{section.path}.{key}".removeprefix(".") + ("[]" if is_list else "")
            _find(Section(section.file, path, inner), sections)


def _section(section: Section, root: type[BaseModel], sections: Sections) -> str:
    heading = f"### {section.heading}\n\n{_intro(section.model)}\n\n" if section.path else ""
    rows = [
        "| " + " | ".join(_row(section.path, key, field, hint, root=root, sections=sections)) + " |"
        for key, field, hint in keys(section.model)
    ]
    return heading + "| key | kind | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _intro(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def keys(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Yield every key of a model as it is written, with what is known of it and its type."""
    hints = get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        yield field.alias or name, field, hints[name]


def _row(
    path: str, key: str, field: FieldInfo, hint: Any, *, root: type[BaseModel], sections: Sections
) -> tuple[str, str, str, str]:
    place = f"{path}.{key}".removeprefix(".")
    inner, is_list = _inner(hint)
    what = _kind(hint) + _range(field, hint) if inner is None else _pointer(sections[inner], is_list=is_list)
    variable = _variable(place, root)
    meaning = (field.description or (_intro(inner) if inner else "")) + (f"<br>`{variable}`" if variable else "")
    return f"`{key}`", what, _default(field, hint), meaning.replace("|", "\\|")


def _pointer(section: Section, *, is_list: bool) -> str:
    return f"{'list of ' if is_list else ''}[`{section.path}`](#{section.anchor})"


def _variable(place: str, root: type[BaseModel]) -> str | None:
    """Return the environment variable of a key, if the code takes one for it."""
    name = f"{ENVIRONMENT_PREFIX}_{place.replace('.', '_')}".upper()
    return name if overlay(Document("", {}, {}), root, {name: "x"}).values else None


def _inner(hint: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the model that a type holds, and whether in a list."""
    for alternative in _alternatives(hint):
        if isinstance(alternative, type) and issubclass(alternative, BaseModel):
            return alternative, False
        if get_origin(alternative) is list:
            return _inner(get_args(alternative)[0])[0], True
    return None, False


def _alternatives(hint: Any) -> Iterator[Any]:
    """Yield what a type allows, without what is wrapped around it, and without None."""
    if get_origin(hint) is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for argument in get_args(hint):
            yield from _alternatives(argument)
    elif hint is not type(None):
        yield hint


def _kind(hint: Any) -> str:
    """Return what a value is called."""
    known = next((name for kind, name in _KINDS if _is(hint, kind)), None)
    return known or _composed(get_origin(hint), get_args(hint)) or _TYPES.get(hint, "any")


def _composed(origin: Any, arguments: tuple[Any, ...]) -> str | None:
    """Return what a value is called that consists of others."""
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(one) for one in arguments if one is not type(None)))
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin is list:
        return f"list of: {_kind(arguments[0])}"
    if origin is dict:
        return "names and values"
    return _kind(arguments[0]) if origin is Annotated else None


def _is(hint: Any, kind: Any) -> bool:
    """Whether a type is a kind of value, perhaps with more checks than that has."""
    if hint == kind:
        return True
    if get_origin(hint) is not Annotated or get_origin(kind) is not Annotated:
        return False
    return bool(
        hint.__origin__ == kind.__origin__ and hint.__metadata__[: len(kind.__metadata__)] == kind.__metadata__
    )


def _range(field: FieldInfo, hint: Any) -> str:
    bounds = [
        f"{word} `{_value(getattr(one, name), is_size=_kind(hint) == _SIZE)}`"
        for name, word in _BOUNDS.items()
        for one in field.metadata
        if getattr(one, name, None) is not None
    ]
    return f", {' '.join(bounds)}" if bounds else ""


def _default(field: FieldInfo, hint: Any) -> str:
    if field.is_required():
        return "**required**"
    default = field.default
    if default is None or default is PydanticUndefined or isinstance(default, BaseModel):
        return ""
    text = _value(default, is_size=_kind(hint) == _SIZE)
    return f"`{text}`".replace("|", "\\|") if len(text) <= _LONGEST else f"as in the [example]({_EXAMPLE})"


def _value(value: Any, *, is_size: bool = False) -> str:
    """Return a value as it is written in a file."""
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            return duration_text(value)
        case int() if is_size:
            return f"{value // 1024**2}MiB" if value % 1024**2 == 0 else f"{value // 1024}KiB"
        case list():
            return "[" + ", ".join(_value(one) for one in value) + "]"
        case BaseModel():
            return _flow(value.model_dump(exclude_defaults=True))
    return str(value)


def _flow(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).strip()


def main(arguments: list[str], file: Path = FILE) -> int:
    """Write the reference into `file`, or tell whether it is current, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description="Write the reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if it is not current")
    check: bool = parser.parse_args(arguments).check
    if file.exists() and file.read_text(encoding="utf-8") == reference():
        return 0
    sys.stdout.write(f"{file.name} is not current\n" if check else f"wrote {file.name}\n")
    if not check:
        file.write_text(reference(), encoding="utf-8")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
