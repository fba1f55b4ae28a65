"""List, then watch, for ever: one field selector, one thread.

Layers, each with one worry: `run` repeats; `step` turns every failure into a pause of its own and the decision
to list anew; `_list` and `_follow` speak to the API server; `_handle` tells frames apart.
"""

import http.client
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from tocsin_producer.api import ANSWER_SECONDS, BODY_LIMIT, NETWORK_ERRORS, OPENING_SECONDS, ApiClient, failure
from tocsin_producer.checkpoint import Checkpoint
from tocsin_producer.errors import ApiError, ExpiredError, ResolveError, TokenError, TooLargeError
from tocsin_producer.intake import Intake
from tocsin_producer.listed import Listed, metadata
from tocsin_schemas.backoff import backoff_seconds
from tocsin_schemas.pulse import Pulse

_log = logging.getLogger(__name__)

EVENTS: Final = "/api/v1/events"
PAGE_SIZE: Final = 50
#: More than this is asked for again in smaller pages: an edge node has no memory for more.
PAGE_BYTES: Final = 2 * 1024**2
#: Events of a list that are taken in one transaction, and between two looks at the room that is left.
_PORTION: Final = 20
#: The server ends a watch after this time; a connection silent for longer than that is dead.
WATCH_SECONDS: Final = 240
SILENCE_SECONDS: Final = 270.0
#: A full list costs the API server, so in a storm of 410s they grow rarer up to this.
LIST_PAUSE_LIMIT_SECONDS: Final = 300.0
RETRY_LIMIT_SECONDS: Final = 60.0
#: A watch that lived this long was a good one: its end is nothing to back off from.
_GOOD_WATCH_SECONDS: Final = 5.0
#: The server's condition rather than the version's. But a version from its future is a 504 for ever, so after
#: `_PATIENCE` failures in a row only a new list helps.
_OVERLOADED: Final = frozenset({429, 500, 502, 503, 504})
_PATIENCE: Final = 8

_HINTS: Final = {
    401: "the token is not valid (any more)",
    403: "grant get, list and watch on events to this account in a ClusterRole",
}


