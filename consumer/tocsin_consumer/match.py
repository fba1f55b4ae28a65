"""How routes, silences and inhibition name events: fields, and what they have to match. Pure."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from tocsin_consumer.severity import Severity, severity
from tocsin_schemas import topics
from tocsin_schemas.configuration import PatternField, Settings
from tocsin_schemas.event import EventPayload
from tocsin_schemas.matching import Match, Pattern, compile_pattern

#: The fields of an event by the names that a match knows them by; what an event lacks is None or empty.
Texts = Mapping[str, str | None]

#: The names of the fields.
MatchField = Literal[
    "cluster", "namespace", "type", "reason", "kind", "name", "component", "node", "message", "field", "severity"
]

_TYPES: Final = ("Normal", "Warning")
_NODE: Final = "Node"


def _one_of(known: tuple[str, ...]) -> AfterValidator:
    """Return the check that a pattern matches some of `known`, and that each text of a list is one of them."""

    def check(pattern: Pattern) -> Pattern:
        for part in pattern if isinstance(pattern, list) else [pattern]:
            if not any(map(compile_pattern(part if part is pattern else [part]), known)):
                raise ValueError(f"expected what matches {' or '.join(known)}, found {part!r}")
        return pattern

    return AfterValidator(check)


def _never_empty(why: str) -> AfterValidator:
    """Return what refuses a pattern that would match nothing: of a field that no event lacks."""

    def check(pattern: Pattern) -> Pattern:
        if "" in (pattern if isinstance(pattern, list) else [pattern]):
            raise ValueError(f"expected a pattern{why}")
        return pattern

    return AfterValidator(check)


#: A pattern of what no event lacks.
_Given = Annotated[PatternField, _never_empty(", found an empty one; this is empty in no event")]
_Namespace = Annotated[PatternField, _never_empty(f"; objects without a namespace are in {topics.CLUSTER_SCOPE}")]


class MatchSettings(Settings):
    """Fields of an event, all of which have to match: text is an anchored regular expression, a list exact values.

    A field that an event lacks is empty. An object without a namespace, such as a Node, is in `_cluster`, as
    it is in topics.
    """

    cluster: _Given | None = Field(default=None, description="Name of the cluster.")
    namespace: _Namespace | None = Field(default=None, description="Namespace of the involved object.")
    type: Annotated[PatternField, _one_of(_TYPES)] | None = Field(default=None, description="Normal or Warning.")
    reason: _Given | None = Field(default=None, description="Such as BackOff.")
    kind: _Given | None = Field(default=None, description="Kind of the involved object, such as Pod.")
    name: _Given | None = Field(default=None, description="Name of the involved object.")
    component: PatternField | None = Field(default=None, description="Who reported it, such as kubelet.")
    node: PatternField | None = Field(default=None, description="Node that it is about or was reported from.")
    message: PatternField | None = Field(default=None, description="The whole message.")
    field: PatternField | None = Field(default=None, description="Part of the object: spec.containers{api}.")
    severity: Annotated[PatternField, _one_of(tuple(Severity))] | None = Field(
        default=None, description="critical, warning, info or recovered."
    )


def match_texts(event: EventPayload) -> Texts:
    """Return the fields of `event` under the names that a match knows them by."""
    return {
        "cluster": event.cluster,
        "namespace": event.ns or topics.CLUSTER_SCOPE,
        "type": event.type,
        "reason": event.reason,
        "kind": event.kind,
        "name": event.name,
        "component": event.from_,
        "node": event.name if event.kind == _NODE else event.node,
        "message": event.msg,
        "field": event.field,
        "severity": severity(event).value,
    }


def match_of(settings: MatchSettings) -> Match:
    """Return the test that `settings` describe."""
    return Match(settings.model_dump(exclude_none=True))


def match_words(settings: MatchSettings) -> str:
    """Return how a line tells a match: `kind=Pod reason=BackOff|Failed`; of one that is empty, nothing."""
    fields = settings.model_dump(exclude_none=True)
    return " ".join(
        f"{name}={'|'.join(pattern) if isinstance(pattern, list) else pattern}" for name, pattern in fields.items()
    )
