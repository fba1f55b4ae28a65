"""What is checked before anything is connected, and how the result is told."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tocsin_consumer import receivers, samples
from tocsin_consumer.errors import RenderError
from tocsin_consumer.hint_settings import overrides
from tocsin_consumer.labels import duration
from tocsin_consumer.match import match_words
from tocsin_consumer.receivers.receiver import Receiver
from tocsin_consumer.route import Route
from tocsin_consumer.settings import ConsumerSettings, PresenceSettings, load_settings
from tocsin_schemas.configuration import ConfigurationError, Document, Location

#: How every database of SQLite's begins (sqlite.org/fileformat.html).
_SQLITE: Final = b"SQLite format 3\0"


def build_receivers(settings: ConsumerSettings) -> dict[str, Receiver]:
    """Return the configured receivers by name."""
    hints = overrides(settings.hints)
    return {
        configured.name: receivers.build(
            configured, time_zone=settings.time_zone, language=settings.language, hints=hints
        )
        for configured in settings.receivers
    }


def load_checked(path: Path, environment: Mapping[str, str]) -> tuple[ConsumerSettings, Document]:
    """Read the file at `path` with `environment` over it, and check all that can be without connecting.

    Raises:
        ConfigurationError: with what is wrong.
    """
    settings, document = load_settings(path, environment)
    check_places(settings, document)
    check_rendering(build_receivers(settings).values(), document)
    return settings, document


def check_rendering(built: Iterable[Receiver], document: Document) -> None:
    """Render every sample through every receiver.

    Raises:
        ConfigurationError: one cannot be rendered.
    """
    problems = [
        document.problem(("receivers", index), f"sample {name}: {why}")
        for index, receiver in enumerate(built)
        for name, why in _failures(receiver)
    ]
    if problems:
        raise ConfigurationError(problems)


def check_places(settings: ConsumerSettings, document: Document) -> None:
    """See that what is written can be, on this machine.

    Raises:
        ConfigurationError: there is no directory for a file, or the store is no database.
    """
    problems = [document.problem(place, why) for place, why in _place_problems(settings)]
    if problems:
        raise ConfigurationError(problems)


def summary(settings: ConsumerSettings) -> Iterator[str]:
    """Yield in a few lines what a configuration says."""
    yield f"broker      {settings.broker.url} as {settings.client_id}"
    yield f"store       {_store(settings)}"
    yield f"presence    {_presence(settings.presence)}"
    if settings.http:
        yield f"http        {settings.http.listen}"
    if settings.heartbeat:
        yield f"heartbeat   every {duration(settings.heartbeat.every, 'en')}"
    for receiver in settings.receivers:
        yield f"receiver    {receiver.name} ({receiver.kind})"
    nodes = list(Route(settings.route, single=settings.single).nodes())
    for node in nodes:
        matched = match_words(node.match)
        yield f"{node.name:<11}{' ' if matched else ''}{matched} → {', '.join(node.receivers) or 'dropped'}"
    yield from (f"note        {note}" for note in _notes(settings, nodes))


def _notes(settings: ConsumerSettings, nodes: Iterable[Route]) -> Iterator[str]:
    """Yield what does nothing: receivers that no route names, routes that are never asked, repeats too soon."""
    told = {name for node in nodes for name in node.receivers}
    for receiver in settings.receivers:
        if receiver.name not in told:
            yield f"no route names the receiver {receiver.name}"
    for node in nodes:
        for shadowed, by in node.shadowed():
            yield f"{shadowed.name} is never asked: {by.name} before it takes every event"
        if overhasty := node.overhasty():
            yield f"{node.name}: {overhasty[1]}"


def _place_problems(settings: ConsumerSettings) -> Iterator[tuple[Location, str]]:
    store = _store_path(settings)
    problem = _directory_problem(store) or _database_problem(store)
    if problem:
        yield ("store",), problem
    for index, receiver in enumerate(settings.receivers):
        missing = _directory_problem(receiver.file.path) if receiver.file else None
        if missing:
            yield ("receivers", index, "file", "path"), missing


def _directory_problem(path: Path) -> str | None:
    return None if path.parent.is_dir() else f"there is no directory {path.parent} on this machine; create it"


def _database_problem(path: Path) -> str | None:
    """Return why `path` is no database: one begins with a text of its own, unless nothing was written yet."""
    if path.is_dir():
        return "expected the path of a file, found a directory"
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if start in (b"", _SQLITE):
        return None
    return f"{path} is not an SQLite database; if it was one, put back a copy of it"


def _failures(receiver: Receiver) -> Iterator[tuple[str, str]]:
    for name, notification in samples.samples().items():
        try:
            receiver.render(notification)
        except RenderError as error:
            yield name, str(error)


def _presence(settings: PresenceSettings) -> str:
    offline, silent = duration(settings.offline_after, "en"), duration(settings.silent_after, "en")
    return f"told after {offline} offline or {silent} of silence; {len(settings.clusters)} clusters expected"


def _store(settings: ConsumerSettings) -> str:
    return f"{_store_path(settings)}, kept for {settings.retention.days} days"


def _store_path(settings: ConsumerSettings) -> Path:
    return Path(urlsplit(settings.store).path.removeprefix("/"))
