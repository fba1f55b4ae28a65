"""A strict stand-in for the webhook of a Feishu (Lark) custom bot.

What it asks of a request stands in feishu_rules and feishu_card, what people see of it in feishu_text.

By hand: `python -m tests.fakes.feishu --port 8900 --token demo --secret demo`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes import feishu_rules as rules
from tests.fakes.faults import Answer, Fault, Request, json_answer
from tests.fakes.feishu_rules import Bot, RefusedError
from tests.fakes.feishu_text import read
from tests.fakes.http import HttpFake
from tests.fakes.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

__all__ = ["Bot", "FeishuFake", "Message", "Refusal", "RefusedError"]

LEGACY_SUCCESS = {"StatusCode": 0, "StatusMessage": "success"}
SUCCESS = {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}


@dataclass(frozen=True)
class Message:
    """A message that the group sees. `mentions` are the ids that it pings; `all` is everybody."""

    arrived_at: datetime
    msg_type: str
    payload: Mapping[str, Any]
    title: str
    subtitle: str
    tags: tuple[str, ...]
    body: str
    preview: str
    mentions: tuple[str, ...]

    def visible_text(self) -> str:
        """Return everything that a person reads, one part per line."""
        return "\n".join(filter(None, (self.title, self.subtitle, " ".join(self.tags), self.body)))


@dataclass(frozen=True)
class Refusal:
    """A request that showed nothing; `code` is None when a fault swallowed it."""

    arrived_at: datetime
    code: int | None
    reason: str
    body: bytes


class FeishuFake(HttpFake):
    """One bot in one group: `messages` are shown there, `refused` are not.

    `bot` may be replaced while it runs (a rotated secret, a removed bot). `legacy` answers successes as old
    deployments do. 9499 has been seen with HTTP 400 and with 200, hence `bad_request_status`. `on_message`
    runs in the thread of the request and must not block.
    """

    name = "feishu"

    def __init__(
        self,
        bot: Bot | None = None,
        *,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
        on_message: Callable[[Message], object] | None = None,
        legacy: bool = False,
        bad_request_status: int = 400,
    ) -> None:
        super().__init__(port=port, clock=clock, sleep=sleep)
        self.bot = bot or Bot()
        self.messages: Journal[Message] = Journal()
        self.refused: Journal[Refusal] = Journal()
        self.legacy = legacy
        self.bad_request_status = bad_request_status
        self._on_message = on_message
        self._admitted_at: deque[float] = deque()

    @property
    def url(self) -> str:
        """The webhook address of the bot."""
        return f"{self.base_url}{rules.HOOK}{self.bot.token}"

    def wait_for(
        self, wanted: int | Callable[[Message], bool] = 1, *, timeout_seconds: float = 5.0
    ) -> tuple[Message, ...]:
        """Wait for so many messages, or for one that satisfies a predicate.

        Raises:
            TimeoutError: naming what was shown and what was refused instead.
        """
        try:
            return self.messages.wait_for(wanted, timeout_seconds=timeout_seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; refused: {[refusal.reason for refusal in self.refused]}") from None

    def answer(self, request: Request) -> Answer:
        try:
            payload = self._accepted(request)
        except RefusedError as error:
            self.refused.append(Refusal(request.arrived_at, error.code, str(error), request.body))
            status = self.bad_request_status if error.code == rules.BAD_REQUEST else error.status
            return error_answer(error.code, error.message, status=status)
        self._show(message_of(payload, request.arrived_at))
        return json_answer(LEGACY_SUCCESS if self.legacy else SUCCESS)

    def missed(self, request: Request, fault: Fault) -> None:
        self.refused.append(Refusal(request.arrived_at, None, f"fault: {fault.name}", request.body))

    def _accepted(self, request: Request) -> Mapping[str, Any]:
        """Return the payload that passes every check; the order of the checks is not documented."""
        token = rules.token_of(request)
        payload = rules.payload_of(request)
        rules.check_token(self.bot, token)
        rules.check_ip(self.bot, request.client)
        self._check_rate(request.arrived_at.timestamp())
        rules.check_signature(self.bot, payload, request.arrived_at.timestamp())
        rules.check_content(payload)
        rules.check_keywords(self.bot, payload)
        return payload

    def _check_rate(self, now: float) -> None:
        """Admit 5 a second and 100 a minute, counted over the seconds just passed."""
        while self._admitted_at and self._admitted_at[0] <= now - 60:
            self._admitted_at.popleft()
        last_second = sum(at > now - 1 for at in self._admitted_at)
        if _reached(self.bot.per_second, last_second) or _reached(self.bot.per_minute, len(self._admitted_at)):
            raise RefusedError(rules.FREQUENCY_LIMITED, rules.FREQUENCY_LIMITED_MESSAGE)
        self._admitted_at.append(now)

    def _show(self, message: Message) -> None:
        self.messages.append(message)
        if self._on_message is not None:
            self._on_message(message)


def _reached(limit: int | None, count: int) -> bool:
    return limit is not None and count >= limit


def message_of(payload: Mapping[str, Any], arrived_at: datetime) -> Message:
    """Return an accepted payload as the group sees it."""
    reading = read(payload)
    return Message(arrived_at=arrived_at, msg_type=payload["msg_type"], payload=payload, **vars(reading))


def error_answer(
    code: int, message: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return the body that the service gives with every error."""
    return json_answer({"code": code, "data": {}, "msg": message}, status=status, headers=headers)


