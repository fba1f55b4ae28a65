"""The command `tocsin-producer`: checks and resolves everything, then becomes the agent."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from tocsin_producer.errors import ResolveError
from tocsin_producer.filter import field_selectors
from tocsin_producer.plan import ApiServer, Plan, Replay
from tocsin_producer.resolve import resolve
from tocsin_producer.settings import ProducerSettings, load_settings
from tocsin_schemas import __version__
from tocsin_schemas.configuration import ConfigurationError

DEFAULT_CONFIG: Final = "/etc/tocsin/producer.yaml"
_UNUSABLE: Final = 2

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    envvar="TOCSIN_CONFIG",
    help="Configuration file.",
)
_kubeconfig = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar="KUBECONFIG",
    help="Reach the API server with this file; default: as the Pod that this is.",
)
_context = click.option("--context", help="Context of the kubeconfig; default: its current one.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tocsin-producer")
def main() -> None:
    """Publish the warnings of a Kubernetes cluster over MQTT."""


@main.command()
@_config
@_kubeconfig
@_context
@click.option("--replay", type=click.Path(path_type=Path), help="Publish a recorded watch instead, then end.")
@click.option("--speed", type=click.FloatRange(min=0), default=1.0, help="Pace of --replay; 0 is no pause at all.")
def run(config: Path, kubeconfig: Path | None, context: str | None, replay: Path | None, speed: float) -> None:
    """Watch Events and publish them until told to stop."""
    settings = _load(config)
    source = _recording(replay, speed) if replay else _resolve(kubeconfig, context)
    _become_agent(make_plan(settings, source))


@main.command()
@_config
@_kubeconfig
@_context
def check(config: Path, kubeconfig: Path | None, context: str | None) -> None:
    """Check the configuration, the secrets' files and the way to the API server, without connecting."""
    settings = _load(config)
    click.echo(f"cluster     {settings.cluster}")
    click.echo(f"broker      {settings.broker.url} as {settings.broker.username or settings.cluster}")
    click.echo(f"outbox      {settings.outbox.path or 'in memory'}")
    click.echo(f"probes      {settings.http.listen or 'none'}")
    for selector in field_selectors([rule.rule() for rule in settings.events.include]):
        click.echo(f"watch       {selector or 'all Events'}")
    click.echo(f"{config} is fine")
    click.echo(f"API server  {_resolve(kubeconfig, context).url}")


def make_plan(settings: ProducerSettings, source: ApiServer | Replay) -> Plan:
    """Return what the agent needs of `settings`."""
    cluster = settings.cluster
    return Plan(
        cluster=cluster,
        topic_root=settings.topic_root,
        broker=settings.broker.connection(client_id=f"tocsin-producer-{cluster}", username=cluster),
        source=source,
        include=[rule.rule() for rule in settings.events.include],
        exclude=[rule.rule() for rule in settings.events.exclude],
        outbox_path=str(settings.outbox.path) if settings.outbox.path else None,
        outbox_max_messages=settings.outbox.max_messages,
        outbox_max_bytes=settings.outbox.max_bytes,
        message_limit=settings.message_limit,
        http_listen=settings.http.listen,
        log_level=settings.log.level,
        log_format=settings.log.format,
        command=[sys.executable, "-m", "tocsin_producer", *sys.argv[1:]],
    )


def _become_agent(plan: Plan) -> None:
    """Replace this process, which has grown by all that checking needs, with the small one that stays."""
    descriptor = plan.pass_on()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tocsin_producer.agent", str(descriptor)])  # noqa: S606 - our own module


def _load(config: Path) -> ProducerSettings:
    try:
        return load_settings(config, os.environ)
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        sys.exit(_UNUSABLE)


def _resolve(kubeconfig: Path | None, context: str | None) -> ApiServer:
    try:
        return resolve(os.environ, kubeconfig=kubeconfig, context=context)
    except ResolveError as error:
        click.echo(str(error), err=True)
        sys.exit(_UNUSABLE)


def _recording(path: Path, speed: float) -> Replay:
    if not path.is_file():
        click.echo(f"{path}: no such recording", err=True)
        sys.exit(_UNUSABLE)
    return Replay(str(path), speed)
