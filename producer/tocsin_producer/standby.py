"""What a superseded producer does at the broker: watch, under another name, whether the other is still there.

It leaves so long after the last sign of life, whatever its own connections do meanwhile. If it was deaf and the
other is there after all, the statuses of both show it, and one of them steps back again.
"""

import time
from collections.abc import Callable
from typing import Final

from tocsin_producer.rivalry import Standing
from tocsin_producer.status import RETELL_SECONDS
from tocsin_schemas.session import Connection, Received

#: How long the other may be away before it counts as gone: longer than its longest back-off and one connect.
GRACE_SECONDS: Final = 90.0
#: A status that comes is a sign of life until the next has to come.
PATIENCE_SECONDS: Final = RETELL_SECONDS + GRACE_SECONDS


class Standby:
    """Handler of the session (`tocsin_schemas.session.Handler`) that publishes nothing.

    Args:
        status_topic: where the status of our cluster is told.
        boot: our own, whose statuses mean nothing here.
        rival: that of the other producer; `last_boot` is the latest that was seen.
        leave: called once the other has not been heard of for too long.
    """

    def __init__(
        self,
        status_topic: str,
        *,
        boot: int,
        rival: int,
        leave: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status_topic = status_topic
        self._boot = boot
        self._leave = leave
        self._clock = clock
        #: When the other counts as gone: as long as we have not listened, we cannot know.
        self._gone_at = clock() + PATIENCE_SECONDS
        self._has_listened = False
        self._last_seen: bytes | None = None
        self.last_boot = rival

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:  # noqa: ARG002
        """Look and listen: the other, whose session we have just taken, has to tell anew."""
        if not self._has_listened:
            self._has_listened = True
            self._gone_within(GRACE_SECONDS)
        connection.look(self._status_topic)

    def on_disconnected(self, reason: str) -> None:
        """Nothing was under way."""

    def leave_if_gone(self) -> None:
        """Leave once the other counts as gone; to be called without a connection as well."""
        if self._clock() >= self._gone_at:
            self._leave()

    def _gone_within(self, seconds: float) -> None:
        self._gone_at = min(self._gone_at, self._clock() + seconds)

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Nothing was published."""

    def on_message(self, connection: Connection, message: Received) -> None:
        """Take note of the other producer's status."""
        connection.acknowledge(message)
        found = Standing.read(message.payload)
        if found is None or found.boot == self._boot or message.topic != self._status_topic:
            return
        self.last_boot = max(self.last_boot, found.boot)
        self._note(message, online=found.online)

    def _note(self, message: Received, *, online: bool) -> None:
        """Wait for the next sign of life.

        What is retained may be all that is left of the other. It is a sign of life only if it has changed since we
        saw it last: it was told in a break of our own.
        """
        has_changed = self._last_seen not in (None, message.payload)
        self._last_seen = message.payload
        if not online:
            self._gone_within(GRACE_SECONDS)
        elif has_changed or not message.retained:
            self._gone_at = self._clock() + PATIENCE_SECONDS

    def on_turn(self, connection: Connection) -> float | None:  # noqa: ARG002
        """Leave once the other counts as gone."""
        self.leave_if_gone()
        return max(0.0, self._gone_at - self._clock()) or None

    def on_stopping(self, connection: Connection) -> None:
        """Nothing to say."""

    def is_idle(self) -> bool:
        """Nothing waits here."""
        return True
