"""What a superseded producer does at the broker: watch, under another name, whether the other is still there."""

import time
from collections.abc import Callable
from typing import Final

from tocsin_producer.rivalry import Standing
from tocsin_producer.status import RETELL_SECONDS
from tocsin_schemas.session import Connection, Received

#: How long the other may be away before it counts as gone: longer than its longest back-off and one connect.
GRACE_SECONDS: Final = 90.0
#: A status that is there says little, and one that comes is a sign of life until the next has to come.
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
        self._gone_at = clock() + GRACE_SECONDS
        self._connections = 0
        self.last_boot = rival

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:  # noqa: ARG002
        """Look and listen."""
        self._connections += 1
        self._gone_at = max(self._gone_at, self._clock() + GRACE_SECONDS)
        connection.look(self._status_topic)

    def on_disconnected(self, reason: str) -> None:
        """Nothing was under way."""

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Nothing was published."""

    def on_message(self, connection: Connection, message: Received) -> None:
        """Take note of the other producer's status."""
        connection.acknowledge(message)
        found = Standing.read(message.payload)
        if found is None or found.boot == self._boot or message.topic != self._status_topic:
            return
        self.last_boot = max(self.last_boot, found.boot)
        self._note(online=found.online, retained=message.retained)

    def _note(self, *, online: bool, retained: bool) -> None:
        """Wait for the next sign of life.

        What is retained at our first look may be all that is left of the other: we have just taken its session
        from it, so it has to tell anew. After a break of our own, it may be long since it told.
        """
        if not online:
            self._gone_at = min(self._gone_at, self._clock() + GRACE_SECONDS)
        elif not retained or self._connections > 1:
            self._gone_at = self._clock() + PATIENCE_SECONDS

    def on_turn(self, connection: Connection) -> float | None:  # noqa: ARG002
        """Leave once the other counts as gone."""
        left = self._gone_at - self._clock()
        if left <= 0:
            self._leave()
            return None
        return left

    def on_stopping(self, connection: Connection) -> None:
        """Nothing to say."""

    def is_idle(self) -> bool:
        """Nothing waits here."""
        return True
