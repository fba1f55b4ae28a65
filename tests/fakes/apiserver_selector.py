"""Field selectors on Events, as in `fieldSelector=involvedObject.kind=Node,type!=Normal`.

Source: apimachinery `pkg/fields/selector.go`; the labels are those of `pkg/registry/core/event/strategy.go`.
"""

import re
from dataclasses import dataclass
from typing import Any

from tests.fakes.apiserver_store import Event

_LABELS = frozenset(
    {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "metadata.name",
        "metadata.namespace",
        "reason",
        "reportingComponent",
        "source",
        "type",
    }
)
_COMMA = re.compile(r"(?<!\\),")
_TERM = re.compile(r"(?P<label>.*?)(?P<operator>!=|==|=)(?P<value>.*)", re.DOTALL)


class SelectorError(Exception):
    """The selector is not one; the text is the server's message."""


@dataclass(frozen=True)
class Term:
    """One comparison, `label=value` or `label!=value`."""

    label: str
    value: str
    wanted: bool

    def matches(self, event: Event) -> bool:
        """Whether the event's field is equal to the value, or is not, as wanted."""
        return (_field(event, self.label) == self.value) is self.wanted


@dataclass(frozen=True)
class FieldSelector:
    """Terms of which all must match; none at all selects everything."""

    terms: tuple[Term, ...]

    def matches(self, event: Event) -> bool:
        """Whether every term does."""
        return all(term.matches(event) for term in self.terms)


def parse_field_selector(text: str) -> FieldSelector:
    r"""Read a selector; commas and equal signs in values are written `\,` and `\=`.

    Raises:
        SelectorError: a term without an operator, or a label that Events do not have.
    """
    return FieldSelector(tuple(_parse_term(term, text) for term in _COMMA.split(text) if term))


def _parse_term(term: str, selector: str) -> Term:
    match = _TERM.fullmatch(term)
    if match is None:
        raise SelectorError(f"invalid selector: '{selector}'; can't understand '{term}'")
    if match["label"] not in _LABELS:
        raise SelectorError(f"field label not supported: {match['label']}")
    value = re.sub(r"\\([\\,=])", r"\1", match["value"])
    return Term(match["label"], value, wanted=match["operator"] != "!=")


def _field(event: Event, label: str) -> str:
    """The value of a label; `source` falls back to the reporter, as Events of the new API name no source."""
    if label == "source":
        return _text(event, "source.component") or _text(event, "reportingComponent")
    return _text(event, label)


def _text(event: Event, path: str) -> str:
    value: Any = event
    for name in path.split("."):
        value = (value or {}).get(name)
    return value or ""
