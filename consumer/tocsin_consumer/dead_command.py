"""The commands `tocsin-consumer dead …`: what was given up, and what to do with it."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from tocsin_consumer.clock import utc_now
from tocsin_consumer.command import FAILED, UNUSABLE, complain, config_option, give_up, load, open_store
from tocsin_consumer.dead_letter import DeadLetter, Kind, Search
from tocsin_consumer.decode import Rejection, decode
from tocsin_consumer.inert import inert, one_line
from tocsin_consumer.settings import ConsumerSettings
from tocsin_schemas.configuration import Duration

if TYPE_CHECKING:
    from tocsin_consumer.store import Store

#: Dead letters that are listed, tried again or dropped at once.
_LIMIT: Final = 1000
_SHOWN: Final = 80

_kind = click.option(
    "--kind",
    type=click.Choice([Kind.PAYLOAD.value, Kind.DELIVERY.value]),
    help="Only messages, or only deliveries.",
)
_receiver = click.option("--receiver", help="Only of this receiver.")
_all = click.option("--all", "everything", is_flag=True, help="All of them.")
_ids = click.argument("ids", metavar="[ID]...", type=int, nargs=-1)


@click.group()
def dead() -> None:
    """See what was given up, and try it again or drop it."""


@dead.command("list")
@config_option
@_kind
@_receiver
@click.option("--since", metavar="DURATION", help="Only of so long, such as 2d.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, _LIMIT), help="Only the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(
    config: Path, kind: str | None, receiver: str | None, *, since: str | None, limit: int, as_json: bool
) -> None:
    """List dead letters, the newest last."""
    settings = load(config)
    search = Search(kind=Kind(kind) if kind else None, receiver=receiver, since=_ago(since, "--since"))
    with open_store(settings) as store:
        letters = store.dead_letters(search, limit=limit)
    for letter in letters:
        click.echo(json.dumps(_object(letter), ensure_ascii=False) if as_json else _line(letter, settings))
    if not letters:
        complain("there are no such dead letters")


@dead.command()
@config_option
@click.argument("id_", metavar="ID", type=int)
def show(config: Path, id_: int) -> None:
    """Show all of one dead letter."""
    settings = load(config)
    with open_store(settings) as store:
        (letter,) = _found(store, (id_,))
    for name, value in _object(letter).items():
        click.echo(f"{name:<9} {inert(_pretty(value) if name == 'payload' else str(value))}")


@dead.command()
@config_option
@_receiver
@_all
@_ids
def replay(config: Path, ids: tuple[int, ...], receiver: str | None, *, everything: bool) -> None:
    """Have dead letters tried again, as if they were new.

    The consumer that is at work does that at once, the next one otherwise. A message that is still not understood
    stays where it is, and so does a state of an event when the receiver has got a newer one.
    """
    settings = load(config)
    with open_store(settings) as store:
        letters = _chosen(store, ids, Search(receiver=receiver), everything=everything)
        _refuse_receivers(letters, settings)
        tried = [letter for letter in letters if letter.kind != Kind.PAYLOAD or _is_understood(letter, settings)]
        count = store.replay([letter.id for letter in tried], utc_now())
    complain(f"{count} will be tried again, {len(letters) - count} stay as they are")
    if letters and not count:
        give_up("nothing is tried again: not understood, or followed by what the receiver has got", FAILED)


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
    search = Search(receiver=receiver, before=_ago(older_than, "--older-than"))
    with open_store(load(config)) as store:
        letters = _chosen(store, ids, search, everything=everything or older_than is not None)
        if len(letters) > 1 and not yes:
            click.confirm(f"forget {len(letters)} dead letters?", abort=True, err=True)
        dropped = store.drop(Search(ids=tuple(letter.id for letter in letters)))
    complain(f"{dropped} forgotten")


def _ago(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        return utc_now() - TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(reason, param_hint=option) from error


def _chosen(store: "Store", ids: Sequence[int], search: Search, *, everything: bool) -> list[DeadLetter]:
    """Return the dead letters that the command line names, one way or the other."""
    if bool(ids) == everything:
        raise click.UsageError("name the ids of dead letters, or else say --all")
    return _found(store, ids) if ids else store.dead_letters(search, limit=_LIMIT)


def _found(store: "Store", ids: Sequence[int]) -> list[DeadLetter]:
    letters = store.dead_letters(Search(ids=tuple(ids)), limit=len(ids))
    missing = set(ids) - {letter.id for letter in letters}
    if missing:
        give_up(f"there is no dead letter {', '.join(map(str, sorted(missing)))}", FAILED)
    return letters


def _refuse_receivers(letters: Sequence[DeadLetter], settings: ConsumerSettings) -> None:
    """End if one is for a receiver that there is no more: it would be a dead letter again at the next start."""
    known = {receiver.name for receiver in settings.receivers}
    gone = sorted({letter.receiver for letter in letters if letter.receiver} - known)
    if gone:
        give_up(
            f"no receiver is called {', '.join(gone)} any more; there are {', '.join(sorted(known))}", UNUSABLE
        )


def _is_understood(letter: DeadLetter, settings: ConsumerSettings) -> bool:
    said = decode(letter.topic or "", letter.payload or b"", root=settings.topic_root)
    return not isinstance(said, Rejection)


def _line(letter: DeadLetter, settings: ConsumerSettings) -> str:
    at = letter.at.astimezone(settings.time_zone)
    return one_line(f"{letter.id:>6}  {at:%Y-%m-%d %H:%M:%S}  {letter.kind:<8}  {_about(letter)}: {letter.reason}")


def _about(letter: DeadLetter) -> str:
    """Return where it comes from or was to go, and what it was about, in a few words."""
    if letter.receiver is None:
        return one_line(letter.topic or "")[:_SHOWN]
    if letter.incident is not None:
        return f"{letter.receiver}: incident {letter.incident}"
    return f"{letter.receiver}: {'event' if letter.storm is None else f'storm {letter.storm}'}"


def _object(letter: DeadLetter) -> dict[str, Any]:
    """Return what there is of it, in plain JSON values."""
    found = {
        "id": letter.id,
        "kind": letter.kind.value,
        "at": letter.at.isoformat(timespec="seconds"),
        "reason": letter.reason,
        "topic": letter.topic,
        "receiver": letter.receiver,
        "incident": letter.incident,
        "storm": letter.storm,
        "payload": None if letter.payload is None else letter.payload.decode("utf-8", "backslashreplace"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _pretty(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return payload
