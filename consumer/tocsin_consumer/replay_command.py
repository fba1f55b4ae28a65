"""The command `tocsin-consumer replay`: what receivers would have been told of what is recorded."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from tocsin_consumer.as_published import as_published
from tocsin_consumer.command import (
    FAILED,
    chosen_receivers,
    cluster_of,
    complain,
    config_option,
    consumer_errors,
    duration_of,
    give_up,
    load,
)
from tocsin_consumer.preview import rendering_lines
from tocsin_consumer.recording import Recorded, read_recording
from tocsin_consumer.replay import Message, Replay
from tocsin_consumer.replay_text import (
    message_line,
    message_object,
    recording_lines,
    summary_lines,
    summary_object,
)
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.tally import Tally
from tocsin_schemas.event import EventPayload


@click.command()
@config_option
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--receiver", help="Only what this receiver would have been sent.")
@click.option("--show", is_flag=True, help="Each message as a whole.")
@click.option("--summary", "only_summary", is_flag=True, help="No messages, only how many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per message, and one with the summary.")
@click.option("--cluster", help="The cluster that Events of Kubernetes are from.")
@click.option("--all", "everything", is_flag=True, help="Also what producers leave out by default.")
@click.option(
    "--run-on",
    "run_on",
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="How long time goes on after the end.",
)
def replay(
    config: Path,
    recording: Path,
    *,
    receiver: str | None,
    show: bool,
    only_summary: bool,
    as_json: bool,
    cluster: str | None,
    everything: bool,
    run_on: str,
) -> None:
    """Tell what receivers would have been sent of RECORDING, without sending it.

    RECORDING has a line per message, compressed or not: what `tail --json`, the `file` receiver or `mosquitto_sub`
    write, or Events of Kubernetes as a watch tells them; of those, what a producer would publish is taken.
    """
    settings = load(config)
    names = chosen_receivers(settings, receiver)
    length = duration_of(run_on, "--run-on")
    with consumer_errors():
        read = read_recording(recording, cluster=cluster_of(cluster))
    recorded = list(as_published(read.recorded, filtered=not everything))
    for line in recording_lines(read, len(recorded)):
        complain(line)
    if not recorded:
        give_up(f"{recording} holds nothing that a consumer would be sent", FAILED)
    tally = Tally(receiver.name for receiver in settings.receivers)
    with _quiet(), closing(Replay(settings, recorded, run_on=length)) as played:
        for message in played.run():
            tally.add(message)
            if not only_summary and message.receiver in names:
                _tell(message, settings, as_json=as_json, show=show, width=max(map(len, names)))
        outcome = played.outcome()
    tally.settle(outcome, _events(recorded))
    if as_json:
        click.echo(json.dumps({"summary": summary_object(tally, outcome, read, names=names)}))
        return
    if not only_summary:
        click.echo()
    span = recorded[0].at, recorded[-1].at
    for line in summary_lines(tally, outcome, span, settings.time_zone, names=names):
        click.echo(line)


def _tell(message: Message, settings: ConsumerSettings, *, as_json: bool, show: bool, width: int) -> None:
    if as_json:
        click.echo(json.dumps(message_object(message, settings.time_zone, settings.language, show=show)))
        return
    click.echo(message_line(message, settings.time_zone, settings.language, width=width))
    if show:
        for line in rendering_lines(message.rendering):
            click.echo(line)


def _events(recorded: list[Recorded]) -> Iterator[EventPayload]:
    return (one.said for one in recorded if isinstance(one.said, EventPayload))


@contextmanager
def _quiet() -> Iterator[None]:
    """Let nothing be logged as if it happened now; what it would say is in the summary."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)
