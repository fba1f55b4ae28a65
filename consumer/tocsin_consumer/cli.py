"""The command `tocsin-consumer`."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click
from pydantic import TypeAdapter, ValidationError

from tocsin_consumer.check import build_receivers, load_checked
from tocsin_consumer.check_command import check
from tocsin_consumer.command import (
    FAILED,
    UNUSABLE,
    chosen_receivers,
    complain,
    config_option,
    consumer_errors,
    give_up,
    load,
    read_event,
)
from tocsin_consumer.dead_command import dead
from tocsin_consumer.errors import DeliveryError
from tocsin_consumer.incidents_command import incidents
from tocsin_consumer.preview import preview_html, preview_text
from tocsin_consumer.replay_command import replay
from tocsin_consumer.route_command import route_
from tocsin_consumer.samples import samples
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.signals import event_of
from tocsin_consumer.silence_command import silence
from tocsin_consumer.start import become_consumer
from tocsin_consumer.tail import Tail, follow, show_json, show_text
from tocsin_schemas import __version__, logs, topics
from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.configuration import Document, TopicRoot, explain

#: What `preview` and `send-test` show when nothing else is asked for.
_SAMPLE: Final = "back-off"

_event = click.option(
    "--event",
    "event_name",
    metavar="FILE|SAMPLE",
    default=_SAMPLE,
    show_default=True,
    help=f"A file with a payload or a Kubernetes Event, or a built-in sample: {', '.join(samples())}.",
)


def _topic_root(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else TypeAdapter(TopicRoot).validate_python(value)
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tocsin-consumer")
def main() -> None:
    """Take the warnings of Kubernetes clusters from MQTT to where people look."""


main.add_command(check)
main.add_command(dead)
main.add_command(incidents)
main.add_command(replay)
main.add_command(route_)
main.add_command(silence)


@main.command()
@config_option
def run(config: Path) -> None:
    """Receive, route and deliver until told to stop; SIGHUP, or a change of the file, loads it anew."""
    become_consumer(config)


@main.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per step.")
def doctor(config: Path, *, as_json: bool) -> None:
    """Check each thing that a consumer needs, and tell what to do where one is missing.

    It may run beside a consumer that is at work, and sends nobody anything.
    """
    from tocsin_consumer.doctor import examine  # noqa: PLC0415 - what it needs is for this command only
    from tocsin_schemas.checkup import perform  # noqa: PLC0415 - as above

    code = perform(
        lambda: load_checked(config, os.environ)[0],
        examine,
        name=str(config),
        command="tocsin-consumer",
        as_json=as_json,
        echo=click.echo,
    )
    sys.exit(code)


@main.command()
@config_option
@_event
@click.option("--receiver", "name", help="Only this receiver.")
@click.option("--html", type=click.Path(path_type=Path), help="Draw the Feishu card into this file instead.")
def preview(config: Path, event_name: str, name: str | None, html: Path | None) -> None:
    """Show what receivers would be sent, without sending it."""
    settings = load(config)
    chosen = chosen_receivers(settings, name)
    built = build_receivers(settings)
    notification = read_event(event_name, option=None)
    with consumer_errors():
        if html is not None:
            _write(html, preview_html(built[_first_feishu(settings, chosen)], notification))
            return
        for receiver in chosen:
            for line in preview_text(built[receiver], notification):
                click.echo(line)


@main.command("send-test")
@config_option
@_event
@click.argument("receiver")
def send_test(config: Path, event_name: str, receiver: str) -> None:
    """Send one event to RECEIVER, and tell what the service answers."""
    settings = load(config)
    [name] = chosen_receivers(settings, receiver)
    chosen = build_receivers(settings)[name]
    notification = read_event(event_name, option=None)
    try:
        with consumer_errors():
            rendering = chosen.render(notification)
        answer = chosen.deliver(rendering)
    except DeliveryError as error:
        give_up(f"{receiver}: not delivered: {error}", FAILED)
    finally:
        chosen.close()
    click.echo(f"{receiver}: {answer}")


@main.command()
@config_option
@click.option("--cluster", default="+", help="Only this cluster.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as on the wire.")
@click.option("--broker", "url", metavar="URL", help="A broker, instead of a configuration file.")
@click.option("--username", help="Account at that broker.")
@click.option("--password-file", help="File with its password.")
@click.option("--ca-file", help="CA certificates to trust.")
@click.option("--topic-root", callback=_topic_root, help=f"Topics' root there; default: {topics.DEFAULT_ROOT}.")
def tail(config: Path, cluster: str, *, as_json: bool, url: str | None, **there: Any) -> None:
    """Show live events from the broker; nothing is taken away from running consumers."""
    if cluster != "+" and not topics.CLUSTER_PATTERN.fullmatch(cluster):
        raise click.BadParameter("expected the name of a cluster", param_hint="--cluster")
    if url is None:
        _refuse_without_broker(there)
        settings = load(config)
        broker, root = settings.broker, settings.topic_root
        show = show_text(settings.time_zone, settings.language)
    else:
        root = there.pop("topic_root") or topics.DEFAULT_ROOT
        broker = _broker(url, there)
        show = show_text(ZoneInfo("UTC"), "en")
    logs.configure("info", "text")
    stop = event_of(signal.SIGTERM, signal.SIGINT)
    handler = Tail(root, cluster, show=show_json if as_json else show, echo=_echo(stop), complain=complain)
    follow(broker.connection(client_id=""), handler, stop)


def _refuse_without_broker(there: Mapping[str, str | None]) -> None:
    """Refuse options that would do nothing."""
    for name, value in there.items():
        if value is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --broker; without it the file says all")


def _broker(url: str, account: Mapping[str, str | None]) -> BrokerSettings:
    """Return the broker that options describe."""
    values = {"url": url} | {key: value for key, value in account.items() if value is not None}
    try:
        return BrokerSettings.model_validate(values)
    except ValidationError as error:
        document = Document("command line", values, {})
        give_up("\n".join(map(str, explain(error, BrokerSettings, document, {}))), UNUSABLE)


def _first_feishu(settings: ConsumerSettings, names: Sequence[str]) -> str:
    for receiver in settings.receivers:
        if receiver.name in names and receiver.kind == "feishu":
            return receiver.name
    raise click.UsageError("--html draws the cards of feishu receivers, and none is chosen")


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        give_up(f"{path} cannot be written: {error.strerror}", FAILED)


def _echo(stop: threading.Event) -> Callable[[str], None]:
    """Return what prints a line, and stops the command when nobody reads on."""

    def echo(line: str) -> None:
        try:
            click.echo(line)
        except BrokenPipeError:
            # What is left in Python's buffer has to go somewhere at exit (docs.python.org, "SIGPIPE").
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            stop.set()

    return echo
