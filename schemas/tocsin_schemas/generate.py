"""Writes the documents of the wire from its models: JSON Schemas and AsyncAPI.

`python -m tocsin_schemas.generate` writes `event.v1.schema.json`, `status.v1.schema.json` and `asyncapi.yaml`
beside the package; with `--check` it writes nothing and exits with 1 if one of them is not current.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from tocsin_schemas import topics
from tocsin_schemas.asyncapi import asyncapi
from tocsin_schemas.event import EventPayload, Payload
from tocsin_schemas.status import StatusPayload

#: Where the documents are: the folder `schemas` of the repository.
FOLDER: Final = Path(__file__).parents[1]
_MODELS: Final[dict[str, type[Payload]]] = {"event": EventPayload, "status": StatusPayload}


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the payload `name`, which is `event` or `status`."""
    schema = _MODELS[name].model_json_schema(by_alias=True, mode="validation")
    properties = {key: _property(value) for key, value in schema["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tocsin:{topics.DEFAULT_ROOT.replace('/', ':')}:{name}",
        "title": f"tocsin {name}, version 1",
        "description": schema["description"],
        "type": "object",
        "required": schema["required"],
        "properties": properties,
        "additionalProperties": True,
    }


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what pydantic says of a field, without its title and without null: what is not there is absent."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "anyOf")}
    if kept.get("default", "") is None:
        del kept["default"]
    for alternative in schema.get("anyOf", []):
        if alternative != {"type": "null"}:
            kept |= alternative
    description = kept.pop("description", None)
    return kept if description is None else {"description": description, **kept}


def documents() -> dict[str, str]:
    """Return the text of every document by the name of its file."""
    schemas = {name: json_schema(name) for name in _MODELS}
    texts = {f"{name}.v1.schema.json": _json(schema) for name, schema in schemas.items()}
    header = "# Written by python -m tocsin_schemas.generate; change the models instead.\n"
    return texts | {"asyncapi.yaml": header + _yaml(asyncapi(schemas))}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


class _Dumper(yaml.SafeDumper):
    """Writes a value that stands in two places twice: an anchor is harder to read than the value."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write the documents into `folder`, or tell which of them are not current, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tocsin_schemas.generate", description="Write the wire's documents."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if one is not current")
    check: bool = parser.parse_args(arguments).check
    outdated = [name for name, text in documents().items() if _current(folder / name) != text]
    for name in outdated:
        sys.stdout.write(f"{name} is not current\n" if check else f"wrote {name}\n")
        if not check:
            (folder / name).write_text(documents()[name], encoding="utf-8")
    return 1 if check and outdated else 0


def _current(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
