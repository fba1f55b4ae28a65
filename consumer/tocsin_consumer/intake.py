"""The consumer's part of the MQTT session: subscribe, hand over, and acknowledge what the store has kept."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.decode import PAYLOAD_LIMIT
from tocsin_consumer.inbox import Arrival, Inbox
from tocsin_schemas import topics
from tocsin_schemas.session import Connection, ConnectionLostError, Received

_log = logging.getLogger(__name__)

#: How long a full inbox keeps the session from reading at once: far below any keepalive, so pings go on.
READ_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Uplink:
    """A connection that the broker has accepted: since when, in monotonic seconds.

    `resumed` is whether the broker had kept our session, so that what was said meanwhile still comes.
    """

    since: float
    resumed: bool


class Intake:
    """Hands messages over to the inbox and acknowledges them when they come back.

    Everything but `hand_back` and `close` is called in the session's thread. What has been handed over stays
    in the inbox when its connection ends, since a broker may have forgotten the session: it is stored, not
    acknowledged, and recognised if it comes again.
    """

    def __init__(
        self, root: str, inbox: Inbox, *, clock: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        #: None while there is no connection. Any thread may read this.
        self.uplink: Uplink | None = None
        #: Connections so far.
        self.connections = 0
        #: When the session last gave us a turn, in monotonic seconds.
        self.turned_at = monotonic()
        self._root = root
        self._inbox = inbox
        self._clock = clock
        self._monotonic = monotonic
        self._stored: deque[Arrival] = deque()
        self._closed = False
        self._overflowed = False

    def close(self) -> None:
        """Take nothing more in; the broker keeps it for the next start. Any thread may call this."""
        self._closed = True

    def hand_back(self, arrivals: Iterable[Arrival]) -> None:
        """Let the session acknowledge `arrivals` at its next turn. Any thread may call this."""
        self._stored.extend(arrivals)

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:
        """Subscribe; brokers keep a subscription with the session, and asking again does no harm."""
        if self.connections and not session_present:
            _log.warning("the broker has forgotten our session, and with it what it held for us")
        self.connections += 1
        self.turned_at = self._monotonic()
        self.uplink = Uplink(self.turned_at, session_present)
        self._overflowed = False
        connection.subscribe(topics.event_filter(self._root), topics.status_topic(self._root, "+"))

    def on_disconnected(self, reason: str) -> None:  # noqa: ARG002 - the session logs it
        """Note it; what comes back for this connection is recognised and left alone."""
        self.uplink = None

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Nothing to do: a consumer publishes nothing."""

    def on_message(self, connection: Connection, message: Received) -> None:
        """Hand `message` over, without what is beyond the size that anyone would look at.

        Once one did not fit, none behind it is taken over this connection: a newer state of an event that
        overtakes an older one would make the older one stale.
        """
        if self._closed or self._overflowed:
            return
        if len(message.payload) > PAYLOAD_LIMIT:
            message = replace(message, payload=message.payload[: PAYLOAD_LIMIT + 1])
        self._overflowed = not self._inbox.put(Arrival(message, self._clock(), connection))

    def on_turn(self, connection: Connection) -> None:
        """Acknowledge what is stored; while the inbox is full, read nothing more for a moment.

        Raises:
            ConnectionLostError: messages found no room at all, and there is some now: brokers send what was
                not acknowledged again over a new connection, and only then.
        """
        self.turned_at = self._monotonic()
        self._acknowledge(connection)
        if self._closed:
            return
        if not self._overflowed:
            self._inbox.wait_for_room(READ_PAUSE_SECONDS)
        elif not len(self._inbox):
            raise ConnectionLostError("more came than the inbox holds; asking the broker for it again")

    def on_stopping(self, connection: Connection) -> None:
        """Acknowledge the last."""
        self._acknowledge(connection)

    def is_idle(self) -> bool:
        """Whether all that is stored is acknowledged."""
        return not self._stored

    def _acknowledge(self, connection: Connection) -> None:
        stored = [self._stored.popleft() for _ in range(len(self._stored))]
        connection.acknowledge(*(arrival.message for arrival in stored if arrival.connection is connection))
