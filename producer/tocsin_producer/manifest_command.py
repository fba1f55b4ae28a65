"""`tocsin-producer manifest`: one file that installs a producer in its cluster."""

import os
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, get_args

import click

from tocsin_producer.installation import Placement, install, read_configuration
from tocsin_producer.manifest import NAMESPACE, State, dump, objects
from tocsin_schemas import __version__
from tocsin_schemas.configuration import ConfigurationError

IMAGE: Final = f"tocsin/tocsin-producer:{__version__}"
#: Other Pods make room for it, and it for none of them. Every namespace may use it, unless a quota says otherwise.
PRIORITY_CLASS: Final = "system-cluster-critical"
_UNUSABLE: Final = 2
#: Options that stand for keys of the configuration.
_KEYS: Final = {
    "cluster": ("cluster",),
    "broker": ("broker", "url"),
    "username": ("broker", "username"),
    "password_file": ("broker", "password_file"),
    "ca_file": ("broker", "ca_file"),
    "cert_file": ("broker", "cert_file"),
    "key_file": ("broker", "key_file"),
}
#: What Kubernetes takes for a namespace (RFC 1123), for the name of another object, and for an image.
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_IMAGE: Final = re.compile(r"[a-z0-9][\w.:/@-]*", re.ASCII)


def _name(what: str, form: re.Pattern[str], *, may_be_empty: bool = False) -> Callable[..., str | None]:
    """Return a callback of an option whose value has to be the name of `what`."""

    def check(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is None or form.fullmatch(value) or (may_be_empty and not value):
            return value
        raise click.BadParameter(f"{value!r} is not the name of {what}")

    return check


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file, for what has no option.")
@click.option("--cluster", help="Name of the cluster, and of its account at the broker.")
@click.option("--broker", metavar="URL", help="Such as mqtts://broker.example.com:8883.")
@click.option("--username", help="Account at the broker; default: the cluster's name.")
@click.option("--password-file", help="File with the password, on this computer.")
@click.option("--ca-file", help="CA certificates to trust, on this computer.")
@click.option("--cert-file", help="Client certificate, on this computer.")
@click.option("--key-file", help="Its private key, on this computer.")
@click.option(
    "--existing-secret",
    callback=_name("a Secret", _SUBDOMAIN),
    help="A Secret in the namespace with the key password (and tls.crt and tls.key), instead of one in the file.",
)
@click.option(
    "--namespace",
    callback=_name("a namespace", _LABEL),
    default=NAMESPACE,
    show_default=True,
    help="Any other than ours has to be there already.",
)
@click.option("--image", callback=_name("an image", _IMAGE), default=IMAGE, show_default=True)
@click.option(
    "--state",
    type=click.Choice(get_args(State)),
    default="claim",
    show_default=True,
    help="Keep what waits for the link in a volume of the default storage class, or only as long as the Pod.",
)
@click.option(
    "--priority-class",
    callback=_name("a priority class", _SUBDOMAIN, may_be_empty=True),
    default=PRIORITY_CLASS,
    show_default=True,
    help='Of the Pod; "" for none.',
)
@click.option("--output", type=click.Path(path_type=Path), help="Write here, for its owner only; default: print.")
def manifest(
    *,
    config: Path | None,
    existing_secret: str | None,
    namespace: str,
    image: str,
    state: State,
    priority_class: str,
    output: Path | None,
    **options: str | None,
) -> None:
    """Write one file that installs a producer: for the manifests directory of K3s, or for kubectl apply.

    The configuration and the files it names are checked and put into it, the password as a Secret.
    """
    if existing_secret and options["password_file"]:
        raise click.UsageError("--existing-secret and --password-file exclude each other")
    given = {_KEYS[name]: (value, _option(name)) for name, value in options.items() if value is not None}
    placement = Placement(namespace, image, state, priority_class or None, existing_secret)
    try:
        document = read_configuration(config, environment=os.environ, options=given)
        installation = install(document, placement)
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        sys.exit(_UNUSABLE)
    text = _heading(with_secret=bool(installation.secrets)) + dump(objects(installation))
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)
    if installation.secret_name is None:
        click.echo("no password and no client certificate: the broker has to take the producer without", err=True)


def _option(name: str) -> str:
    return "option --" + name.replace("_", "-")


def _heading(*, with_secret: bool) -> str:
    secret = "# It holds a password or a private key: let only root read it.\n" if with_secret else ""
    return f"# Written by tocsin-producer manifest {__version__}; to change it, write it anew.\n{secret}"


def _write(path: Path, text: str) -> None:
    """Write a file at once: K3s may look at any time, and passes over names that begin with a dot."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as file:
            temporary = Path(file.name)
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        click.echo(f"{path} cannot be written: {error.strerror}", err=True)
        sys.exit(_UNUSABLE)