class Watch:
    """Follows the Events that one field selector lets through.

    The list gives everything that happened meanwhile and the resource version to watch from. A stored version
    is never used: the API server answers one from its future with silence.

    Args:
        selector: a field selector, empty for all Events; the checkpoint's name for this watch.
        on_list: called with the client after each complete list, for what else there is to ask.
        hold_back: called before each portion of a list, again as long as it returns True, see `Backpressure`.
    """

    def __init__(
        self,
        client: ApiClient,
        intake: Intake,
        checkpoint: Checkpoint,
        *,
        selector: str,
        on_list: Callable[[ApiClient], None] = lambda _client: None,
        hold_back: Callable[[], bool] = lambda: False,
        backoff: Callable[..., float] = backoff_seconds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._intake = intake
        self._checkpoint = checkpoint
        self._selector = selector
        self._on_list = on_list
        self._hold_back = hold_back
        self._backoff = backoff
        self._clock = clock
        self._resource_version: str | None = None
        self._page_size = PAGE_SIZE
        self._failures = 0
        self._expiries = 0
        self._is_aborted = False
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
        """Break off what waits for the server, to stop; any thread may call this."""
        self._is_aborted = True
        self._client.abort()

    def step(self) -> float:
        """List if need be, follow one watch to its end, and return the pause before the next step, in seconds."""
        try:
            if self._resource_version is None:
                self._list()
            return self._follow()
        except ExpiredError as error:
            return self._expire(error)
        except ApiError as error:
            keep = error.status in _OVERLOADED and self._failures < _PATIENCE
            pause = self._retreat(error, limit=RETRY_LIMIT_SECONDS, keep_version=keep)
            return max(pause, min(error.retry_after or 0.0, LIST_PAUSE_LIMIT_SECONDS))
        except (TokenError, ResolveError, *NETWORK_ERRORS) as error:
            return self._retreat(error, limit=RETRY_LIMIT_SECONDS, keep_version=True)
        except sqlite3.Error:  # the database says it
            return self._retreat(None, limit=RETRY_LIMIT_SECONDS)
        except Exception as error:  # noqa: BLE001 - the top of the thread
            _log.exception("the watch failed; going on with a new list")
            return self._retreat(error, limit=RETRY_LIMIT_SECONDS)

    def _list(self) -> None:
        """Read all pages, which are of one moment, and forget what they do not name any more."""
        generation = self._checkpoint.begin_list()
        query: dict[str, str | int] = {**self._selection()}
        listed = Listed()
        while True:
            page = self._get_page(query)
            self._offer(listed.take_page(_items(page)))
            about = metadata(page)
            if not about.get("continue"):
                break
            query["continue"] = about["continue"]
        self._offer(listed.take_rest())
        if not about.get("resourceVersion"):
            raise ApiError(200, "the list has no resource version")
        self._checkpoint.end_list(self._selector, generation)
        self._resource_version = about["resourceVersion"]
        self.has_listed = True
        self._on_list(self._client)

    def _get_page(self, query: dict[str, str | int]) -> dict[str, Any]:
        """Ask for a page, for a smaller one while it is too large, and for larger ones again after that."""
        while True:
            limit = PAGE_BYTES if self._page_size > 1 else BODY_LIMIT
            self.pulse.expect(OPENING_SECONDS + ANSWER_SECONDS)
            try:
                page = self._client.get(EVENTS, {"limit": self._page_size, **query}, limit=limit)
            except TooLargeError:
                if self._page_size == 1:
                    raise
                self._page_size //= 2
            else:
                self._page_size = min(PAGE_SIZE, self._page_size * 2)
                return page

    def _offer(self, items: Iterator[object]) -> None:
        """Offer what was listed, a portion at a time."""
        while portion := list(islice(items, _PORTION)):
            self._wait_for_room()
            self._intake.offer(portion, self._selector)

    def _wait_for_room(self) -> None:
        """Leave it to the API server to hold what there is no room for, until there is.

        Raises:
            ConnectionAbortedError: we are to stop; the next start lists again what has not been taken.
        """
        while self._hold_back():
            self.pulse.expect(0.0)
            if self._is_aborted:
                raise ConnectionAbortedError("stopped within a list")

    def _follow(self) -> float:
        """Follow a watch until the server ends it and return the pause before the next one."""
        began = self._clock()
        frames = 0
        self.pulse.expect(OPENING_SECONDS + SILENCE_SECONDS)
        try:
            for line in self._client.stream(EVENTS, self._watch_query(), timeout=SILENCE_SECONDS):
                self.pulse.expect(SILENCE_SECONDS)
                if self._handle(line):
                    frames += 1
                    self._recover()
        finally:
            is_good = self._clock() - began >= _GOOD_WATCH_SECONDS
            if is_good:
                self._expiries = 0
        if frames or is_good:
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
        """Take one frame, and say whether it told of an Event.

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
        return bool(kind != "BOOKMARK")

    def _advance(self, value: object) -> None:
        """Go on from here after a break; what has been handled is committed."""
        version = metadata(value).get("resourceVersion")
        if isinstance(version, str) and version:
            self._resource_version = version

    def _expire(self, error: ExpiredError) -> float:
        """List anew: at once the first time, which is ordinary, as events are rare and history is short."""
        self._client.close()
        self._resource_version = None
        self._expiries += 1
        log = _log.warning if self._expiries == 2 else _log.debug
        log("API server: %s", _explain(error))
        return 0.0 if self._expiries == 1 else self._backoff(self._expiries, limit=LIST_PAUSE_LIMIT_SECONDS)

    def _retreat(self, error: Exception | None, *, limit: float, keep_version: bool = False) -> float:
        """Note a failure, warn at the first of a streak, and return the pause before the next try."""
        self._client.close()
        if not keep_version:
            self._resource_version = None
        self._failures += 1
        log = _log.warning if self._failures == 1 and not self._is_aborted else _log.debug
        if error is not None:
            log("API server: %s", _explain(error))
        return self._backoff(self._failures, limit=limit)

    def _recover(self) -> None:
        if self._failures > 1:
            _log.info("watching again after %d failures", self._failures)
        self._failures = 0


def _items(page: dict[str, Any]) -> list[object]:
    """Return what a page of a list names.

    Raises:
        ApiError: it is none: a proxy may answer in the place of the API server. Nothing may be forgotten for that.
    """
    items = page.get("items", ...)
    if items is not None and not isinstance(items, list):
        raise ApiError(200, "the answer is no list of Events")
    return items or []


def _status(value: object) -> ApiError:
    """Return the failure that a Status object in a stream tells."""
    status = value if isinstance(value, dict) else {}
    code = status.get("code")
    return failure(
        code if isinstance(code, int) else 500, str(status.get("message", "an error without a message"))
    )


def _explain(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the connection broke off in the middle of an answer"
    text = str(error) or type(error).__name__
    hint = _HINTS.get(error.status) if isinstance(error, ApiError) else None
    return f"{text} ({hint})" if hint else text
