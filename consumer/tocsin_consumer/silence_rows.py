"""The table of silences: what was added, by whom, until when. To end one changes its end and nothing besides."""

import logging
import random
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from tocsin_consumer.database import Connection
from tocsin_consumer.errors import StoreError
from tocsin_consumer.match import MatchSettings
from tocsin_consumer.silence import Silence, Wish
from tocsin_consumer.tables import milliseconds, time_of

_log = logging.getLogger(__name__)

#: Neither vowels, which make words, nor what is read for something else: 0 and 1 for letters, l for 1.
_LETTERS: Final = "bcdfghjkmnpqrstvwxz23456789"
#: So many that a slip of the finger hardly ever names another silence.
_ID_LENGTH: Final = 4
_INSERT: Final = """
INSERT INTO silences (id, match, starts_at, ends_at, author, comment, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
_SELECT: Final = """
SELECT id, match, starts_at, ends_at, author, comment, created_at FROM silences
WHERE ends_at > ? ORDER BY ends_at, id
"""
_EXPIRE: Final = "UPDATE silences SET ends_at = :now WHERE id = :id AND ends_at > :now"


def new_id() -> str:
    """Return an id by chance."""
    return "".join(random.choices(_LETTERS, k=_ID_LENGTH))  # noqa: S311 - it is no secret


def insert(connection: Connection, wish: Wish, now: datetime, choose: Callable[[], str] = new_id) -> Silence:
    """Insert a silence under an id that no other has, and return it."""
    said = {field.name: getattr(wish, field.name) for field in fields(Wish)}
    while True:
        silence = Silence(**said, id=choose(), created_at=now)
        if connection.execute(_INSERT, _row(silence)).rowcount:
            return silence


def silences(connection: Connection, since: datetime) -> list[Silence]:
    """Return those that end after `since`, those that end first before the others.

    One that cannot be read, as of a newer version, holds nothing; that is logged.
    """
    found = []
    for row in connection.execute(_SELECT, (milliseconds(since),)):
        try:
            found.append(_silence(row))
        except StoreError as error:
            _log.error("%s; it holds nothing", error)
    return found


def expire(connection: Connection, id_: str, now: datetime) -> bool:
    """Let a silence end now, and tell whether there is one that had not ended yet."""
    return bool(connection.execute(_EXPIRE, {"id": id_, "now": milliseconds(now)}).rowcount)


def delete_old(connection: Connection, before: datetime) -> None:
    """Delete those that ended before."""
    connection.execute("DELETE FROM silences WHERE ends_at < ?", (milliseconds(before),))


def _row(silence: Silence) -> tuple[Any, ...]:
    return (
        silence.id,
        silence.match.model_dump_json(exclude_none=True),
        milliseconds(silence.starts_at),
        milliseconds(silence.ends_at),
        silence.author,
        silence.comment,
        milliseconds(silence.created_at),
    )


def _silence(row: tuple[Any, ...]) -> Silence:
    id_, match, starts_at, ends_at, author, comment, created_at = row
    try:
        wanted = MatchSettings.model_validate_json(match)
    except ValidationError as error:
        raise StoreError(f"silence {id_} cannot be read: {error}; expire it and add it anew") from error
    return Silence(
        wanted, time_of(starts_at), time_of(ends_at), author, comment, id=id_, created_at=time_of(created_at)
    )
