"""What can go wrong with the answers of the API server, to be put into it one by one or together.

Each fault changes the genuine answer of the requests that it concerns; those that concern watches touch the
ones opened while the fault is in place. Watches that are open already are reached through `ApiServer.watches`.
"""

import json
import math
from typing import Literal, TypeAlias

from tests.fakes.apiserver_answer import Answer, encode, status_object, too_many_requests
from tests.fakes.apiserver_request import Request
from tests.fakes.apiserver_watch import CutWithin, Watch

Verb: TypeAlias = Literal["list", "watch"]

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    410: "Expired",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}

# Lines that a watch must survive: broken JSON, JSON that is no notification, notifications that are odd.
ODD_FRAMES: tuple[bytes, ...] = (
    b"not JSON\n",
    b'{"type":"ADDED","object":{"metadata":\n',
    b"\xff\xfe\n",
    b"\n",
    b"null\n",
    b"[]\n",
    b'{"object":{}}\n',
    b'{"type":"MOVED","object":{"kind":"Event"}}\n',
    b'{"type":"ADDED"}\n',
    b'{"type":"ADDED","object":null}\n',
    b'{"type":"ADDED","object":"an Event"}\n',
    b'{"type":"ADDED","object":{"metadata":null,"involvedObject":[],"count":"many"}}\n',
)


def oversize_frame(size: int) -> bytes:
    """Build an ADDED line of exactly `size` bytes whose message is all that is large."""
    bare = encode({"type": "ADDED", "object": {"kind": "Event", "message": ""}})
    return bare.replace(b'"message":""', b'"message":"' + b"x" * (size - len(bare)) + b'"')


class Fault:
    """Nothing goes wrong: what a real fault does not redefine stays genuine."""

    def delay_seconds(self, _request: Request) -> float:
        """How long the request waits for its answer."""
        return 0

    def answer(self, _request: Request, genuine: Answer | Watch) -> Answer | Watch:
        """The answer instead of the genuine one, which may also be changed and handed on."""
        return genuine


class _Counted(Fault):
    """A fault that wears off after some requests."""

    def __init__(self, times: float) -> None:
        self._times_left = times

    def _takes(self) -> bool:
        self._times_left -= 1
        return self._times_left >= 0


class AnswerNext(_Counted):
    """Answer the next requests, or the next lists or watches, with an error status.

    429 comes as text with Retry-After, as priority and fairness sends it, all others as a `Status`.
    """

    def __init__(
        self,
        status: int,
        *,
        times: float = 1,
        verb: Verb | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(times)
        self._verb = verb
        self._answer = _error(status, retry_after)

    def answer(self, request: Request, genuine: Answer | Watch) -> Answer | Watch:
        """The error, as long as it lasts."""
        return self._answer if _is(request, self._verb) and self._takes() else genuine


class SlowList(Fault):
    """Every page of a list takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def delay_seconds(self, request: Request) -> float:
        """The time that a page takes."""
        return self._seconds if request.is_list else 0


class NullItems(_Counted):
    """The next lists say `items: null`, as some old servers did when there were none."""

    def __init__(self, *, times: float = 1) -> None:
        super().__init__(times)

    def answer(self, request: Request, genuine: Answer | Watch) -> Answer | Watch:
        """The same list without its items."""
        if isinstance(genuine, Watch) or not request.is_list or not self._takes():
            return genuine
        return Answer(genuine.status, encode({**json.loads(genuine.body), "items": None}))


class CloseWatches(Fault):
    """Every watch ends in good order after some seconds or frames."""

    def __init__(self, *, after_seconds: float = math.inf, after_frames: float = math.inf) -> None:
        self._seconds = after_seconds
        self._frames = after_frames

    def answer(self, _request: Request, genuine: Answer | Watch) -> Answer | Watch:
        """The same watch, but shorter."""
        if isinstance(genuine, Watch):
            genuine.close_after(seconds=self._seconds, frames=self._frames)
        return genuine


class ExpireWatches(_Counted):
    """The next watches say at once that their resourceVersion is too old: a 410 in a stream of status 200."""

    def __init__(self, *, times: float = 1) -> None:
        super().__init__(times)

    def answer(self, _request: Request, genuine: Answer | Watch) -> Answer | Watch:
        """The same watch, expired."""
        if isinstance(genuine, Watch) and self._takes():
            genuine.expire()
        return genuine


class CutFrames(_Counted):
    """The connection of the next watches breaks in the middle of their first frame."""

    def __init__(self, within: CutWithin, *, times: float = 1) -> None:
        super().__init__(times)
        self._within = within

    def answer(self, _request: Request, genuine: Answer | Watch) -> Answer | Watch:
        """The same watch, to be cut."""
        if isinstance(genuine, Watch) and self._takes():
            genuine.cut_next_frame(self._within)
        return genuine


class SendFirst(_Counted):
    """The next watches begin with a line of the test's making, after the initial events if there are any."""

    def __init__(self, line: bytes, *, times: float = 1) -> None:
        super().__init__(times)
        self._line = line

    def answer(self, _request: Request, genuine: Answer | Watch) -> Answer | Watch:
        """The same watch with one more line."""
        if isinstance(genuine, Watch) and self._takes():
            genuine.send(self._line)
        return genuine


def _is(request: Request, verb: Verb | None) -> bool:
    if verb is None:
        return True
    return request.is_watch if verb == "watch" else request.is_list


def _error(status: int, retry_after: str | None) -> Answer:
    if status == 429:
        return too_many_requests(retry_after or "1")
    reason = _REASONS.get(status, "Unknown")
    body = encode(status_object(status, reason, f"the stand-in was told to answer {status}"))
    return Answer(status, body, headers={"Retry-After": retry_after} if retry_after else {})
