"""Lists of Events, page by page from one snapshot (apiserver `pkg/storage/etcd3/store.go`)."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.apiserver_answer import (
    Answer,
    RefusedError,
    bad_request,
    expired_continue,
    expired_list,
    ok,
    too_large_resource_version,
)
from tests.fakes.apiserver_options import ListOptions
from tests.fakes.apiserver_store import CompactedError, Event, EventStore, Snapshot

_TOKEN_VERSION = "meta.k8s.io/v1"
_INCONSISTENT = -1  # a token with this revision goes on in the state of the moment


@dataclass(frozen=True)
class ContinueToken:
    """Where the next page begins (a key, inclusive) and of which revision it is.

    The wire form is base64 without padding around compact JSON, as recorded.
    """

    revision: int
    start: str

    def encode(self) -> str:
        """Make it opaque."""
        fields = {"v": _TOKEN_VERSION, "rv": self.revision, "start": self.start}
        text = json.dumps(fields, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_continue_token(text: str) -> ContinueToken:
    """Read a token back; raise `RefusedError` (400) if it is none of ours."""
    try:
        fields = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if fields["v"] != _TOKEN_VERSION or not fields["rv"]:
            raise ValueError("not a token of this version")  # noqa: TRY301 - refused as the errors of reading are
        return ContinueToken(int(fields["rv"]), str(fields["start"]))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        refusal = bad_request(f"invalid continue token: continue key is not valid: {error}")
        raise RefusedError(refusal) from error


def list_events(store: EventStore, options: ListOptions) -> Answer:
    """Answer a list; raise `RefusedError` for a revision that is gone, or not yet there."""
    if options.continue_token:
        return _next_page(store, options)
    revision = _exact_revision(options)
    _refuse_the_future(store, options.resource_version)
    try:
        snapshot = store.snapshot(revision)
    except CompactedError as error:
        raise RefusedError(expired_list()) from error
    return _page(snapshot, options, start="")


def _next_page(store: EventStore, options: ListOptions) -> Answer:
    if options.resource_version is not None:
        message = "specifying resource version is not allowed when using continue"
        raise RefusedError(bad_request(message))
    token = decode_continue_token(options.continue_token)
    try:
        snapshot = store.snapshot(None if token.revision == _INCONSISTENT else token.revision)
    except CompactedError as error:
        successor = ContinueToken(_INCONSISTENT, token.start).encode()
        raise RefusedError(expired_continue(successor)) from error
    return _page(snapshot, options, start=token.start)


def _exact_revision(options: ListOptions) -> int | None:
    """The revision to list at, None for the newest: exact when asked for, and for a paged list."""
    legacy_exact = options.limit > 0 and options.resource_version_match == ""
    exact = options.resource_version_match == "Exact" or legacy_exact
    return options.resource_version if exact else None


def _refuse_the_future(store: EventStore, resource_version: int | None) -> None:
    if resource_version is not None and resource_version > store.revision:
        raise RefusedError(too_large_resource_version(resource_version, store.revision))


def _page(snapshot: Snapshot, options: ListOptions, *, start: str) -> Answer:
    entries = [entry for entry in snapshot.entries if entry[0] >= start]
    items, last_key = _fill(entries, options)
    metadata: dict[str, Any] = {"resourceVersion": str(snapshot.revision)}
    if last_key is not None:
        metadata["continue"] = ContinueToken(snapshot.revision, f"{last_key}\0").encode()
        if not options.field_selector.terms:
            metadata["remainingItemCount"] = len(entries) - len(items)
    return ok({"kind": "EventList", "apiVersion": "v1", "metadata": metadata, "items": items})


def _fill(entries: Sequence[tuple[str, Event]], options: ListOptions) -> tuple[list[Event], str | None]:
    """The matching items up to the limit, and the key of the last entry looked at if any are left.

    The server does not look whether one of those left matches, so a last page may be empty.
    """
    items: list[Event] = []
    last_key = None
    for key, event in entries:
        if 0 < options.limit == len(items):
            return items, last_key
        last_key = key
        if options.field_selector.matches(event):
            items.append(event)
    return items, None
