"""Recognizes templates of kubernetes-event-exporter, which are Go's, and says how they are written here."""

import re
from typing import Final

_ACTION: Final = re.compile(r"\{\{-?\s*(?P<function>\w+\s+)?(?:\$\w*)?\.(?P<path>[A-Za-z]\w*(?:\.\w+)*)?")
_NAMES: Final = {
    "": "event",
    "ClusterName": "cluster",
    "Count": "count",
    "FirstTimestamp": "first_at",
    "InvolvedObject.FieldPath": "field",
    "InvolvedObject.Kind": "kind",
    "InvolvedObject.Name": "name",
    "InvolvedObject.Namespace": "namespace",
    "LastTimestamp": "last_at",
    "Message": "message",
    "Namespace": "namespace",
    "Reason": "reason",
    "ReportingController": "component",
    "ReportingInstance": "node",
    "Source.Component": "component",
    "Source.Host": "node",
    "Type": "type",
    "UID": "uid",
}
_FILTERS: Final = {"toJson": " | tojson", "toPrettyJson": " | tojson", "quote": " | tojson"}


def go_hint(source: str) -> str | None:
    """Return how the first Go expression in `source` is written here, or None when there is none."""
    for number, line in enumerate(source.splitlines(), start=1):
        match = _ACTION.search(line)
        if match is not None:
            return f"line {number}: {match[0].strip()} }}}} is a template of Go's; {_here(match)}"
    return None


def _here(match: re.Match[str]) -> str:
    name = _NAMES.get(match["path"] or "")
    if name is None:
        return "here it would be a name such as {{ reason }}; there is none for this"
    suffix = _FILTERS.get((match["function"] or "").strip(), "")
    return f"here it is {{{{ {name}{suffix} }}}}"
