"""The commands `tocsin-consumer incidents …`: what goes on, and who was told of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tocsin_consumer.clock import utc_now
from tocsin_consumer.command import (
    FAILED,
    Number,
    cluster_of,
    complain,
    config_option,
    duration_of,
    give_up,
    load,
    open_store,
)
from tocsin_consumer.incident_object import detail_object, incident_object
from tocsin_consumer.incident_text import detail_lines, incident_line, some
from tocsin_consumer.route import Route

if TYPE_CHECKING:
    from tocsin_consumer.settings import ConsumerSettings

_ID = Number("an incident, such as 17, as `incidents list` shows it")


@click.group()
def incidents() -> None:
    """Look at what goes on, and at who was told of it."""


@incidents.command("list")
@config_option
@click.option("--closed", is_flag=True, help="Also those that are closed, as long as they are kept.")
@click.option("--since", metavar="DURATION", help="Only those that something was heard of since, such as 2d.")
@click.option("--cluster", help="Only those with something of this cluster.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(config: Path, *, closed: bool, since: str | None, cluster: str | None, as_json: bool) -> None:
    """List incidents, oldest first."""
    settings, now, cluster = load(config), utc_now(), cluster_of(cluster)
    heard_since = now - duration_of(since, "--since") if since else None
    with open_store(settings) as store:
        found = store.accounts(closed=closed, since=heard_since, cluster=cluster)
        clusters = store.troubled_clusters() if not found else []
    for account in found:
        click.echo(json.dumps(incident_object(account)) if as_json else incident_line(account, settings.time_zone))
    if not found:
        complain(_none(cluster, clusters, since=since, closed=closed))


@incidents.command()
@config_option
@click.argument("id_", metavar="ID", type=_ID)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(config: Path, id_: int, *, as_json: bool) -> None:
    """Show an incident with its lines, its receivers and the history of its deliveries."""
    settings, now = load(config), utc_now()
    with open_store(settings) as store:
        account = store.account(id_)
    if account is None:
        give_up(f"no incident has the id {id_}, or it is no longer kept", FAILED)
    route = _route_name(settings, account.incident.route)
    if as_json:
        click.echo(json.dumps(detail_object(account, route=route)))
        return
    for line in detail_lines(account, route=route, now=now, time_zone=settings.time_zone):
        click.echo(line)


def _none(cluster: str | None, clusters: Sequence[str], *, since: str | None, closed: bool) -> str:
    """Say why nothing is listed; `clusters` are those that any incident is of."""
    if cluster is not None and cluster not in clusters:
        known = f"those that are kept are of {some(clusters)}" if clusters else "none is kept"
        return f"no incident is of a cluster {cluster}; {known}"
    there_are = "there are none" if since is None else f"nothing was heard of any for {since}"
    return there_are if closed or not clusters else f"{there_are}; --closed shows those that are closed"


def _route_name(settings: "ConsumerSettings", key: str) -> str | None:
    """Return the name of the node that an incident belongs to, if there still is one."""
    node = Route(settings.route).by_key().get(key)
    return node.name if node else None
