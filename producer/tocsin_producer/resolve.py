"""Find the API server: the only module that imports the kubernetes package, and only for kubeconfig files.

`python -m tocsin_producer.resolve KUBECONFIG [CONTEXT]` prints what it finds for `credentials.Credentials`.
"""

import json
import logging
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from urllib.parse import urlsplit

import yaml

from tocsin_producer.api import bearer_token, tls_context
from tocsin_producer.errors import ResolveError, TokenError
from tocsin_producer.plan import ApiServer

#: Where kubelet puts a Pod's credentials.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def resolve(
    environment: Mapping[str, str],
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> ApiServer:
    """Return the way to the API server: a kubeconfig if one is named, else this Pod's own settings.

    Args:
        environment: where a Pod finds the address.
        kubeconfig: a file, or several with colons between them, as in KUBECONFIG.
        context: one of its contexts; default: its current one.
        service_account: where a Pod finds its token.

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
        bearer_token(token_file.read_bytes())
        ca = _pem(ca_file)
    except KeyError as error:
        raise ResolveError(f"not in a cluster: {error.args[0]} is not set") from error
    except OSError as error:
        raise ResolveError(
            f"cannot read the service account in {service_account}: {error}; is its token mounted?",
        ) from error
    except TokenError as error:
        raise ResolveError(f"{token_file}: {error}") from None
    bracketed = f"[{host}]" if ":" in host else host
    server = ApiServer(url=f"https://{bracketed}:{port}", ca=ca, token_file=str(token_file))
    return _checked(server, where="in this Pod")


def from_kubeconfig(kubeconfig: str, context: str | None = None) -> ApiServer:
    """Return what kubeconfig files say, by way of the kubernetes package's own loader.

    Raises:
        ResolveError: the package is not installed, or the files cannot be used.
    """
    try:
        from kubernetes.config import load_kube_config  # noqa: PLC0415 - heavy, and rarely needed
    except ImportError as error:
        raise ResolveError("reading a kubeconfig needs pip install 'tocsin[producer]'") from error
    files = _files(kubeconfig)
    found = SimpleNamespace(api_key={})
    # The loader unpacks certificates into files, and of credentials that a plugin does not give it says no more
    # than a line in the log.
    with tempfile.TemporaryDirectory() as directory, _overheard() as complaints:
        try:
            load_kube_config(  # type: ignore[no-untyped-call] # untyped in the package
                config_file=os.pathsep.join(map(str, files)),
                context=context or _current_context(files),
                client_configuration=found,
                persist_config=False,
                temp_file_path=directory,
            )
            server = _api_server(found)
            if complaints and server.token is None and server.client_certificate is None:
                raise ResolveError(f"its user has no credentials: {complaints[-1]}")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - the loader raises whatever an odd file leads it to
            raise ResolveError(f"{kubeconfig}: {_explain(error)}") from None
    return _checked(server, where=kubeconfig)


class _Complaints(logging.Handler):
    """Gathers what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Give the errors that are logged within, to the root as the loader does it."""
    complaints = _Complaints()
    root = logging.getLogger()
    root.addHandler(complaints)
    try:
        yield complaints.texts
    finally:
        root.removeHandler(complaints)


def _files(kubeconfig: str) -> list[Path]:
    """Return the files that are there; as with kubectl, some of several may be missing."""
    files = [Path(part).expanduser() for part in kubeconfig.split(os.pathsep) if part]
    found = [file for file in files if file.is_file()]
    if not found:
        raise ResolveError(f"{kubeconfig}: no such kubeconfig file")
    return found


def _current_context(files: Sequence[Path]) -> str | None:
    """Return the first current context that is named, as kubectl does; of several the loader takes the last."""
    for file in files:
        with file.open("rb") as stream:  # of a stream, errors show no lines, which may have tokens in them
            contents = yaml.safe_load(stream)
        if isinstance(contents, dict) and contents.get("current-context"):
            return str(contents["current-context"])
    return None


def _explain(error: Exception) -> str:
    """Return what the loader says, without the entries of the file that it repeats: there are tokens in them."""
    return re.sub(r"\{.*\}", "…", str(error), flags=re.DOTALL) or type(error).__name__


def _api_server(found: SimpleNamespace) -> ApiServer:
    if not getattr(found, "host", None):
        raise ResolveError("its context names no server")
    if getattr(found, "proxy", None):
        raise ResolveError("proxy-url is not supported; name a server that can be reached without a proxy")
    bearer = found.api_key.get("BearerToken") or found.api_key.get("authorization") or ""
    if bearer.startswith("Basic "):
        raise ResolveError(
            "its user has a username and a password, which Kubernetes takes no longer; give a token"
        )
    return ApiServer(
        url=found.host,
        ca=_contents(found, "ssl_ca_cert"),
        token=bearer_token(bearer.removeprefix("Bearer ")) or None,
        client_certificate=_contents(found, "cert_file"),
        client_key=_contents(found, "key_file"),
        verify=getattr(found, "verify_ssl", True),
        server_name=getattr(found, "tls_server_name", None),
    )


def _contents(found: SimpleNamespace, name: str) -> str | None:
    file = getattr(found, name, None)
    return _pem(Path(file)) if file else None


def _pem(file: Path) -> str:
    """Return a PEM file without what is not ASCII: comments may be in any language, OpenSSL knows this one."""
    return file.read_bytes().decode("ascii", errors="ignore")


def _checked(server: ApiServer, *, where: str) -> ApiServer:
    """Return `server` if a connection to it can at least be tried."""
    if not _is_address(server.url):
        found = re.sub(r".*@", "…@", server.url, flags=re.DOTALL)  # without a password, if there is one
        raise ResolveError(f"{where}: the server should be like https://10.0.0.1:6443, not {found!r}")
    try:
        tls_context(server)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
        raise ResolveError(f"{where}: the CA or the client certificate and key cannot be used: {reason}") from None
    return server


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and "@" not in parts.netloc
            and bool(parts.hostname)
            and parts.port != 0
        )
    except ValueError:  # the port is no number, or the brackets are not closed
        return False


def main(arguments: Sequence[str]) -> None:
    """Print the way to the API server, with all its secrets, for a process that reads this one's output."""
    kubeconfig, *context = arguments
    try:
        sys.stdout.write(json.dumps(asdict(from_kubeconfig(kubeconfig, *context))))
    except ResolveError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
