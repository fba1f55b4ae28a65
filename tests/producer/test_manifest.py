import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.examples import of_kind
from tocsin_producer.manifest import NAME, Installation, dump, objects
from tocsin_schemas.secret import read_secret

SECRET = "hunter2"
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n"
FILES = {"producer.yaml": "cluster: edge-042\n", "ca.crt": "-----BEGIN CERTIFICATE-----\n"}


def installation(**changes: Any) -> Installation:
    values: dict[str, Any] = {
        "namespace": "tocsin",
        "image": "tocsin/tocsin-producer:1.2.3",
        "files": FILES,
        "secrets": {"password": SECRET, "tls.key": KEY},
        "secret_name": NAME,
    }
    return Installation(**values | changes)


def kind(name: str, **changes: Any) -> dict[str, Any]:
    return of_kind(name, objects(installation(**changes)))


def pod(**changes: Any) -> dict[str, Any]:
    return dict(kind("Deployment", **changes)["spec"]["template"]["spec"])


def annotations(**changes: Any) -> Any:
    return kind("Deployment", **changes)["spec"]["template"]["metadata"].get("annotations")


def mounted(**changes: Any) -> dict[str, dict[str, Any]]:
    """Return the volume at each path."""
    volumes = {volume["name"]: volume for volume in pod(**changes)["volumes"]}
    mounts = pod(**changes)["containers"][0]["volumeMounts"]
    return {mount["mountPath"]: volumes[mount["name"]] for mount in mounts}


def test_its_role_is_to_read_events_and_nothing_else() -> None:
    assert kind("ClusterRole")["rules"] == [
        {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]}
    ]


@pytest.mark.parametrize("namespace", ["tocsin", "monitoring", "kube-system"])
def test_the_role_is_bound_to_the_account_that_the_pod_has(namespace: str) -> None:
    binding, account = kind("ClusterRoleBinding", namespace=namespace), kind("ServiceAccount", namespace=namespace)
    (subject,) = binding["subjects"]
    assert binding["roleRef"]["name"] == kind("ClusterRole")["metadata"]["name"]
    assert (subject["namespace"], subject["name"]) == (namespace, account["metadata"]["name"])
    assert account["metadata"]["namespace"] == namespace
    assert pod(namespace=namespace)["serviceAccountName"] == account["metadata"]["name"]


@pytest.mark.parametrize("namespace", ["tocsin", "monitoring"])
def test_everything_with_a_namespace_is_in_the_one_that_is_asked_for(namespace: str) -> None:
    made = objects(installation(namespace=namespace))
    assert {document["metadata"].get("namespace") for document in made} == {None, namespace}


def test_its_own_namespace_comes_with_it() -> None:
    assert kind("Namespace")["metadata"]["name"] == "tocsin"


@pytest.mark.parametrize("namespace", ["monitoring", "kube-system"])
def test_the_namespace_of_others_is_neither_changed_nor_removed_with_it(namespace: str) -> None:
    """K3s deletes what a file holds no more, and a label that enforces something is for all that is in there."""
    assert "Namespace" not in {document["kind"] for document in objects(installation(namespace=namespace))}


