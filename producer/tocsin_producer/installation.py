"""From a configuration, and options in its place, to what a manifest depends on.

Everything is checked as `run` would check it, so that what is wrong is told here and not by a Pod at the edge. The
files that a configuration names are read here; in the Pod they have other places.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tocsin_producer.manifest import (
    CONFIG_DIRECTORY,
    NAME,
    SECRET_DIRECTORY,
    STATE_DIRECTORY,
    DnsPolicy,
    Installation,
    State,
)
from tocsin_producer.settings import ProducerSettings, check_settings
from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.configuration import ConfigurationError, Document, lay_over, overlay, read
from tocsin_schemas.secret import read_secret

#: Where the Pod listens if the configuration says nothing of it.
LISTEN: Final = "0.0.0.0:8080"
#: Keys of the section `broker` that name files: the file's place in the Pod.
PLACES: Final = {
    "password_file": SECRET_DIRECTORY / "password",
    "ca_file": CONFIG_DIRECTORY / "ca.crt",
    "cert_file": SECRET_DIRECTORY / "tls.crt",
    "key_file": SECRET_DIRECTORY / "tls.key",
}
#: Endings of a host's name that only the cluster's own DNS knows.
_CLUSTER_DOMAINS: Final = (".svc", ".cluster.local")
_CERTIFICATE: Final = re.compile(r"-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Placement:
    """What is said of the Pod beside its configuration; `secret_name` names a Secret that is there already."""

    namespace: str
    image: str
    state: State
    priority_class: str | None = None
    secret_name: str | None = None


def read_configuration(
    path: Path | None,
    *,
    environment: Mapping[str, str],
    options: Mapping[tuple[str, ...], tuple[str, str]],
) -> Document:
    """Return a configuration file, if there is one, with variables over it and options over both.

    Raises:
        ConfigurationError: the file cannot be read, or is not YAML.
    """
    document = read(path) if path is not None else Document("the options", {}, {})
    return lay_over(overlay(document, ProducerSettings, environment), options)


def install(document: Document, placement: Placement) -> Installation:
    """Check a configuration and return how it is installed.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    settings = check_settings(document)
    listen = settings.http.listen or LISTEN
    _check_listen(listen, document)
    secrets = {} if placement.secret_name else _secrets(settings.broker)
    secret_name = placement.secret_name or (NAME if secrets else None)
    with_password = placement.secret_name is not None or "password" in secrets
    values = _values_in_pod(document.values, settings, placement, listen=listen, with_password=with_password)
    ca_file = settings.broker.ca_file
    return Installation(
        namespace=placement.namespace,
        image=placement.image,
        state=placement.state,
        priority_class=placement.priority_class,
        port=int(listen.rpartition(":")[2]),
        dns_policy=_dns_policy(settings.broker.connection(client_id=NAME).host),
        files={
            "producer.yaml": yaml.safe_dump(values, sort_keys=False, allow_unicode=True),
            **({"ca.crt": _pem(ca_file)} if ca_file else {}),
        },
        secrets=secrets,
        secret_name=secret_name,
    )


def _check_listen(listen: str, document: Document) -> None:
    if _is_loopback(listen.rpartition(":")[0].strip("[]")):
        message = f"expected an address that the kubelet reaches, such as {LISTEN}, found {listen!r}"
        raise ConfigurationError([document.problem(("http", "listen"), message)])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _dns_policy(host: str) -> DnsPolicy:
    """Return whose resolver knows `host`: the node's if it can, as an alarm should not need the cluster's DNS."""
    in_cluster = "." not in host and ":" not in host
    return "ClusterFirst" if in_cluster or host.endswith(_CLUSTER_DOMAINS) else "Default"


def _secrets(broker: BrokerSettings) -> dict[str, str]:
    """Return the contents of the Secret."""
    secrets = {}
    if broker.password is not None:
        secrets["password"] = broker.password.get_secret_value()
    if broker.password_file is not None:
        secrets["password"] = read_secret(broker.password_file)
    if broker.cert_file is not None and broker.key_file is not None:
        secrets["tls.crt"] = _text(broker.cert_file)
        secrets["tls.key"] = _text(broker.key_file)
    return secrets


def _pem(ca_file: Path) -> str:
    """Return the certificates in a file and nothing else that it may hold, such as a CA's own key."""
    return "".join(f"{match[0]}\n" for match in _CERTIFICATE.finditer(_text(ca_file)))


def _text(file: Path) -> str:
    """Return a PEM file without what is not ASCII: comments may be in any language."""
    return file.read_bytes().decode("ascii", errors="ignore")


def _values_in_pod(
    values: Mapping[str, Any],
    settings: ProducerSettings,
    placement: Placement,
    *,
    listen: str,
    with_password: bool,
) -> dict[str, Any]:
    """Return what was written, with the Pod's own places and without a password."""
    broker = {key: value for key, value in values["broker"].items() if key not in {"password", *PLACES}}
    given = {key for key in PLACES if getattr(settings.broker, key) is not None} - {"password_file"}
    if with_password:
        given.add("password_file")
    return {
        **values,
        "broker": broker | {key: str(place) for key, place in PLACES.items() if key in given},
        "events": {**values.get("events", {}), "exclude": _exclusions(settings, placement.namespace)},
        "outbox": {**values.get("outbox", {}), "path": str(STATE_DIRECTORY / "outbox.db")},
        "http": {**values.get("http", {}), "listen": listen},
    }


def _exclusions(settings: ProducerSettings, namespace: str) -> list[dict[str, Any]]:
    """Return the rules of the configuration, and one for the Pod itself.

    It is not ready while its link is down, and kubelet makes an Event of that: it would be old news once it
    could be sent, as whoever gets it knows from the cluster's status.
    """
    own = {
        "reason": "Unhealthy",
        "kind": "Pod",
        "namespace": namespace,
        "name": f"{NAME}-.*",
        "message": "Readiness probe failed.*",
    }
    return [*(rule.model_dump(exclude_defaults=True) for rule in settings.events.exclude), own]
