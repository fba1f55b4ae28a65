"""The commands `tocsin-consumer dead …`: what was given up, and what to do with it."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tocsin_consumer.clock import utc_now
from tocsin_consumer.command import (
    FAILED,
    Number,
    chosen_receivers,
    complain,
    config_option,
    duration_of,
    give_up,
    load,
    open_store,
)
from tocsin_consumer.dead_letter import DeadLetter, Kind, Search
from tocsin_consumer.dead_text import dead_line, dead_object, dead_text
from tocsin_consumer.decode import Rejection, decode
from tocsin_consumer.incident import Incident
from tocsin_consumer.settings import ConsumerSettings

if TYPE_CHECKING:
    from tocsin_consumer.store import Store

#: Dead letters that are looked at together: with their payloads, they take 13 MB at most.
_PAGE: Final = 200

_ID: Final = Number("a dead letter, such as 17, as `dead list` shows it")

_kind = click.option(
    "--kind",
    type=click.Choice([Kind.PAYLOAD.value, Kind.DELIVERY.value]),
    help="Only messages, or only deliveries.",
)
_receiver = click.option("--receiver", help="Only of this receiver.")
_all = click.option("--all", "everything", is_flag=True, help="All of them.")
_ids = click.argument("ids", metavar="[ID]...", type=_ID, nargs=-1)


@click.group()
def dead() -> None:
    """See what was given up, and try it again or drop it."""


@dead.command("list")
@config_option
@_kind
@_receiver
@click.option("--since", metavar="DURATION", help="Only of so long, such as 2d.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="Only the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(
    config: Path, kind: str | None, receiver: str | None, *, since: str | None, limit: int, as_json: bool
) -> None:
    """List dead letters, the newest last."""
    settings = load(config)
    search = Search(kind=Kind(kind) if kind else None, receiver=receiver, since=_ago(since, "--since"))
    with open_store(settings) as store:
        _check_receiver(store, settings, receiver)
        count, _ = store.count_dead_letters(search)
        letters = store.dead_letters(search, limit=limit)
        incidents = _incidents(store, letters)
    if count > len(letters):
        complain(f"{count - len(letters)} older ones are not shown; see --limit")
    for letter in letters:
        incident = incidents.get(letter.incident)
        if as_json:
            click.echo(json.dumps(dead_object(letter, incident)))
        else:
            click.echo(dead_line(letter, incident, settings.time_zone))
    if not letters:
        complain("there are no such dead letters")


@dead.command()
@config_option
@click.argument("id_", metavar="ID", type=_ID)
def show(config: Path, id_: int) -> None:
    """Show all of one dead letter."""
    settings = load(config)
    with open_store(settings) as store:
        letters = store.dead_letters(Search(ids=(id_,)), limit=1)
        incidents = _incidents(store, letters)
    for letter in letters:
        click.echo(dead_text(letter, incidents.get(letter.incident), settings.time_zone))
    if not letters:
        give_up(f"there is no dead letter {id_}", FAILED)


@dead.command()
@config_option
@_receiver
@_all
@_ids
def replay(config: Path, ids: tuple[int, ...], receiver: str | None, *, everything: bool) -> None:
    """Have dead letters tried again, as if they were new.

    The consumer that is at work does that at once, the next one otherwise. A message that is still not understood
    stays where it is, and so does what the receiver has got something newer of, or is told of no longer.
    """
    settings = load(config)
    search = _wanted(ids, Search(receiver=receiver), everything=everything)
    count, stay = 0, Counter[str]()
    with open_store(settings) as store:
        _check_receiver(store, settings, receiver)
        missing = _missing(store, ids)
        for letters in _pages(store, search):
            obstacles = {letter.id: _obstacle(letter, settings) for letter in letters}
            tried = [id_ for id_, obstacle in obstacles.items() if obstacle is None]
            done = store.replay(tried, utc_now())
            stay.update(filter(None, obstacles.values()))
            stay["the receiver has got something newer of it, or is told of it no longer"] += len(tried) - done
            count += done
    complain(f"{count} will be tried again")
    reasons = [f"{number} left as it was: {why}" for why, number in (+stay).items()]
    for line in [*reasons, *missing]:
        complain(line)
    if missing or (reasons and not count):
        raise SystemExit(FAILED)


@dead.command()
@config_option
@_receiver
@_all
@click.option("--older-than", metavar="DURATION", help="All that are older, such as 7d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_ids
def drop(
    config: Path,
    ids: tuple[int, ...],
    receiver: str | None,
    *,
    everything: bool,
    older_than: str | None,
    yes: bool,
) -> None:
    """Forget dead letters."""
    settings = load(config)
    search = Search(receiver=receiver, before=_ago(older_than, "--older-than"))
    search = _wanted(ids, search, everything=everything or older_than is not None)
    with open_store(settings) as store:
        _check_receiver(store, settings, receiver)
        missing = _missing(store, ids)
        count, newest = store.count_dead_letters(search)
        if count > 1 and not yes:
            click.confirm(f"forget {count} dead letters?", abort=True, err=True)
        dropped = store.drop(replace(search, up_to=newest))
    for line in [f"{dropped} forgotten", *missing]:
        complain(line)
    if missing:
        raise SystemExit(FAILED)


def _ago(text: str | None, option: str) -> datetime | None:
    return None if text is None else utc_now() - duration_of(text, option)


def _wanted(ids: Sequence[int], search: Search, *, everything: bool) -> Search:
    """Return which dead letters the command line names, one way or the other."""
    if bool(ids) == everything:
        raise click.UsageError("name the ids of dead letters, or else say --all")
    if not ids:
        return search
    if search.receiver is not None:
        raise click.UsageError("--receiver goes with --all; ids say all")
    return Search(ids=tuple(ids))


def _missing(store: "Store", ids: Sequence[int]) -> list[str]:
    """Return a line that says which of the ids are none, if there are such."""
    missing = [id_ for id_ in dict.fromkeys(ids) if store.count_dead_letters(Search(ids=(id_,))) == (0, 0)]
    return [f"there is no dead letter {', '.join(map(str, missing))}"] if missing else []


def _check_receiver(store: "Store", settings: ConsumerSettings, name: str | None) -> None:
    """Refuse a receiver that there is not; one that there was may have left dead letters."""
    if name is None or store.count_dead_letters(Search(receiver=name)) != (0, 0):
        return
    chosen_receivers(settings, name)


def _incidents(store: "Store", letters: Sequence[DeadLetter]) -> dict[int | None, Incident]:
    """Return the incidents that dead letters are about, by their ids."""
    return {
        one.id: one for one in store.find_incidents([one.incident for one in letters if one.incident is not None])
    }


def _pages(store: "Store", search: Search) -> Iterator[list[DeadLetter]]:
    """Yield all that there are by now, oldest first."""
    _, newest = store.count_dead_letters(search)
    search = replace(search, up_to=newest)
    while letters := store.dead_letters(search, limit=_PAGE, newest=False):
        yield letters
        search = replace(search, after=letters[-1].id)


def _obstacle(letter: DeadLetter, settings: ConsumerSettings) -> str | None:
    """Return why a dead letter cannot be tried again; None if nothing is known against it."""
    match letter.kind:
        case Kind.REPLAY:
            return "the consumer is about to look at it"
        case Kind.PAYLOAD:
            said = decode(letter.topic or "", letter.payload or b"", root=settings.topic_root)
            return "still not understood" if isinstance(said, Rejection) else None
    names = [receiver.name for receiver in settings.receivers]
    if letter.receiver in names:
        return None
    # It would be a dead letter again at the next start.
    return f"no receiver is called {letter.receiver} any more; there are {', '.join(names)}"
