"""A receiver of any webhook: records what comes, answers what it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.faults import Answer, Request
from tests.fakes.http import HttpFake
from tests.fakes.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.faults import Fault


class WebhookFake(HttpFake):
    """Answers every request with `reply`, which may be changed at any time.

    `requests` holds those that were answered by it, `missed_requests` those that a fault swallowed.
    """

    name = "webhook"

    def __init__(
        self,
        reply: Answer | Callable[[Request], Answer] | None = None,
        *,
        port: int = 0,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__(port=port, sleep=sleep)
        self.reply = reply or Answer()
        self.requests: Journal[Request] = Journal()
        self.missed_requests: Journal[Request] = Journal()

    @property
    def url(self) -> str:
        """An address to send to; any other path will do."""
        return f"{self.base_url}/hook"

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.reply if isinstance(self.reply, Answer) else self.reply(request)

    def missed(self, request: Request, fault: Fault) -> None:  # noqa: ARG002 - the base's signature
        self.missed_requests.append(request)

    def wait_for(
        self, wanted: int | Callable[[Request], bool] = 1, *, timeout_seconds: float = 5.0
    ) -> tuple[Request, ...]:
        """Wait for so many answered requests, or for one that satisfies a predicate."""
        return self.requests.wait_for(wanted, timeout_seconds=timeout_seconds)
