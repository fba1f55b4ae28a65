"""The command `tocsin-consumer check`: whether a configuration is fine, and whether all of it is of use."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tocsin_consumer.as_published import as_published
from tocsin_consumer.check import load_checked, summary
from tocsin_consumer.command import (
    FAILED,
    cluster_of,
    complain,
    config_option,
    configuration_errors,
    consumer_errors,
    give_up,
)
from tocsin_consumer.inert import one_line
from tocsin_consumer.match import Texts, match_texts
from tocsin_consumer.recording import read_recording
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.strict import Finding, findings
from tocsin_consumer.strict_recording import recorded_findings
from tocsin_schemas.event import EventPayload


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Exit with 1 if something in it does nothing, or everything.")
@click.option(
    "--recording",
    type=click.Path(path_type=Path),
    help="With --strict: find also what holds for nothing, or for everything, in this recording (as for replay).",
)
@click.option("--cluster", help="The cluster that Events of Kubernetes in the recording are from.")
def check(config: Path, *, strict: bool, recording: Path | None, cluster: str | None) -> None:
    """Check the configuration and render every sample, without connecting."""
    if not strict and recording is not None:
        raise click.UsageError("--recording goes with --strict")
    if recording is None and cluster is not None:
        raise click.UsageError("--cluster goes with --recording")
    with configuration_errors():
        settings, document = load_checked(config, os.environ)
    for line in summary(settings):
        click.echo(line)
    found = list(_findings(settings, recording, cluster_of(cluster))) if strict else []
    for finding in found:
        complain(one_line(str(document.problem(finding.location, finding.text))))
    if found:
        sys.exit(FAILED)
    click.echo(f"{config} is fine")


def _findings(settings: ConsumerSettings, recording: Path | None, cluster: str | None) -> Iterator[Finding]:
    yield from findings(settings)
    if recording is not None:
        yield from recorded_findings(settings, _recorded(recording, cluster))


def _recorded(path: Path, cluster: str | None) -> list[Texts]:
    """Return the events that a consumer is sent, in the words of a match."""
    with consumer_errors():
        read = read_recording(path, cluster=cluster)
    recorded = [match_texts(one.said) for one in as_published(read.recorded) if isinstance(one.said, EventPayload)]
    if read.bad:
        complain(f"{path}: {len(read.bad)} lines are not understood; the first: {one_line(str(read.bad[0]))}")
    if not recorded:
        give_up(f"{path} holds no event that a consumer would be sent", FAILED)
    return recorded
