import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tocsin_producer.cli import make_plan
from tocsin_producer.errors import ResolveError
from tocsin_producer.plan import ApiServer, Plan, Replay
from tocsin_producer.resolve import from_kubeconfig, in_cluster, resolve
from tocsin_producer.settings import ProducerSettings

SETTINGS = ProducerSettings.model_validate(
    {"cluster": "edge-042", "broker": {"url": "mqtts://b.example", "password": "hunter2"}},
)


@pytest.mark.parametrize(
    "source", [ApiServer("https://10.0.0.1", ca="PEM", token="t0ken"), Replay("x.ndjson", 4.0)]
)
def test_a_plan_arrives_as_it_was_passed_on(source: ApiServer | Replay) -> None:
    plan = make_plan(SETTINGS, source)
    assert Plan.receive(plan.pass_on()) == plan


def test_a_plan_is_passed_on_by_a_descriptor_that_the_next_program_inherits() -> None:
    descriptor = make_plan(SETTINGS, Replay("x")).pass_on()
    try:
        assert os.get_inheritable(descriptor)
        assert os.fstat(descriptor).st_nlink == 0
    finally:
        os.close(descriptor)


def test_a_plan_shows_no_secret() -> None:
    plan = make_plan(SETTINGS, ApiServer("https://10.0.0.1", token="t0ken", client_key="k3y"))
    assert not [secret for secret in ("hunter2", "t0ken", "k3y") if secret in repr(plan)]


def test_a_producer_is_known_to_the_broker_by_the_name_of_its_cluster() -> None:
    broker = make_plan(SETTINGS, Replay("x")).broker
    assert (broker.username, broker.client_id, broker.port) == ("edge-042", "tocsin-producer-edge-042", 8883)


def service_account(folder: Path) -> Path:
    (folder / "token").write_text("t0ken\n")
    (folder / "ca.crt").write_text("PEM")
    return folder


def test_a_pod_finds_its_api_server_in_two_variables_and_two_files(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = resolve(environment, service_account=service_account(tmp_path))
    assert found == ApiServer("https://[fd00::1]:443", ca="PEM", token_file=str(tmp_path / "token"))


def test_outside_of_a_cluster_a_kubeconfig_is_asked_for() -> None:
    with pytest.raises(ResolveError, match="not in a cluster .* give --kubeconfig or KUBECONFIG"):
        resolve({})


def test_a_pod_without_a_token_is_told_what_may_be_wrong(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ResolveError, match="is its token mounted"):
        in_cluster(environment, tmp_path)


def kubeconfig(folder: Path, user: Mapping[str, object], cluster: Mapping[str, object]) -> Path:
    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": dict(cluster)}],
                "users": [{"name": "u", "user": dict(user)}],
            },
        ),
    )
    return path


def test_a_kubeconfig_gives_server_ca_and_token(tmp_path: Path) -> None:
    path = kubeconfig(
        tmp_path,
        {"token": "t0ken"},
        {"server": "https://10.0.0.1:6443", "certificate-authority-data": "UEVN", "tls-server-name": "kubernetes"},
    )
    assert from_kubeconfig(path) == ApiServer(
        "https://10.0.0.1:6443",
        ca="PEM",
        token="t0ken",
        server_name="kubernetes",
    )


def test_a_kubeconfig_gives_a_client_certificate_and_may_ask_not_to_verify(tmp_path: Path) -> None:
    user = {"client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ"}
    path = kubeconfig(tmp_path, user, {"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": True})
    found = from_kubeconfig(path)
    assert (found.client_certificate, found.client_key, found.verify) == ("CERT", "KEY", False)


@pytest.mark.parametrize("content", ["", "{}", "contexts: []", "- a", "current-context: nowhere"])
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(ResolveError, match=str(path)):
        from_kubeconfig(path)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match="no such kubeconfig file"):
        resolve({}, kubeconfig=tmp_path / "config")


def test_without_the_kubernetes_package_the_message_says_how_to_get_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.config", None)
    with pytest.raises(ResolveError, match=r"pip install 'tocsin\[producer\]'"):
        from_kubeconfig(tmp_path)
