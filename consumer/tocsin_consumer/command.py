"""What the commands of `tocsin-consumer` share: the configuration, the store of a consumer, and how they fail."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click
from pydantic import TypeAdapter, ValidationError

from tocsin_consumer.errors import ConsumerError
from tocsin_consumer.event_file import EXAMPLE, find_event
from tocsin_consumer.notification import Notification
from tocsin_consumer.settings import ConsumerSettings, load_settings
from tocsin_schemas.configuration import ClusterField, ConfigurationError, Duration

if TYPE_CHECKING:
    from tocsin_consumer.store import Store

DEFAULT_CONFIG: Final = "/etc/tocsin/consumer.yaml"
#: Exit codes: what was asked for could not be done; the configuration or the command line cannot be used.
FAILED: Final = 1
UNUSABLE: Final = 2
_YEARS: Final = timedelta(days=3650)

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    envvar="TOCSIN_CONFIG",
    help="Configuration file.",
)


def load(config: Path) -> ConsumerSettings:
    """Return the settings; if they are wrong, tell that and end."""
    with configuration_errors():
        return load_settings(config, os.environ)[0]


class Number(click.ParamType[int]):
    """The number of something in the store.

    Args:
        what: what has it, and where people find it.
    """

    name = "number"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; no id is any larger than one that SQLite knows."""
        number = int(value[:20]) if value.isascii() and value.isdecimal() else 0
        if 0 < number < 2**63:
            return number
        return self.fail(f"expected the number of {self._what}, found {value!r}", param, ctx)


@contextmanager
def open_store(settings: ConsumerSettings) -> Iterator["Store"]:
    """Open the store beside a consumer that may be at work; if it cannot be, tell that and end."""
    from tocsin_consumer.store import Store  # noqa: PLC0415 - the database is for few commands only

    with consumer_errors():
        store = Store(settings.store, beside=True)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def configuration_errors() -> Iterator[None]:
    """Tell everything that is wrong with a configuration, and end."""
    try:
        yield
    except ConfigurationError as error:
        give_up(str(error), UNUSABLE)


@contextmanager
def consumer_errors() -> Iterator[None]:
    """Tell an error of the consumer's in a line, and end."""
    try:
        yield
    except ConsumerError as error:
        give_up(str(error), FAILED)


def duration_of(text: str, option: str) -> timedelta:
    """Return the duration that an option says, such as 2h.

    Raises:
        click.BadParameter: it is none, or none that makes sense.
    """
    try:
        length: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(message, param_hint=option) from error
    if not timedelta() < length < _YEARS:
        raise click.BadParameter(f"expected more than 0s and less than ten years, found {text}", param_hint=option)
    return length


def read_event(name: str, cluster: str | None = None, *, option: str | None = "--cluster") -> Notification:
    """Return the sample or the event of a file called `name`; if there is none, tell that and end.

    Args:
        name: of a sample or a file.
        cluster: the cluster that an option says it is from, if it does.
        option: that option, for those who did not use it; None where there is none.

    Raises:
        click.BadParameter: no cluster is called that.
    """
    said_to_be = cluster_of(cluster)
    how = f"; {option} NAME says which it is from" if option else ""

    def assumed() -> None:
        if said_to_be is None:
            complain(f"{name} names no cluster, so it is taken for one of {EXAMPLE!r}{how}")

    with consumer_errors():
        found = find_event(name, on_clusterless=assumed)
    if said_to_be is None:
        return found
    return replace(found, event=found.event.model_copy(update={"cluster": said_to_be}))


def cluster_of(text: str | None) -> str | None:
    """Return the cluster that the option `--cluster` names, if it does.

    Raises:
        click.BadParameter: no cluster is called that.
    """
    try:
        return None if text is None else str(TypeAdapter(ClusterField).validate_python(text))
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(message, param_hint="--cluster") from error


def chosen_receivers(settings: ConsumerSettings, name: str | None) -> list[str]:
    """Return the names of all receivers, or the one that an option names.

    Raises:
        click.UsageError: none is called that.
    """
    names = [receiver.name for receiver in settings.receivers]
    if name is None:
        return names
    if name not in names:
        raise click.UsageError(f"no receiver is called {name!r}; there are {', '.join(names)}")
    return [name]


def give_up(text: str, code: int) -> NoReturn:
    """End with what was wrong on standard error."""
    complain(text)
    sys.exit(code)


def complain(line: str) -> None:
    """Print a line that is no result to standard error."""
    click.echo(line, err=True)
