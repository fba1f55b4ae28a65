"""The objects that run a producer in its cluster: from an `Installation` to the text of a manifest.

All of it keeps to the Pod Security Standard `restricted`, which our namespace enforces.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import yaml

Object = dict[str, Any]
State = Literal["claim", "pod"]
DnsPolicy = Literal["Default", "ClusterFirst"]

NAME: Final = "tocsin-producer"
#: Where the Pod finds its files, its secrets and its state.
CONFIG_DIRECTORY: Final = PurePosixPath("/etc/tocsin")
SECRET_DIRECTORY: Final = PurePosixPath("/run/secrets/tocsin")
STATE_DIRECTORY: Final = PurePosixPath("/var/lib/tocsin")
#: Who the process is: the image's user, which has no name on any node.
USER: Final = 65532
#: The namespace that is ours: made with the rest, and removed with it. Any other has to be there: K3s deletes what
#: a file of its manifests holds no more, with all that is in it.
NAMESPACE: Final = "tocsin"
#: K3s notes in an annotation, which `kubectl describe` shows, the first 64 characters of each value of a Secret
#: that it applies (wrangler, pkg/apply/desiredset_compare.go). This is 64 characters of base64, and no secret.
PADDING: Final = "\n" * 48

_LABELS: Final = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "tocsin"}
#: The agent takes 28 MiB at most in its image, 15 of them libraries (docs/images.md). The limit also holds a
#: `check` with 37 MiB beside it, and a third on top for what the kernel keeps for the container.
_RESOURCES: Final = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "96Mi"}}
#: The outbox is bounded by itself, a few MiB with the defaults; this is for a volume that is not.
_STATE_SIZE: Final = "64Mi"
#: What kubelet asks for when it makes a token by itself: an hour, and a little.
_TOKEN_SECONDS: Final = 3607


@dataclass(frozen=True, slots=True)
class Installation:
    """What the objects depend on.

    Args:
        namespace: where they are.
        image: the producer's.
        state: on a claim, which outlives the Pod, or with the Pod.
        priority_class: the Pod's, if any.
        port: where probes are answered.
        dns_policy: whose resolver finds the broker.
        files: contents of the ConfigMap by name; none for whoever brings a ConfigMap of their own.
        secrets: contents of the Secret by name.
        secret_name: the Secret to mount, if any: one of `secrets`, or one that is there already.
    """

    namespace: str
    image: str
    state: State = "claim"
    priority_class: str | None = None
    port: int = 8080
    dns_policy: DnsPolicy = "Default"
    files: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_name: str | None = None


def objects(installation: Installation) -> list[Object]:
    """Return what has to be applied, in the order in which it can be."""
    return [
        *_namespace(installation),
        _service_account(installation),
        _cluster_role(),
        _cluster_role_binding(installation),
        *_config_map(installation),
        *_secret(installation),
        *_claim(installation),
        _deployment(installation),
    ]


def dump(documents: Iterable[Object]) -> str:
    """Return `documents` as YAML, each behind its own `---`; the same ones are always the same text."""
    return yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        explicit_start=True,
        allow_unicode=True,
        width=110,
    )


def _namespace(installation: Installation) -> Iterable[Object]:
    if installation.namespace == NAMESPACE:
        labels = {**_LABELS, "pod-security.kubernetes.io/enforce": "restricted"}
        yield {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": installation.namespace, "labels": labels},
        }


def _service_account(installation: Installation) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(installation),
        "automountServiceAccountToken": False,
    }


def _cluster_role() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME, "labels": _LABELS},
        "rules": [{"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]}],
    }


def _cluster_role_binding(installation: Installation) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME, "labels": _LABELS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": installation.namespace}],
    }


def _config_map(installation: Installation) -> Iterable[Object]:
    if installation.files:
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(installation),
            "data": dict(installation.files),
        }


def _secret(installation: Installation) -> Iterable[Object]:
    if installation.secrets:
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": _metadata(installation),
            "type": "Opaque",
            "data": {name: _encoded(secret) for name, secret in installation.secrets.items()},
        }


def _encoded(secret: str) -> str:
    """Return a secret in base64, behind line breaks: whoever reads a password or a PEM file skips them."""
    return base64.b64encode((PADDING + secret).encode()).decode("ascii")


def _claim(installation: Installation) -> Iterable[Object]:
    if installation.state == "claim":
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": _metadata(installation),
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _STATE_SIZE}}},
        }


def _deployment(installation: Installation) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(installation),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "template": {"metadata": _pod_metadata(installation), "spec": _pod(installation)},
        },
    }


def _pod_metadata(installation: Installation) -> Object:
    """Return the Pod's labels, and what makes another Pod of it when its configuration changes.

    The Secret has no part in that: a digest of a password can be guessed at, and files are read at each connect.
    """
    if not installation.files:
        return {"labels": _LABELS}
    text = "".join(f"{name}\0{content}\0" for name, content in sorted(installation.files.items()))
    return {
        "labels": _LABELS,
        "annotations": {"checksum/config": hashlib.sha256(text.encode()).hexdigest()},
    }


def _pod(installation: Installation) -> Object:
    priority = {"priorityClassName": installation.priority_class} if installation.priority_class else {}
    mounts = _mounts(installation)
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **priority,
        "dnsPolicy": installation.dns_policy,
        "affinity": _affinity(),
        "tolerations": _tolerations(),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(installation, [mount for mount, _ in mounts])],
        "volumes": [volume for _, volume in mounts],
    }


def _affinity() -> Object:
    """Prefer where the API server is: what goes wrong with the other nodes is then still told."""
    control_plane = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    preferred = {"weight": 100, "preference": {"matchExpressions": [control_plane]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}


def _tolerations() -> list[Object]:
    """Return what lets it onto servers: Kubernetes' taints, the older one too, and the one that K3s recommends."""
    taints = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
    return [
        *({"key": taint, "operator": "Exists", "effect": "NoSchedule"} for taint in taints),
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
    ]


