from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.producer.conftest import event
from tocsin_producer.event import read_event
from tocsin_producer.filter import EventFilter
from tocsin_producer.installation import PLACES, Placement, install, read_configuration
from tocsin_producer.manifest import Installation, objects
from tocsin_producer.settings import ProducerSettings, load_settings
from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.configuration import ConfigurationError
from tocsin_schemas.fields import CaFile, ReadableFile, SecretFile

MINIMAL = "cluster: edge-042\nbroker: {url: mqtts://broker.example.com}\n"
PLACEMENT = Placement("tocsin", "tocsin/tocsin-producer:1.2.3", "claim")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return a file for each key of `broker` that names one."""
    ca = trustme.CA()
    certificate = ca.issue_cert("edge-042")
    contents = {
        "password_file": b"hunter2\n",
        "ca_file": ca.cert_pem.bytes(),
        "cert_file": certificate.cert_chain_pems[0].bytes(),
        "key_file": certificate.private_key_pem.bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents}


def installed(
    folder: Path,
    text: str = MINIMAL,
    placement: Placement = PLACEMENT,
    *,
    options: Mapping[str, Path] | None = None,
) -> Installation:
    """Return what becomes of a file; `options` stand for keys of its broker."""
    path = folder / "producer.yaml"
    path.write_text(text)
    given: dict[tuple[str, ...], tuple[str, str]] = {
        ("broker", key): (str(value), f"option {key}") for key, value in (options or {}).items()
    }
    return install(read_configuration(path, environment={}, options=given), placement)


def configuration(installation: Installation) -> dict[str, Any]:
    return dict(yaml.safe_load(installation.files["producer.yaml"]))


def problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        installed(folder, text)
    (found,) = caught.value.problems
    return str(found).removeprefix(f"{folder}/")


def test_the_pod_accepts_its_configuration_and_finds_its_files(tmp_path: Path, files: dict[str, Path]) -> None:
    """As the Pod does: each file where its volume is mounted, here below a folder."""
    text = MINIMAL + "outbox: {max_messages: 500}\nlog: {format: json}\n"
    installation = installed(tmp_path, text, options=files)
    contents = {
        "/etc/tocsin": installation.files,
        "/run/secrets/tocsin": installation.secrets,
        "/var/lib/tocsin": {},
    }
    root = tmp_path / "root"
    for directory, names in contents.items():
        (root / directory[1:]).mkdir(parents=True)
        for name, content in names.items():
            (root / directory[1:] / name).write_text(content)
    path = root / "etc/tocsin/producer.yaml"
    for directory in contents:
        path.write_text(path.read_text().replace(directory, str(root / directory[1:])))
    settings, _ = load_settings(path, {})
    assert settings.cluster == "edge-042"
    assert settings.broker.connection(client_id="x").read_password() == "hunter2"
    assert settings.broker.connection(client_id="x").tls_context() is not None
    assert settings.outbox.path == root / "var/lib/tocsin/outbox.db"
    assert (settings.outbox.max_messages, settings.log.format) == (500, "json")
    assert settings.http.listen == "0.0.0.0:8080"


def test_every_file_that_the_broker_section_can_name_has_a_place_in_the_pod() -> None:
    """A key that is added there belongs into PLACES, or the Pod would look for a file of another computer."""
    kinds = tuple(str(kind) for kind in (ReadableFile, SecretFile, CaFile))
    named = {
        name
        for name, field in BrokerSettings.model_fields.items()
        if name.endswith("_file") or any(kind in str(field.annotation) for kind in kinds)
    }
    assert named == set(PLACES)


def test_no_other_section_names_files_that_have_to_be_there() -> None:
    sections = set(ProducerSettings.model_fields) - {"broker"}
    schema = ProducerSettings.model_json_schema()["$defs"]
    named = {
        f"{section}.{key}"
        for section in sections
        for key in schema.get(f"{section.title()}Settings", {}).get("properties", {})
        if key.endswith(("_file", "path", "password", "token"))
    }
    assert named == {"outbox.path"}


@pytest.mark.parametrize("where", ["file", "text"])
def test_a_password_goes_into_the_secret_wherever_it_was(
    tmp_path: Path, files: dict[str, Path], where: str
) -> None:
    text = MINIMAL.replace("com}", "com, password: hunter2}") if where == "text" else MINIMAL
    options = {"password_file": files["password_file"]} if where == "file" else {}
    installation = installed(tmp_path, text, options=options)
    assert installation.secrets == {"password": "hunter2"}
    assert configuration(installation)["broker"] == {
        "url": "mqtts://broker.example.com",
        "password_file": "/run/secrets/tocsin/password",
    }


def test_without_a_password_the_pod_has_none(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    assert (installation.secrets, installation.secret_name) == ({}, None)
    assert configuration(installation)["broker"] == {"url": "mqtts://broker.example.com"}


def test_a_certificate_without_a_password_leaves_the_password_out(tmp_path: Path, files: dict[str, Path]) -> None:
    installation = installed(tmp_path, options={key: files[key] for key in ("cert_file", "key_file")})
    assert set(installation.secrets) == {"tls.crt", "tls.key"}
    assert "password_file" not in configuration(installation)["broker"]


def test_a_secret_that_is_there_already_holds_the_password(tmp_path: Path) -> None:
    placement = Placement("tocsin", "image", "claim", secret_name="from-the-vault")
    installation = installed(tmp_path, placement=placement)
    assert (installation.secrets, installation.secret_name) == ({}, "from-the-vault")
    assert configuration(installation)["broker"]["password_file"] == "/run/secrets/tocsin/password"


def test_a_ca_goes_without_the_key_that_its_file_holds_as_well(tmp_path: Path, files: dict[str, Path]) -> None:
    certificate = files["ca_file"].read_text()
    files["ca_file"].write_text(f"# Größe\n{files['key_file'].read_text()}{certificate}")
    assert installed(tmp_path, options={"ca_file": files["ca_file"]}).files["ca.crt"] == certificate


def test_an_address_that_the_kubelet_does_not_reach_is_refused(tmp_path: Path) -> None:
    assert problem(tmp_path, MINIMAL + 'http: {listen: "127.0.0.1:9000"}\n') == (
        "producer.yaml:3: http.listen: expected an address that the kubelet reaches, such as 0.0.0.0:8080, "
        "found '127.0.0.1:9000'"
    )


@pytest.mark.parametrize("listen", ["0.0.0.0:9000", "[::]:9000"])
def test_where_it_listens_is_where_probes_ask(tmp_path: Path, listen: str) -> None:
    installation = installed(tmp_path, MINIMAL + f'http: {{listen: "{listen}"}}\n')
    assert installation.port == 9000
    assert configuration(installation)["http"] == {"listen": listen}


@pytest.mark.parametrize(
    ("host", "policy"),
    [
        ("broker.example.com", "Default"),
        ("192.0.2.7", "Default"),
        ("[2001:db8::7]", "Default"),
        ("mosquitto", "ClusterFirst"),
        ("mosquitto.mqtt.svc", "ClusterFirst"),
        ("mosquitto.mqtt.svc.cluster.local", "ClusterFirst"),
    ],
)
def test_only_a_broker_in_the_cluster_needs_the_clusters_dns(tmp_path: Path, host: str, policy: str) -> None:
    text = MINIMAL.replace("broker.example.com", f'"mqtts://{host}"').replace('mqtts://"', '"')
    assert installed(tmp_path, text).dns_policy == policy


READINESS: dict[str, Any] = {
    "involvedObject": {"kind": "Pod", "namespace": "tocsin", "name": "tocsin-producer-7c9-x"},
    "reason": "Unhealthy",
    "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
}


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, False),
        ({"message": "Liveness probe failed: HTTP probe failed with statuscode: 503"}, True),
        ({"involvedObject": READINESS["involvedObject"] | {"namespace": "shop"}}, True),
        ({"reason": "InvalidDiskCapacity"}, False),
    ],
)
def test_that_its_own_link_is_down_is_no_event_worth_sending_afterwards(
    tmp_path: Path, changes: dict[str, Any], passes: bool
) -> None:
    events = ProducerSettings.model_validate(configuration(installed(tmp_path))).events
    event_filter = EventFilter(*([rule.rule() for rule in rules] for rules in (events.include, events.exclude)))
    assert event_filter.passes(read_event(event(**READINESS | changes))) is passes


def test_rules_of_ones_own_are_kept(tmp_path: Path) -> None:
    text = MINIMAL + "events:\n  include: [{type: Warning}]\n  exclude: [{namespace: [lab, test], min_count: 3}]\n"
    events = configuration(installed(tmp_path, text))["events"]
    assert events["include"] == [{"type": "Warning"}]
    assert [rule["namespace"] for rule in events["exclude"]] == [["lab", "test"], "tocsin"]
    assert events["exclude"][0]["min_count"] == 3


def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    assert problem(tmp_path, "cluster: edge-042\nbrokre: {}\nbroker: {url: mqtts://b.example.com}\n") == (
        "producer.yaml:2: brokre: unknown key; did you mean broker?"
    )


def test_what_is_installed_is_what_is_applied(tmp_path: Path, files: dict[str, Path]) -> None:
    made = objects(installed(tmp_path, options=files))
    assert [document["kind"] for document in made] == [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "Secret",
        "PersistentVolumeClaim",
        "Deployment",
    ]