# The faults that are this service's own.


def api_error(code: int, message: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Fault:
    """Answer with any code of the service, whatever was sent."""
    return Fault(f"code {code}", error_answer(code, message, status=status, headers=headers))


def frequency_limited() -> Fault:
    """Answer as under the load that the platform has on the full and half hour."""
    return api_error(rules.FREQUENCY_LIMITED, rules.FREQUENCY_LIMITED_MESSAGE)


def gateway_limited(reset_seconds: int) -> Fault:
    """Answer as the gateway in front of the service: HTTP 429, and how long to stay away."""
    headers = {"x-ogw-ratelimit-limit": "100", "x-ogw-ratelimit-reset": str(reset_seconds)}
    return api_error(99991400, "request trigger frequency limit", status=429, headers=headers)


def contradictory_success(code: int, message: str) -> Fault:
    """Answer with an error in `code` beside the old fields that claim a success."""
    return Fault(f"success with code {code}", json_answer({**LEGACY_SUCCESS, "code": code, "msg": message}))


def refuse_cards(
    code: int = rules.CARD_REFUSED, message: str = "ErrCode: 200621; ErrMsg: parse card json err; "
) -> Fault:
    """Refuse every card and let everything else through."""
    return Fault(f"cards refused with {code}", error_answer(code, message), concerns=is_card)


def is_card(request: Request) -> bool:
    """Tell whether the request carries a card."""
    try:
        payload = request.json()
    except ValueError:
        return False
    return isinstance(payload, dict) and payload.get("msg_type") == "interactive"


# By hand.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until interrupted and print every message."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    bot = Bot(token=options.token, secret=options.secret, keywords=tuple(options.keyword))
    with FeishuFake(bot, port=options.port, legacy=options.legacy, on_message=_print_message) as fake:
        _print(f"listening on {fake.url}")
        stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A stand-in for the webhook of a Feishu custom bot.")
    parser.add_argument("--port", type=int, default=8900, help="0 takes a free one")
    parser.add_argument("--token", default="demo")
    parser.add_argument("--secret", help="check signatures with it")
    parser.add_argument("--keyword", action="append", default=[], help="refuse messages without it")
    parser.add_argument("--legacy", action="store_true", help="answer successes as old deployments do")
    return parser


def _print_message(message: Message) -> None:
    pings = f"\n(pings {', '.join(message.mentions)})" if message.mentions else ""
    _print(f"\n{message.arrived_at:%H:%M:%S} {message.msg_type}\n{message.visible_text()}{pings}")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
