"""The query of a list or a watch: `ListOptions` of apimachinery, read and refused as the server does."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.fakes.apiserver_answer import Answer, RefusedError, bad_request, invalid_option
from tests.fakes.apiserver_selector import FieldSelector, SelectorError, parse_field_selector

_NOT_OLDER_THAN = "NotOlderThan"


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What a client asks for; `resource_version` is None if it is absent or "0", which mean the newest here."""

    watch: bool
    limit: int
    continue_token: str
    field_selector: FieldSelector
    resource_version: int | None
    resource_version_match: str
    send_initial_events: bool
    allow_watch_bookmarks: bool
    timeout_seconds: int


def parse_list_options(query: Mapping[str, str]) -> ListOptions:
    """Read the query; parameters that nobody knows are ignored, as by the server.

    Raises:
        RefusedError: 400 for a value that cannot be read, 422 for values that do not go together.
    """
    watch = asks_for_watch(query)
    _validate(query, watch=watch)
    resource_version = _number(query, "resourceVersion") or None
    return ListOptions(
        watch=watch,
        limit=_number(query, "limit"),
        continue_token=query.get("continue", ""),
        field_selector=_field_selector(query.get("fieldSelector", "")),
        resource_version=resource_version,
        resource_version_match=query.get("resourceVersionMatch", ""),
        send_initial_events=_flag(query, "sendInitialEvents", default=resource_version is None),
        allow_watch_bookmarks=_flag(query, "allowWatchBookmarks"),
        timeout_seconds=_number(query, "timeoutSeconds"),
    )


def asks_for_watch(query: Mapping[str, str]) -> bool:
    """Whether the request is a watch, for its verb decides what role it needs."""
    return _flag(query, "watch")


def _flag(query: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Anything but "false" and "0" is true (`Convert_Slice_string_To_bool`)."""
    return query[name].lower() not in {"false", "0"} if name in query else default


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if text == "":
        return 0
    signed = name != "resourceVersion"
    if not text.removeprefix("-" if signed else "").isdecimal():
        raise RefusedError(_not_a_number(name, text))
    return int(text)


def _not_a_number(name: str, text: str) -> Answer:
    if name != "resourceVersion":
        return bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    reason = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
    return bad_request(f"invalid resource version: resourceVersion: {reason}")


def _field_selector(text: str) -> FieldSelector:
    try:
        return parse_field_selector(text)
    except SelectorError as error:
        raise RefusedError(bad_request(str(error))) from error


def _validate(query: Mapping[str, str], *, watch: bool) -> None:
    """Refuse what `ValidateListOptions` refuses, and what this stand-in cannot do."""
    if "labelSelector" in query:
        raise RefusedError(Answer(501, b"this stand-in selects by field only\n", "text/plain; charset=utf-8"))
    match = query.get("resourceVersionMatch", "")
    if watch:
        _validate_watch(match, sends_initial="sendInitialEvents" in query)
    elif "sendInitialEvents" in query:
        _refuse("sendInitialEvents", "sendInitialEvents is forbidden for list")
    elif match:
        _validate_list_match(query)


def _validate_watch(match: str, *, sends_initial: bool) -> None:
    if sends_initial and match != _NOT_OLDER_THAN:
        _refuse("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    if match and not sends_initial:
        _refuse(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )


def _validate_list_match(query: Mapping[str, str]) -> None:
    if not query.get("resourceVersion"):
        _refuse(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )
    if query.get("continue"):
        _refuse("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")


def _refuse(name: str, message: str) -> None:
    raise RefusedError(invalid_option(name, message))
