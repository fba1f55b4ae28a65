import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization

from tocsin_producer.errors import ResolveError
from tocsin_producer.plan import ApiServer
from tocsin_producer.resolve import from_kubeconfig, in_cluster, resolve

SECRET = "s3cret"
CLUSTER: Mapping[str, object] = {"server": "https://10.0.0.1:6443"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def in_pod(host: str = "10.0.0.1", port: str = "443") -> dict[str, str]:
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def service_account(folder: Path, ca: str, token: bytes = b"t0ken\n") -> Path:
    (folder / "token").write_bytes(token)
    (folder / "ca.crt").write_text(ca, encoding="utf-8")
    return folder


def kubeconfig(
    folder: Path, user: object, cluster: Mapping[str, object] = CLUSTER, *, name: str = "config"
) -> str:
    path = folder / name
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": dict(cluster)}],
                "users": [{"name": "u", "user": user}],
            },
        ),
    )
    return str(path)


def inline(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def refusal(text: str, context: str | None = None) -> str:
    with pytest.raises(ResolveError) as caught:
        from_kubeconfig(text, context)
    return str(caught.value)


# In a Pod


def test_a_pod_finds_its_api_server_in_two_variables_and_two_files(tmp_path: Path, ca: str) -> None:
    found = resolve(in_pod("fd00::1"), service_account=service_account(tmp_path, ca))
    assert found == ApiServer("https://[fd00::1]:443", ca=ca, token_file=str(tmp_path / "token"))


def test_outside_of_a_cluster_a_kubeconfig_is_asked_for() -> None:
    with pytest.raises(ResolveError, match="not in a cluster .* give --kubeconfig or KUBECONFIG"):
        resolve({})


def test_a_pod_without_a_token_is_told_what_may_be_wrong(tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match="is its token mounted"):
        in_cluster(in_pod(), tmp_path)


def test_a_pods_token_that_is_none_is_told_without_it(tmp_path: Path, ca: str) -> None:
    with pytest.raises(ResolveError, match="the token has a blank") as caught:
        in_cluster(in_pod(), service_account(tmp_path, ca, f"{SECRET}\n{SECRET}".encode()))
    assert SECRET not in str(caught.value)


def test_a_pods_port_that_is_none_is_told(tmp_path: Path, ca: str) -> None:
    with pytest.raises(ResolveError, match=r"should be like https://10\.0\.0\.1:6443"):
        in_cluster(in_pod(port="tcp://10.0.0.1:443"), service_account(tmp_path, ca))


# With a kubeconfig


def test_a_kubeconfig_gives_server_ca_and_token(tmp_path: Path, ca: str) -> None:
    cluster = {**CLUSTER, "certificate-authority-data": inline(ca), "tls-server-name": "kubernetes"}
    assert from_kubeconfig(kubeconfig(tmp_path, {"token": "t0ken"}, cluster)) == ApiServer(
        "https://10.0.0.1:6443",
        ca=ca,
        token="t0ken",
        server_name="kubernetes",
    )


def test_a_kubeconfig_gives_a_client_certificate_and_may_ask_not_to_verify(
    tmp_path: Path, authority: trustme.CA
) -> None:
    leaf = authority.issue_cert("tocsin")
    certificate, key = leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()
    user = {"client-certificate-data": inline(certificate), "client-key-data": inline(key)}
    found = from_kubeconfig(kubeconfig(tmp_path, user, {**CLUSTER, "insecure-skip-tls-verify": True}))
    assert (found.client_certificate, found.client_key) == (certificate.decode(), key.decode())
    assert not found.verify


@pytest.mark.parametrize("content", ["", "{}", "contexts: []", "- a", "current-context: nowhere"])
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    assert str(path) in refusal(str(path))


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match="no such kubeconfig file"):
        resolve({}, kubeconfig=str(tmp_path / "config"))


def test_without_the_kubernetes_package_the_message_says_how_to_get_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.config", None)
    with pytest.raises(ResolveError, match=r"pip install 'tocsin\[producer\]'"):
        from_kubeconfig(str(tmp_path))


@pytest.mark.parametrize("token", ["t0ken\n", " t0ken ", "\tt0ken\r\n"])
def test_blanks_around_a_token_are_none_of_it(tmp_path: Path, token: str) -> None:
    assert from_kubeconfig(kubeconfig(tmp_path, {"token": token})).token == "t0ken"


