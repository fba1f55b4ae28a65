import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from jsonschema import Draft202012Validator

from tocsin_schemas.event import EventPayload, Payload
from tocsin_schemas.generate import FOLDER, documents, json_schema, main
from tocsin_schemas.status import StatusPayload

ASYNCAPI: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))


def test_the_documents_are_current() -> None:
    assert main(["--check"]) == 0


def test_a_check_tells_what_is_not_current_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "asyncapi.yaml").write_text("old", encoding="utf-8")
    assert main(["--check"], tmp_path) == 1
    told = capsys.readouterr().out.splitlines()
    assert sorted(told) == sorted(f"{name} is not current" for name in documents())
    assert (tmp_path / "asyncapi.yaml").read_text(encoding="utf-8") == "old"


def test_without_check_the_documents_are_written(tmp_path: Path) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    assert {file.name for file in tmp_path.iterdir()} == set(documents())


@pytest.mark.parametrize(("name", "model"), [("event", EventPayload), ("status", StatusPayload)])
def test_a_json_schema_tells_every_field_as_it_is_on_the_wire(name: str, model: type[Payload]) -> None:
    schema = json_schema(name)
    Draft202012Validator.check_schema(schema)
    fields = model.model_fields.items()
    assert set(schema["properties"]) == {field.alias or key for key, field in fields}
    assert set(schema["required"]) == {field.alias or key for key, field in fields if field.is_required()}
    assert schema["additionalProperties"] is True


@pytest.mark.parametrize("name", ["event", "status"])
def test_a_field_is_absent_and_never_null(name: str) -> None:
    assert "null" not in json.dumps(json_schema(name))


@pytest.mark.parametrize("name", ["event", "status"])
def test_every_field_is_described(name: str) -> None:
    bare = {key for key, value in json_schema(name)["properties"].items() if "description" not in value}
    assert bare == set()


def test_a_json_schema_refuses_what_the_model_refuses() -> None:
    golden = json.loads((Path(__file__).parent / "golden/v1/event-pod-backoff.json").read_bytes())
    for changes in ({"v": 2}, {"count": 0}, {"ns": None}, {"cluster": "Edge"}, {"last": "now"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(golden | changes, json_schema("event"))


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [reference for part in value.values() for reference in references(part)]
    return [reference for part in value for reference in references(part)] if isinstance(value, list) else []


def resolve(reference: str) -> Any:
    value: Any = ASYNCAPI
    for part in reference.removeprefix("#/").split("/"):
        value = value[part]
    return value


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    assert references(ASYNCAPI)
    for reference in references(ASYNCAPI):
        assert resolve(reference)


def test_the_asyncapi_document_has_the_parts_of_version_3() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert set(ASYNCAPI) <= {
        "asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components",
    }  # fmt: skip
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert resolve(operation["channel"]["$ref"])["address"]


def test_the_parameters_of_a_channel_are_those_of_its_address() -> None:
    for channel in ASYNCAPI["channels"].values():
        levels = channel["address"].split("/")
        assert {f"{{{name}}}" for name in channel["parameters"]} == {level for level in levels if "{" in level}


def test_only_the_status_is_retained_and_everything_is_sent_with_qos_1() -> None:
    bindings = {name: operation["bindings"]["mqtt"] for name, operation in ASYNCAPI["operations"].items()}
    assert {binding["qos"] for binding in bindings.values()} == {1}
    assert {name for name, binding in bindings.items() if binding.get("retain")} == {"publishStatus"}
    assert {name for name, binding in bindings.items() if "messageExpiryInterval" in binding} == {"publishEvent"}


@pytest.mark.parametrize("name", ["event", "status"])
def test_the_asyncapi_document_embeds_the_schemas_and_its_examples_validate(name: str) -> None:
    embedded = ASYNCAPI["components"]["schemas"][name]
    assert embedded == {key: value for key, value in json_schema(name).items() if not key.startswith("$")}
    for example in ASYNCAPI["components"]["messages"][name]["examples"]:
        jsonschema.validate(example["payload"], embedded)
