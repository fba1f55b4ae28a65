"""What is checked before anything is connected, and how the result is told."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tocsin_consumer import receivers, samples
from tocsin_consumer.errors import RenderError
from tocsin_consumer.labels import duration
from tocsin_consumer.receivers.receiver import Receiver
from tocsin_consumer.route import Route
from tocsin_consumer.settings import ConsumerSettings, PresenceSettings
from tocsin_schemas.configuration import ConfigurationError, Document


def build_receivers(settings: ConsumerSettings) -> dict[str, Receiver]:
    """Return the configured receivers by name."""
    return {
        configured.name: receivers.build(configured, time_zone=settings.time_zone, language=settings.language)
        for configured in settings.receivers
    }


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
    for node in Route(settings.route).nodes():
        yield f"{node.name:<11} → {', '.join(node.receivers) or 'dropped'}"


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
    path = Path(urlsplit(settings.store).path.removeprefix("/"))
    kept = f"{path}, kept for {settings.retention.days} days"
    return kept if path.parent.is_dir() else f"{kept} (there is no directory {path.parent} on this machine)"