def test_no_two_producers_run_while_one_takes_over_from_the_other() -> None:
    spec = kind("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_the_pod_keeps_to_what_its_namespace_enforces() -> None:
    """The Pod Security Standard `restricted`, and a root that is read-only on top of it."""
    assert kind("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    spec = pod()
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    allowed = {"configMap", "secret", "projected", "persistentVolumeClaim", "emptyDir"}
    assert {key for volume in spec["volumes"] for key in volume if key != "name"} <= allowed
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert not any("hostPort" in port for port in container["ports"])


def test_a_token_is_mounted_where_it_is_needed_and_nowhere_else() -> None:
    assert kind("ServiceAccount")["automountServiceAccountToken"] is False
    assert pod()["automountServiceAccountToken"] is False
    token, ca = mounted()["/var/run/secrets/kubernetes.io/serviceaccount"]["projected"]["sources"]
    assert token["serviceAccountToken"]["path"] == "token"
    assert ca["configMap"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


def test_only_the_state_can_be_written_to() -> None:
    mounts = pod()["containers"][0]["volumeMounts"]
    assert [mount["mountPath"] for mount in mounts if not mount.get("readOnly")] == ["/var/lib/tocsin"]


def test_state_is_kept_on_a_claim_that_outlives_the_pod() -> None:
    claim = mounted()["/var/lib/tocsin"]["persistentVolumeClaim"]["claimName"]
    assert claim == kind("PersistentVolumeClaim")["metadata"]["name"]


def test_state_that_is_kept_with_the_pod_is_bounded_and_claims_nothing() -> None:
    assert mounted(state="pod")["/var/lib/tocsin"]["emptyDir"] == {"sizeLimit": "64Mi"}
    assert "PersistentVolumeClaim" not in {document["kind"] for document in objects(installation(state="pod"))}


def test_it_would_rather_be_on_a_server_and_is_let_onto_one() -> None:
    (preferred,) = pod()["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = preferred["preference"]["matchExpressions"]
    assert expression == {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    tolerated = {toleration["key"]: toleration for toleration in pod()["tolerations"]}
    assert tolerated["node-role.kubernetes.io/control-plane"]["effect"] == "NoSchedule"
    assert all(toleration["operator"] == "Exists" for toleration in tolerated.values())


def test_probes_ask_where_it_listens() -> None:
    (container,) = pod(port=9000)["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == 9000
    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": port["name"]}


def test_the_node_has_to_keep_what_it_needs_and_no_more() -> None:
    resources = pod()["containers"][0]["resources"]
    assert resources["requests"] == {"cpu": "10m", "memory": "32Mi"}
    assert resources["limits"] == {"memory": "96Mi"}


@pytest.mark.parametrize(("given", "expected"), [("critical", {"priorityClassName": "critical"}), (None, {})])
def test_a_priority_is_the_pods_if_there_is_one(given: str | None, expected: dict[str, str]) -> None:
    spec = pod(priority_class=given)
    assert {key: value for key, value in spec.items() if key.startswith("priority")} == expected


def test_a_changed_configuration_makes_another_pod() -> None:
    assert annotations() != annotations(files={**FILES, "producer.yaml": "cluster: edge-043\n"})
    assert annotations() != annotations(files={**FILES, "ca.crt": "another"})
    assert annotations() == annotations()


def test_a_secret_leaves_no_trace_in_the_pod_not_even_a_digest() -> None:
    """What is short can be found from its digest; a changed password is read at the next connect."""
    assert kind("Deployment") == kind("Deployment", secrets={"password": "another"})


def test_a_secret_is_in_the_secret_and_nowhere_else() -> None:
    made = objects(installation())
    secret = of_kind("Secret", made)
    others = [document for document in made if document is not secret]
    for text in (SECRET, base64.b64encode(SECRET.encode()).decode(), "MIGHAgEA"):
        assert text not in dump(others)
    assert SECRET not in repr(installation())
    assert mounted()["/run/secrets/tocsin"]["secret"]["secretName"] == secret["metadata"]["name"]


def test_what_k3s_notes_of_a_secret_in_an_annotation_tells_nothing() -> None:
    """It notes the first 64 characters of each value, and `kubectl describe` shows annotations."""
    for value in kind("Secret")["data"].values():
        assert base64.b64decode(value[:64]).strip() == b""


def test_a_password_is_read_from_the_secret_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(base64.b64decode(kind("Secret")["data"]["password"]))
    assert read_secret(file) == SECRET


def test_a_secret_that_is_there_already_is_mounted_and_not_made() -> None:
    changes = {"secrets": {}, "secret_name": "from-the-vault"}
    assert mounted(**changes)["/run/secrets/tocsin"]["secret"]["secretName"] == "from-the-vault"
    assert "Secret" not in {document["kind"] for document in objects(installation(**changes))}


def test_without_secrets_none_are_mounted() -> None:
    assert "/run/secrets/tocsin" not in mounted(secrets={}, secret_name=None)


def test_the_same_installation_is_the_same_text_and_nothing_is_written_by_reference() -> None:
    text = dump(objects(installation()))
    assert text == dump(objects(installation()))
    assert list(yaml.safe_load_all(text)) == objects(installation())
    assert not [line for line in text.splitlines() if line.rstrip().endswith((" &id001", " *id001"))]


def test_a_file_in_the_config_map_is_written_as_it_is() -> None:
    assert "  producer.yaml: |\n    cluster: edge-042\n" in dump(objects(installation()))
