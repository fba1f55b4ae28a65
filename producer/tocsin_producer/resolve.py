"""Find the API server: the only module that imports the kubernetes package, and only for kubeconfig files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Final

from tocsin_producer.errors import ResolveError
from tocsin_producer.plan import ApiServer

#: Where kubelet puts a Pod's credentials.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def resolve(
    environment: Mapping[str, str],
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> ApiServer:
    """Return the way to the API server: a kubeconfig if one is named, else this Pod's own settings.

    Raises:
        ResolveError: there is none, or it cannot be used.
    """
    if kubeconfig is not None:
        return from_kubeconfig(kubeconfig, context)
    if "KUBERNETES_SERVICE_HOST" in environment:
        return in_cluster(environment, service_account)
    raise ResolveError("not in a cluster (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig or KUBECONFIG")


def in_cluster(environment: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT) -> ApiServer:
    """Return the settings that every Pod has: two variables and two files.

    Raises:
        ResolveError: one of them is missing.
    """
    token_file, ca_file = service_account / "token", service_account / "ca.crt"
    try:
        host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
        token_file.read_bytes()
        ca = ca_file.read_text(encoding="ascii")
    except KeyError as error:
        raise ResolveError(f"not in a cluster: {error.args[0]} is not set") from error
    except (OSError, ValueError) as error:
        raise ResolveError(
            f"cannot read the service account in {service_account}: {error}; is its token mounted?",
        ) from error
    bracketed = f"[{host}]" if ":" in host else host
    return ApiServer(url=f"https://{bracketed}:{port}", ca=ca, token_file=str(token_file))


def from_kubeconfig(path: Path, context: str | None = None) -> ApiServer:
    """Return what a kubeconfig file says, by way of the kubernetes package's own loader.

    Raises:
        ResolveError: the package is not installed, or the file cannot be used.
    """
    try:
        from kubernetes.config import load_kube_config  # noqa: PLC0415 - heavy, and rarely needed
    except ImportError as error:
        raise ResolveError("reading a kubeconfig needs pip install 'tocsin[producer]'") from error
    if not path.is_file():
        raise ResolveError(f"{path}: no such kubeconfig file")
    found = SimpleNamespace(api_key={})
    with tempfile.TemporaryDirectory() as directory:  # the loader unpacks certificates into files
        try:
            load_kube_config(  # type: ignore[no-untyped-call] # untyped in the package
                config_file=str(path),
                context=context,
                client_configuration=found,
                persist_config=False,
                temp_file_path=directory,
            )
        except Exception as error:  # the loader raises whatever an odd file leads it to
            raise ResolveError(f"{path}: {str(error) or type(error).__name__}") from error
        return _api_server(path, found)


def _api_server(path: Path, found: SimpleNamespace) -> ApiServer:
    if not getattr(found, "host", None):
        raise ResolveError(f"{path}: its context names no server")
    bearer = found.api_key.get("BearerToken") or found.api_key.get("authorization") or ""
    return ApiServer(
        url=found.host,
        ca=_contents(found, "ssl_ca_cert"),
        token=bearer.removeprefix("Bearer ") or None,
        client_certificate=_contents(found, "cert_file"),
        client_key=_contents(found, "key_file"),
        verify=getattr(found, "verify_ssl", True),
        server_name=getattr(found, "tls_server_name", None),
    )


def _contents(found: SimpleNamespace, name: str) -> str | None:
    file = getattr(found, name, None)
    return Path(file).read_text(encoding="ascii") if file else None
