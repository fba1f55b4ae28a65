"""The command `tocsin-consumer route`: where an event would go, and why."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from tocsin_consumer.clock import utc_now
from tocsin_consumer.command import config_option, load, read_event
from tocsin_consumer.errors import StoreError
from tocsin_consumer.explain import explain
from tocsin_consumer.explain_text import explanation_lines, explanation_object
from tocsin_consumer.inert import one_line
from tocsin_consumer.match import match_texts
from tocsin_consumer.route import Route
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.silence import Silence, Silenced, Silences
from tocsin_consumer.silence_text import held_line


@click.command("route")
@config_option
@click.argument("event", metavar="EVENT")
@click.option("--cluster", help="The cluster that it is from, such as that of a Kubernetes Event.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def route_(config: Path, event: str, *, cluster: str | None, as_json: bool) -> None:
    """Explain step by step where EVENT would go, and why.

    EVENT is a file with a payload or a Kubernetes Event, or a built-in sample. Nothing is sent. Where so many come
    that they are told in a digest is no question of routes, and left out.
    """
    settings, now = load(config), utc_now()
    said = read_event(event, cluster).event
    found = explain(Route(settings.route, single=settings.single), said, settings.inhibit)
    stored, unknown = _stored_silences(settings, now)
    silences = Silences(stored, settings.recurring_silences)
    held = [] if found.is_digest else silences.holding(match_texts(said), now)
    if as_json:
        silenced = {"silenced_by": [str(one) for one in held], "silences_unknown": unknown}
        click.echo(json.dumps(explanation_object(found) | silenced))
        return
    for line in explanation_lines(found):
        click.echo(line)
    if found.is_digest:
        return
    for one in held:
        click.echo(f"silenced    {held_line(one, settings.time_zone)}")
    click.echo(f"silences    {_silences(held, unknown)}")


def _stored_silences(settings: ConsumerSettings, now: datetime) -> tuple[list[Silence], str | None]:
    """Return the silences that people have added, or else why they are not known here."""
    from tocsin_consumer.store import Store  # noqa: PLC0415 - the database is for few commands only

    try:
        store = Store(settings.store, beside=True)
        try:
            return store.silences(now), None
        finally:
            store.close()
    except StoreError as error:
        return [], one_line(str(error))


def _silences(held: Sequence[Silenced], unknown: str | None) -> str:
    holds = "held now as it says above" if held else "none holds it now"
    return f"{holds}; those that people have added are not known here: {unknown}" if unknown else holds