@pytest.mark.parametrize("token", [f"{SECRET}\n{SECRET}", f"{SECRET} x", f"{SECRET}é"])
def test_a_token_that_is_none_is_told_without_it(tmp_path: Path, token: str) -> None:
    text = refusal(kubeconfig(tmp_path, {"token": token}))
    assert "the token has a blank" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "text",
    [
        "users: [{name: u, token: s3cret}]",
        'users: [{name: u, user: {token: "s3cret: }}]',
        "users: [{name: u, user: {token: s3cret}]",
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_told_without_its_secrets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(
        "current-context: here\n"
        "contexts: [{name: here, context: {cluster: c, user: u}}]\n"
        f"clusters: [{{name: c, cluster: {{server: 'https://10.0.0.1'}}}}]\n{text}\n",
    )
    assert SECRET not in refusal(str(path))


@pytest.mark.parametrize(
    "server",
    [
        "127.0.0.1:6443",
        "localhost:6443",
        "https://h:port",
        "https://h:99999",
        "https://:6443",
        "https://[::1",
        "ftp://h",
    ],
)
def test_a_server_that_is_no_address_is_told_with_what_was_expected(tmp_path: Path, server: str) -> None:
    text = refusal(kubeconfig(tmp_path, {}, {"server": server}))
    assert f"the server should be like https://10.0.0.1:6443, not '{server}'" in text


def test_a_password_in_the_address_is_refused_and_does_not_show(tmp_path: Path) -> None:
    text = refusal(kubeconfig(tmp_path, {}, {"server": f"https://admin:{SECRET}@h"}))
    assert "should be like https://10.0.0.1:6443, not '…@h'" in text
    assert SECRET not in text


def test_a_proxy_in_a_kubeconfig_is_refused_rather_than_passed_by(tmp_path: Path) -> None:
    text = refusal(kubeconfig(tmp_path, {}, {**CLUSTER, "proxy-url": f"http://u:{SECRET}@proxy:3128"}))
    assert "proxy-url is not supported" in text
    assert SECRET not in text


@pytest.mark.parametrize("ca", ["no PEM at all", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_ca_that_is_none_is_told(tmp_path: Path, ca: str) -> None:
    text = refusal(kubeconfig(tmp_path, {}, {**CLUSTER, "certificate-authority-data": inline(ca)}))
    assert "the CA or the client certificate and key cannot be used" in text


def test_a_client_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it(
    tmp_path: Path, authority: trustme.CA
) -> None:
    leaf = authority.issue_cert("tocsin")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    user = {"client-certificate-data": inline(leaf.cert_chain_pems[0].bytes()), "client-key-data": inline(key)}
    assert "the client key is encrypted" in refusal(kubeconfig(tmp_path, user))


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ({"command": "/none/plugin"}, "No such file or directory: '/none/plugin'"),
        ({"command": "echo", "args": ["none"]}, "exec: "),
        ({"command": "false"}, "exec: "),
    ],
)
def test_a_plugin_that_gives_no_credentials_is_told_instead_of_going_on_without_any(
    tmp_path: Path, plugin: dict[str, object], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    exec_plugin = {"apiVersion": "client.authentication.k8s.io/v1", **plugin}
    text = refusal(kubeconfig(tmp_path, {"exec": exec_plugin}))
    assert "its user has no credentials: " in text
    assert reason in text
    assert "ERROR" not in capfd.readouterr().err


def test_a_user_with_a_password_is_told_that_kubernetes_takes_none(tmp_path: Path) -> None:
    text = refusal(kubeconfig(tmp_path, {"username": "admin", "password": SECRET}))
    assert "a username and a password, which Kubernetes takes no longer" in text
    assert SECRET not in text


def test_a_ca_file_may_have_comments_in_any_language(tmp_path: Path, ca: str) -> None:
    (tmp_path / "ca.crt").write_text(f"# Zertifikat für 边缘\n{ca}", encoding="utf-8")
    cluster = {**CLUSTER, "certificate-authority": str(tmp_path / "ca.crt")}
    assert ca in (from_kubeconfig(kubeconfig(tmp_path, {}, cluster)).ca or "")


def test_a_list_of_kubeconfigs_is_merged_and_the_first_current_context_counts(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path, {"token": "first"}, name="first")
    second = tmp_path / "second"
    second.write_text(
        "current-context: there\n"
        "contexts: [{name: there, context: {cluster: d, user: v}}]\n"
        "clusters: [{name: d, cluster: {server: 'https://10.0.0.2'}}]\n"
        "users: [{name: v, user: {token: second}}]\n",
    )
    both = f"{first}:{tmp_path / 'missing'}:{second}"
    assert from_kubeconfig(both).token == "first"
    assert from_kubeconfig(both, "there").token == "second"


def test_what_it_prints_for_another_process_is_the_way_to_the_api_server(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "t0ken"})
    command = [sys.executable, "-P", "-m", "tocsin_producer.resolve"]
    done = subprocess.run([*command, path, "here"], capture_output=True, check=True)
    assert ApiServer(**json.loads(done.stdout)) == from_kubeconfig(path)
    failed = subprocess.run([*command, path, "there"], capture_output=True, check=False)
    assert (failed.returncode, failed.stdout) == (1, b"")
    assert b"there" in failed.stderr
