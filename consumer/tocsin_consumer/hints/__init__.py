"""What is likely behind an event, and the next command to run. Pure.

The tables of this package say it for the reasons that Kubernetes, K3s and tocsin itself give; what the
configuration says goes before them. The first entry that matches counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from tocsin_consumer.hints.clusters import CLUSTERS
from tocsin_consumer.hints.command import PLACEHOLDERS, CommandTemplate
from tocsin_consumer.hints.containers import CONTAINERS
from tocsin_consumer.hints.entry import Entry
from tocsin_consumer.hints.images import IMAGES
from tocsin_consumer.hints.nodes import NODES
from tocsin_consumer.hints.pods import PODS
from tocsin_consumer.hints.scheduling import SCHEDULING
from tocsin_consumer.hints.volumes import VOLUMES
from tocsin_consumer.hints.workloads import WORKLOADS
from tocsin_consumer.labels import Language
from tocsin_schemas.event import EventPayload

__all__ = ["PLACEHOLDERS", "TABLE", "CommandTemplate", "Entry", "Hint", "Override", "container_of", "hint_of"]

#: Every built-in entry, in the order in which they are tried.
TABLE: Final[tuple[Entry, ...]] = (
    *CONTAINERS,
    *IMAGES,
    *PODS,
    *SCHEDULING,
    *VOLUMES,
    *NODES,
    *WORKLOADS,
    *CLUSTERS,
)


@dataclass(frozen=True, slots=True)
class Hint:
    """A sentence, and a command to copy; either may be empty."""

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Override:
    """A hint of the configuration's; one that says nothing removes the built-in one."""

    matches: Callable[[EventPayload], bool]
    texts: Mapping[Language, str]
    command: CommandTemplate | None


def hint_of(event: EventPayload, overrides: Sequence[Override], language: Language) -> Hint | None:
    """Return what to say about `event`; of what it says itself, only names go into the command."""
    for override in overrides:
        if override.matches(event):
            return _hint(event, override.texts.get(language, ""), override.command)
    for entry in _by_reason().get(event.reason, ()):
        if entry.matches(event.kind, event.msg):
            return _hint(event, entry.zh if language == "zh" else entry.en, _template(entry.command))
    return None


def container_of(field: str) -> str:
    """Return `api` of `spec.containers{api}` or `spec.initContainers{api}`."""
    _, brace, name = field.partition("{")
    return name.rstrip("}") if brace else ""


def _hint(event: EventPayload, text: str, template: CommandTemplate | None) -> Hint | None:
    command = (template.filled(_names(event)) if template else None) or ""
    return Hint(text, command) if text or command else None


def _names(event: EventPayload) -> dict[str, str]:
    """Return the text of each placeholder."""
    return {
        "cluster": event.cluster,
        "namespace": event.ns or "",
        "kind": event.kind,
        "name": event.name,
        "container": container_of(event.field or ""),
        "node": event.name if event.kind == "Node" else event.node or "",
    }


@cache
def _by_reason() -> Mapping[str, Sequence[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in TABLE:
        for reason in entry.reasons:
            found.setdefault(reason, []).append(entry)
    return found


@cache
def _template(source: str) -> CommandTemplate | None:
    return CommandTemplate(source) if source else None
