"""Tells a dead man's switch, such as healthchecks.io, that we work: it raises an alarm when it is told no more."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from tocsin_consumer.errors import DeliveryError
from tocsin_consumer.receivers import http

_log = logging.getLogger(__name__)


class Heartbeat:
    """Requests an address from time to time, for as long as there is nothing to complain of.

    The address is a secret, and the errors of `http` do not hold it.

    Args:
        webhook: what to request.
        problems: tells what keeps us from working.
        every: how often.
    """

    def __init__(self, webhook: http.Webhook, *, problems: Callable[[], Sequence[str]], every: timedelta) -> None:
        self._webhook = webhook
        self._problems = problems
        self._every_seconds = every.total_seconds()
        self._failures = 0
        self._silent = False

    def run(self, stop: threading.Event) -> None:
        """Beat until `stop` is set."""
        while not stop.wait(self._every_seconds):
            self.step()
        self._webhook.close()

    def step(self) -> None:
        """Beat once, or say why not."""
        problems = self._problems()
        if problems and not self._silent:
            _log.warning("no heartbeat is sent: %s", "; ".join(problems))
        self._silent = bool(problems)
        if not problems:
            self._beat()

    def _beat(self) -> None:
        try:
            http.check_status(self._webhook.send(b"", method="GET", headers={}))
        except DeliveryError as error:
            self._failures += 1
            log = _log.warning if self._failures == 1 else _log.debug
            log("the heartbeat was not taken: %s", error.reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the address
            _log.error("the heartbeat failed: %s", type(error).__name__)
        else:
            if self._failures:
                _log.info("the heartbeat is taken again after %d failures", self._failures)
            self._failures = 0
