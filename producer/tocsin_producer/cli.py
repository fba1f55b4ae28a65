"""The command `tocsin-producer`: checks and resolves everything, then becomes the agent."""

import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click

from tocsin_producer.errors import ResolveError
from tocsin_producer.filter import field_selectors
from tocsin_producer.manifest_command import manifest
from tocsin_producer.plan import ApiServer, Plan, Replay
from tocsin_producer.resolve import resolve
from tocsin_producer.settings import ProducerSettings, load_settings
from tocsin_schemas import __version__
from tocsin_schemas.configuration import ConfigurationError, Document

DEFAULT_CONFIG: Final = "/etc/tocsin/producer.yaml"
_UNUSABLE: Final = 2
#: glibc keeps what each thread frees for that thread; the agent's few threads can share.
_SMALL: Final = {"MALLOC_ARENA_MAX": "1", "MALLOC_TOP_PAD_": "0", "MALLOC_TRIM_THRESHOLD_": "65536"}

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
    envvar="KUBECONFIG",
    help="Reach the API server with this file, or several with colons between them; default: as this Pod.",
)
_context = click.option("--context", help="Context of the kubeconfig; default: its current one.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tocsin-producer")
def main() -> None:
    """Publish the warnings of a Kubernetes cluster over MQTT."""


main.add_command(manifest)


@main.command()
@_config
@_kubeconfig
@_context
@click.option("--replay", type=click.Path(path_type=Path), help="Publish a recorded watch instead, then end.")
@click.option("--speed", type=click.FloatRange(min=0), default=1.0, help="Pace of --replay; 0 is no pause at all.")
def run(config: Path, kubeconfig: str | None, context: str | None, replay: Path | None, speed: float) -> None:
    """Watch Events and publish them until told to stop."""
    settings, _ = _load(config)
    source = _recording(replay, speed) if replay else _resolve(kubeconfig, context)
    _become_agent(make_plan(settings, source, resolve_command=_resolve_command(kubeconfig, context)))


@main.command()
@_config
@_kubeconfig
@_context
def check(config: Path, kubeconfig: str | None, context: str | None) -> None:
    """Check the configuration, the files it names and the way to the API server, without connecting."""
    settings, document = _load(config)
    _check_outbox(settings.outbox.path, document)
    click.echo(f"cluster     {settings.cluster}")
    click.echo(f"broker      {settings.broker.url} as {settings.broker.username or settings.cluster}")
    click.echo(f"outbox      {settings.outbox.path or 'in memory'}")
    click.echo(f"probes      {settings.http.listen or 'none'}")
    for selector in field_selectors([rule.rule() for rule in settings.events.include]):
        click.echo(f"watch       {selector or 'all Events'}")
    for rule in settings.events.exclude:
        click.echo(f"leaves out  {rule.described()}")
    click.echo(f"folds       {_folding(settings)}")
    click.echo(f"budget      {_budget(settings)}")
    click.echo(f"{config} is fine")
    click.echo(f"API server  {_resolve(kubeconfig, context).url}")


@main.command()
@_config
@_kubeconfig
@_context
@click.option("--json", "as_json", is_flag=True, help="One JSON object per step.")
def doctor(config: Path, kubeconfig: str | None, context: str | None, *, as_json: bool) -> None:
    """Check each thing that a producer needs, and tell what to do where one is missing.

    It may run beside a producer that is at work.
    """
    from tocsin_producer.doctor import examine  # noqa: PLC0415 - what it needs is for this command only
    from tocsin_schemas.checkup import perform  # noqa: PLC0415 - as above

    wherefrom = kubeconfig or "the Pod's service account"
    find = partial(resolve, os.environ, kubeconfig=kubeconfig, context=context)
    code = perform(
        lambda: load_settings(config, os.environ)[0],
        lambda checkup, settings: examine(checkup, settings, find, wherefrom),
        name=str(config),
        command="tocsin-producer",
        as_json=as_json,
        echo=click.echo,
    )
    sys.exit(code)


def _folding(settings: ProducerSettings) -> str:
    interval = settings.fold.interval
    return f"repeats, for {interval} at most" if interval else "nothing: every occurrence is published"


def _budget(settings: ProducerSettings) -> str:
    budget = settings.budget
    return f"{budget.per_day} bytes a day from {budget.reset_at}" if budget.per_day else "none"


def make_plan(
    settings: ProducerSettings,
    source: ApiServer | Replay,
    *,
    resolve_command: Sequence[str] = (),
) -> Plan:
    """Return what the agent needs of `settings`.

    A replay keeps its state in memory: what a recording tells is nothing that this cluster's producer has told.
    """
    path = None if isinstance(source, Replay) else settings.outbox.path
    cluster = settings.cluster
    return Plan(
        cluster=cluster,
        topic_root=settings.topic_root,
        broker=settings.connection,
        source=source,
        include=[rule.rule() for rule in settings.events.include],
        exclude=[rule.rule() for rule in settings.events.exclude],
        fold_seconds=settings.fold.interval.total_seconds(),
        budget_bytes_per_day=settings.budget.per_day,
        budget_reset_seconds=settings.budget.reset_seconds,
        outbox_path=str(path) if path else None,
        outbox_max_messages=settings.outbox.max_messages,
        outbox_max_bytes=settings.outbox.max_bytes,
        message_limit=settings.message_limit,
        http_listen=settings.http.listen,
        log_level=settings.log.level,
        log_format=settings.log.format,
        resolve_command=list(resolve_command),
    )


def _resolve_command(kubeconfig: str | None, context: str | None) -> list[str]:
    """Return what prints the credentials of a kubeconfig anew; those of a Pod are in a file that is read anew."""
    if kubeconfig is None:
        return []
    arguments = [kubeconfig, context] if context else [kubeconfig]
    return [sys.executable, "-P", "-m", "tocsin_producer.resolve", *arguments]


def _become_agent(plan: Plan) -> None:
    """Replace this process, which has grown by all that checking needs, with the small one that stays."""
    descriptor = plan.pass_on()
    sys.stdout.flush()
    command = [sys.executable, "-P", "-m", "tocsin_producer.start", str(descriptor)]
    os.execve(sys.executable, command, _SMALL | os.environ)  # noqa: S606 - our own module


def _load(config: Path) -> tuple[ProducerSettings, Document]:
    try:
        return load_settings(config, os.environ)
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        sys.exit(_UNUSABLE)


def _check_outbox(path: Path | None, document: Document) -> None:
    """Find out whether a state file can be written, without making one: a producer may be at work with it."""
    if path is None:
        return
    try:
        if path.exists():
            with path.open("r+b"):
                return
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        problem = document.problem(("outbox", "path"), f"{path} cannot be written: {error.strerror}")
        click.echo(str(problem), err=True)
        sys.exit(_UNUSABLE)


def _resolve(kubeconfig: str | None, context: str | None) -> ApiServer:
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