def _container(installation: Installation, mounts: list[Object]) -> Object:
    return {
        "name": "producer",
        "image": installation.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["run"],
        "ports": [{"name": "http", "containerPort": installation.port}],
        # A start takes a second; a small computer that has just come up with all its Pods gets two minutes.
        "startupProbe": _probe("/healthz", period_seconds=5, failure_threshold=24),
        "livenessProbe": _probe("/healthz", period_seconds=30, failure_threshold=4),
        "readinessProbe": _probe("/readyz", period_seconds=30, failure_threshold=2),
        "resources": _RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _probe(path: str, *, period_seconds: int, failure_threshold: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failure_threshold,
    }


def _mounts(installation: Installation) -> list[tuple[Object, Object]]:
    """Return each mount with its volume."""
    mounts = [
        (_mount("config", CONFIG_DIRECTORY), {"name": "config", "configMap": {"name": NAME}}),
        (_mount("token", PurePosixPath("/var/run/secrets/kubernetes.io/serviceaccount")), _token()),
        ({"name": "state", "mountPath": str(STATE_DIRECTORY)}, _state(installation.state)),
    ]
    if installation.secret_name:
        secret = {"secretName": installation.secret_name, "defaultMode": 0o440}
        mounts.insert(1, (_mount("secrets", SECRET_DIRECTORY), {"name": "secrets", "secret": secret}))
    return mounts


def _mount(name: str, directory: PurePosixPath) -> Object:
    return {"name": name, "mountPath": str(directory), "readOnly": True}


def _token() -> Object:
    """Return what other Pods get by themselves: a token, and the CA of the API server's certificate."""
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}}
    ca = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    return {"name": "token", "projected": {"defaultMode": 0o440, "sources": [token, ca]}}


def _state(state: State) -> Object:
    if state == "claim":
        return {"name": "state", "persistentVolumeClaim": {"claimName": NAME}}
    return {"name": "state", "emptyDir": {"sizeLimit": _STATE_SIZE}}


def _metadata(installation: Installation) -> Object:
    return {"name": NAME, "namespace": installation.namespace, "labels": _LABELS}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and nothing by reference."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - whatever it is, it is written out
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
