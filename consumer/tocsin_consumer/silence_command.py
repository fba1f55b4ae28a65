"""The commands `tocsin-consumer silence …`: what is not to be told for a while."""

import getpass
import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import click
from pydantic import ValidationError

from tocsin_consumer import silence_text
from tocsin_consumer.clock import utc_now
from tocsin_consumer.command import (
    FAILED,
    complain,
    config_option,
    duration_of,
    load,
    open_store,
    read_event,
)
from tocsin_consumer.errors import StoreError
from tocsin_consumer.explain_text import DIGEST
from tocsin_consumer.match import MatchSettings, match_of, match_texts, match_words
from tocsin_consumer.notice import is_digest
from tocsin_consumer.silence import Silence, Silences, Wish
from tocsin_consumer.silence_text import time_text, until_text
from tocsin_consumer.window import Recurrence
from tocsin_schemas.event import EventPayload

if TYPE_CHECKING:
    from tocsin_consumer.store import Store

#: Exit code of `check` for an event that is not told; 1 and 2 are those of what went wrong.
SILENCED: Final = 3
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime.fromtimestamp(0, tz=ZoneInfo("UTC"))


def _user() -> str:
    """Return who asks: behind sudo, the person."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # the system knows no name of theirs
        return f"uid {os.getuid()}"


@click.group()
def silence() -> None:
    """Keep events from being told for a while."""


@silence.command()
@config_option
@click.option(
    "--match", "matches", metavar="FIELD=PATTERN", multiple=True, help="Hold these; several have to hold."
)
@click.option("--all", "everything", is_flag=True, help="Hold everything.")
@click.option("--start", metavar="TIME", help="When it begins; default: now.")
@click.option("--until", metavar="TIME", help="When it ends, such as 2026-11-27T06:00.")
@click.option("--for", "length", metavar="DURATION", help="How long it lasts, such as 2h.")
@click.option("--author", default=_user, show_default="who you are", help="Whom to ask about it.")
@click.option("--comment", required=True, help="Why.")
def add(
    config: Path,
    matches: tuple[str, ...],
    *,
    everything: bool,
    start: str | None,
    until: str | None,
    length: str | None,
    author: str,
    comment: str,
) -> None:
    """Add a silence, and print its id.

    A PATTERN is a regular expression for the whole value. A TIME without a zone is in the time zone of the
    configuration; others are written 2026-11-27T06:00+08:00 or '2026-11-27T06:00 Asia/Shanghai'.
    """
    settings, now = load(config), utc_now()
    match = _match(matches, everything=everything)
    author, comment = _said(author, "--author", "whom to ask about it"), _said(comment, "--comment", "why")
    starts_at = _time(start, "--start", settings.time_zone) if start else now
    ends_at = _end(until, length, starts_at, now=now, time_zone=settings.time_zone)
    with open_store(settings) as store:
        held, known = _count(store, match, now)
        added = store.add_silence(Wish(match, max(now, starts_at), ends_at, author, comment), now)
    complain(silence_text.stored_line(added, now, settings.time_zone))
    complain(f"of {known} events of the last day, it would have held {held}")
    click.echo(added.id)


@silence.command("list")
@config_option
@click.option("--expired", is_flag=True, help="Also those that have ended, as long as they are kept.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(config: Path, *, expired: bool, as_json: bool) -> None:
    """List silences, and those of the configuration with their current or next window."""
    settings, now = load(config), utc_now()
    with open_store(settings) as store:
        stored = store.silences(_EPOCH if expired else now)
    recurring = [
        (one, span)
        for one in settings.recurring_silences
        if (span := Recurrence(one.windows, one.time_zone).span(now)) is not None
    ]
    if as_json:
        objects = [silence_text.stored_object(one, now) for one in stored]
        objects += [silence_text.recurring_object(one, span, now) for one, span in recurring]
        lines = [json.dumps(found) for found in objects]
    else:
        lines = [silence_text.stored_line(one, now, settings.time_zone) for one in stored]
        lines += [silence_text.recurring_line(one, span, now, settings.time_zone) for one, span in recurring]
    for line in lines:
        click.echo(line)
    if not lines:
        complain("nothing is silenced")


@silence.command()
@config_option
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def expire(config: Path, ids: tuple[str, ...]) -> None:
    """Let silences end now."""
    settings, now = load(config), utc_now()
    with open_store(settings) as store:
        missed = [id_ for id_ in dict.fromkeys(ids) if not store.expire_silence(id_, now)]
        stored = store.silences(_EPOCH) if missed else []
    for id_ in missed:
        complain(_no_such(id_, stored, now, settings.time_zone))
    sys.exit(FAILED if missed else 0)


@silence.command()
@config_option
@click.argument("event", metavar="EVENT")
@click.option("--at", metavar="TIME", help="When; default: now.")
@click.option("--cluster", help="The cluster that it is from, such as that of a Kubernetes Event.")
def check(config: Path, event: str, at: str | None, cluster: str | None) -> None:
    """Tell what holds EVENT, and until when.

    EVENT is a file with a payload or a Kubernetes Event, or a built-in sample. Exits with 0 if nothing
    holds it, with 3 if something does.
    """
    settings, now = load(config), utc_now()
    moment = _time(at, "--at", settings.time_zone) if at else now
    said = read_event(event, cluster).event
    if is_digest(said):
        click.echo(f"nothing holds it: it goes to {DIGEST}")
        return
    with open_store(settings) as store:
        silences = Silences(store.silences(min(moment, now)), settings.recurring_silences)
    texts = match_texts(said)
    held = silences.silenced_by(texts, moment)
    if held is None:
        click.echo("nothing holds it")
        return
    for one in silences.holding(texts, moment):
        click.echo(silence_text.held_line(one, settings.time_zone))
    click.echo(f"it is held {until_text(held.until, settings.time_zone)}")
    sys.exit(SILENCED)


def _match(texts: Sequence[str], *, everything: bool) -> MatchSettings:
    try:
        match = silence_text.parse_match(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--match") from error
    is_all = silence_text.matches_everything(match)
    if is_all and not everything:
        found = match_words(match)
        raise click.UsageError(
            f"{found} matches every event, or nearly so; say --all if that is meant"
            if found
            else "say what to hold with --match, or --all"
        )
    if everything and not is_all:
        raise click.UsageError(f"--all holds everything, and {match_words(match)} does not; leave one out")
    return match


def _said(text: str, option: str, what: str) -> str:
    if not text.strip():
        raise click.BadParameter(f"expected {what}, found nothing", param_hint=option)
    return text.strip()


def _end(
    until: str | None, length: str | None, starts_at: datetime, *, now: datetime, time_zone: ZoneInfo
) -> datetime:
    if until is None and length is None:
        raise click.UsageError("say when it ends: with --for or with --until")
    if until is not None and length is not None:
        raise click.UsageError("--for and --until both say when it ends; leave one out")
    option = "--for" if until is None else "--until"
    ends_at = _time(until, option, time_zone) if until else starts_at + duration_of(str(length), option)
    if ends_at <= now:
        told = time_text(ends_at, time_zone), time_text(now, time_zone)
        raise click.BadParameter("{} is past: it is {}".format(*told), param_hint=option)
    if ends_at <= starts_at:
        told = time_text(ends_at, time_zone), time_text(starts_at, time_zone)
        raise click.BadParameter("{} is not after its start, {}".format(*told), param_hint=option)
    return ends_at


def _time(text: str, option: str, time_zone: ZoneInfo) -> datetime:
    try:
        return silence_text.parse_time(text, time_zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _count(store: "Store", match: MatchSettings, now: datetime) -> tuple[int, int]:
    """Return how many Events of the last day match, and how many there were.

    Raises:
        StoreError: one of them is damaged.
    """
    matches = match_of(match)
    try:
        events = map(EventPayload.model_validate_json, store.payloads(now - _DAY))
        found = {(event.cluster, event.uid): matches(match_texts(event)) for event in events}
    except ValidationError as error:
        raise StoreError("an event in the store cannot be read") from error
    return sum(found.values()), len(found)


def _no_such(id_: str, stored: Sequence[Silence], now: datetime, time_zone: ZoneInfo) -> str:
    """Say why a silence could not be ended."""
    for one in stored:
        if one.id == id_:
            return f"{id_} has ended already, {time_text(one.ends_at, time_zone)}"
    there = ", ".join(one.id for one in stored if one.ends_at > now)
    return f"no silence is called {id_!r}; " + (f"there are {there}" if there else "there are none")
