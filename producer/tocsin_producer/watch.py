"""List, then watch, for ever: one field selector, one thread.

Layers, each with one worry: `run` repeats; `step` turns every failure into a pause of its own and the decision
to list anew; `_list` and `_follow` speak to the API server; `_handle` tells frames apart.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from tocsin_producer.api import ANSWER_SECONDS, CONNECT_TIMEOUT_SECONDS, NETWORK_ERRORS, ApiClient, failure
from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.errors import ApiError, ExpiredError
from tocsin_producer.intake import Intake
from tocsin_schemas.backoff import backoff_seconds
from tocsin_schemas.pulse import Pulse

_log = logging.getLogger(__name__)

EVENTS: Final = "/api/v1/events"
PAGE_SIZE: Final = 200
#: The server ends a watch after this time; a connection silent for longer than that is dead.
WATCH_SECONDS: Final = 240
SILENCE_SECONDS: Final = 270.0
#: A full list costs the API server, so in a storm of 410s they grow rarer up to this.
LIST_PAUSE_LIMIT_SECONDS: Final = 300.0
RETRY_LIMIT_SECONDS: Final = 60.0
#: A watch that lived this long was a good one: its end is nothing to back off from.
_GOOD_WATCH_SECONDS: Final = 5.0

_HINTS: Final = {
    401: "the token is not valid (any more)",
    403: "grant get, list and watch on events to this account in a ClusterRole",
}


class Watch:
    """Follows the Events that one field selector lets through.

    The list gives everything that happened meanwhile and the resource version to watch from. A stored version
    is never used: the API server answers one from its future with silence.

    Args:
        name: what this watch is called in logs and in the checkpoint.
        selector: a field selector; empty for all Events.
        on_list: called with the client after each complete list, for what else there is to ask.
        on_unauthorized: called when credentials that were good are refused.
    """

    def __init__(
        self,
        client: ApiClient,
        intake: Intake,
        checkpoint: Checkpoint,
        *,
        selector: str,
        on_list: Callable[[ApiClient], None] = lambda _client: None,
        on_unauthorized: Callable[[], None] = lambda: None,
        backoff: Callable[..., float] = backoff_seconds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._intake = intake
        self._checkpoint = checkpoint
        self._selector = selector
        self._on_list = on_list
        self._on_unauthorized = on_unauthorized
        self._backoff = backoff
        self._clock = clock
        self._resource_version: str | None = None
        self._failures = 0
        self.pulse = Pulse(clock)
        self.has_listed = False

    @property
    def contact_seconds(self) -> float | None:
        """For how long the API server has said nothing; None if it never has."""
        return self._client.contact_seconds

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set; `abort` ends a wait for the server."""
        while not stop.is_set():
            pause = self.step()
            self.pulse.expect(pause)
            stop.wait(pause)
        self.pulse.rest()
        self._client.close()

    def abort(self) -> None:
        """Break off what waits for the server; any thread may call this."""
        self._client.abort()

    def step(self) -> float:
        """List if need be, follow one watch to its end, and return the pause before the next step, in seconds."""
        try:
            if self._resource_version is None:
                self._list()
            return self._follow()
        except ExpiredError as error:
            return self._retreat(error, limit=LIST_PAUSE_LIMIT_SECONDS)
        except ApiError as error:
            if error.status == HTTPStatus.UNAUTHORIZED and self.has_listed:
                self._on_unauthorized()
            return max(self._retreat(error, limit=RETRY_LIMIT_SECONDS), error.retry_after or 0.0)
        except NETWORK_ERRORS as error:
            return self._retreat(error, limit=RETRY_LIMIT_SECONDS, keep_version=True)
        except sqlite3.Error:  # the database says it
            return self._retreat(None, limit=RETRY_LIMIT_SECONDS)
        except Exception as error:  # noqa: BLE001 - the top of the thread
            _log.exception("the watch failed; going on with a new list")
            return self._retreat(error, limit=RETRY_LIMIT_SECONDS)

    def _list(self) -> None:
        """Read all pages, which are of one moment, and forget what they do not name any more."""
        generation = self._checkpoint.begin_list()
        query: dict[str, str | int] = {"limit": PAGE_SIZE, **self._selection()}
        while True:
            self.pulse.expect(CONNECT_TIMEOUT_SECONDS + ANSWER_SECONDS)
            page = self._client.get(EVENTS, query)
            self._take_page(page)
            metadata = _metadata(page)
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        self._checkpoint.end_list(self._selector, generation)
        self._resource_version = metadata.get("resourceVersion") or None
        if self._resource_version is None:
            raise ApiError(200, "the list has no resource version")
        self.has_listed = True
        self._on_list(self._client)

    def _take_page(self, page: dict[str, Any]) -> None:
        items = page.get("items")
        if items is not None and not isinstance(items, list):
            self._intake.note_malformed("a list whose items are no list")
            return
        self._intake.offer(items or [], self._selector)

    def _follow(self) -> float:
        """Follow a watch until the server ends it and return the pause before the next one."""
        began = self._clock()
        frames = 0
        self.pulse.expect(CONNECT_TIMEOUT_SECONDS + SILENCE_SECONDS)
        for line in self._client.stream(EVENTS, self._watch_query(), timeout=SILENCE_SECONDS):
            self.pulse.expect(SILENCE_SECONDS)
            if self._handle(line):
                frames += 1
                self._recover()
        if frames or self._clock() - began >= _GOOD_WATCH_SECONDS:
            self._recover()
            return 0.0
        self._failures += 1
        return self._backoff(self._failures, limit=RETRY_LIMIT_SECONDS)

    def _watch_query(self) -> dict[str, str | int]:
        return {
            "watch": 1,
            "resourceVersion": self._resource_version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": WATCH_SECONDS,
            **self._selection(),
        }

    def _selection(self) -> dict[str, str]:
        return {"fieldSelector": self._selector} if self._selector else {}

    def _handle(self, line: bytes) -> bool:
        """Take one frame, and say whether it was one.

        Raises:
            ApiError: the frame is an error of the server's; ExpiredError for a 410.
        """
        try:
            frame = json.loads(line)
            kind, value = frame["type"], frame["object"]
        except (ValueError, TypeError, KeyError, RecursionError):
            self._intake.note_malformed("a line that is no watch event")
            return False
        if kind == "ERROR":
            raise _status(value)
        if kind in ("ADDED", "MODIFIED"):
            self._intake.offer([value], self._selector)
        elif kind == "DELETED":
            self._intake.forget(value)
        elif kind != "BOOKMARK":
            self._intake.note_malformed(f"a watch event of the unknown type {kind!r}"[:100])
        self._advance(value)
        return True

    def _advance(self, value: object) -> None:
        """Go on from here after a break; what has been handled is committed."""
        version = _metadata(value).get("resourceVersion")
        if isinstance(version, str) and version:
            self._resource_version = version

    def _retreat(self, error: Exception | None, *, limit: float, keep_version: bool = False) -> float:
        """Note a failure, warn at the first of a streak, and return the pause before the next try."""
        self._client.close()
        if not keep_version:
            self._resource_version = None
        self._failures += 1
        expected = (
            isinstance(error, ExpiredError) and self._failures == 1
        )  # ordinary: events are rare, history short
        log = _log.warning if self._failures == 1 and not expected else _log.debug
        if error is not None:
            log("API server: %s", _explain(error))
        return 0.0 if expected else self._backoff(self._failures, limit=limit)

    def _recover(self) -> None:
        if self._failures > 1:
            _log.info("watching again after %d failures", self._failures)
        self._failures = 0


def _metadata(value: object) -> dict[str, Any]:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _status(value: object) -> ApiError:
    """Return the failure that a Status object in a stream tells."""
    status = value if isinstance(value, dict) else {}
    code = status.get("code")
    return failure(
        code if isinstance(code, int) else 500, str(status.get("message", "an error without a message"))
    )


def _explain(error: Exception) -> str:
    text = str(error) or type(error).__name__
    hint = _HINTS.get(error.status) if isinstance(error, ApiError) else None
    return f"{text} ({hint})" if hint else text
