"""Requests, answers and what can go wrong between them: the vocabulary of the HTTP fakes."""

from __future__ import annotations

import enum
import json
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class Request:
    """One request as it arrived; the names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: str
    arrived_at: datetime

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            ValueError: the body is not JSON in UTF-8, or nested too deeply to be read.
        """
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


@dataclass(frozen=True)
class Answer:
    """An ordinary HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Ending(enum.Enum):
    """The ways in which a connection ends without an answer."""

    CLOSE = "close"
    HANG = "hang"


Outcome: TypeAlias = Answer | Ending


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer whose body is JSON, compact and in UTF-8."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return Answer(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def every_request(_request: Request) -> bool:
    """Concern every request."""
    return True


@dataclass(frozen=True)
class Fault:
    """What happens to a request besides, or instead of, its ordinary answer.

    `handled` says whether the request takes effect all the same (a message is shown although its sender
    never learns of it, which is how duplicates come about); `concerns` narrows the fault to some requests.
    """

    name: str
    outcome: Outcome | None = None
    delay_seconds: float = 0.0
    handled: bool = False
    concerns: Callable[[Request], bool] = every_request


def http_error(
    status: int, *, headers: Mapping[str, str] | None = None, body: bytes = b"", handled: bool = False
) -> Fault:
    """Answer with a status, as a proxy or a gateway on the way does (500, 502, 429 with Retry-After)."""
    return Fault(f"HTTP {status}", Answer(status, body, headers or {}), handled=handled)


def body(content: bytes, *, status: int = 200, handled: bool = False) -> Fault:
    """Answer with this body whatever was asked: garbage, or nothing at all."""
    return Fault(f"body {content[:20]!r}", Answer(status, content), handled=handled)


def slow(seconds: float) -> Fault:
    """Hold the answer back; the request has taken effect by then."""
    return Fault(f"slow by {seconds} s", delay_seconds=seconds)


def hang(*, handled: bool = False) -> Fault:
    """Accept the request and never answer; ends when the client leaves or the fake stops."""
    return Fault("hang", Ending.HANG, handled=handled)


def close(*, handled: bool = False) -> Fault:
    """Close the connection without an answer."""
    return Fault("close", Ending.CLOSE, handled=handled)


class Faults:
    """The faults that are armed, oldest first.

    Every delay applies; of the other faults that concern a request only the oldest does, and only that one
    is used up. So `500 twice, then a hang` is said in this order, with or without a delay on top.
    """

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault, times: int | None) -> None:
        """Arm a fault for the next `times` requests that it concerns, or until cleared (None)."""
        with self._lock:
            self._armed.append(_Armed(fault, times))

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._armed.clear()

    def take(self, request: Request) -> Fault | None:
        """Return what applies to this request as one fault, and count it as used."""
        with self._lock:
            armed = [one for one in self._armed if one.fault.concerns(request)]
            delays = [one.use() for one in armed if one.fault.outcome is None]
            spoiler = next((one.use() for one in armed if one.fault.outcome is not None), None)
            self._armed = [one for one in self._armed if one.left != 0]
        return _combined(delays, spoiler)


@dataclass(eq=False)
class _Armed:
    """A fault, and how often it still happens; None is for ever."""

    fault: Fault
    left: int | None

    def use(self) -> Fault:
        if self.left is not None:
            self.left -= 1
        return self.fault


def _combined(delays: list[Fault], spoiler: Fault | None) -> Fault | None:
    first = spoiler or next(iter(delays), None)
    total_seconds = sum(fault.delay_seconds for fault in delays)
    return first and replace(first, delay_seconds=total_seconds)
