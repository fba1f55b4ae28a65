"""The producer's end of the MQTT session: a small window from the outbox to the broker, and the status."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tocsin_producer.outbox import Message, Outbox
from tocsin_producer.payload import numbered, status_payload
from tocsin_schemas import __version__
from tocsin_schemas.backoff import backoff_seconds
from tocsin_schemas.session import Connection, Received, Will
from tocsin_schemas.topics import status_topic

_log = logging.getLogger(__name__)

#: Losses are told at most this often: in a storm each is followed by another.
STATUS_PAUSE_SECONDS: Final = 60.0
#: How many messages are handed over before the first of them is acknowledged: below every broker's limit.
WINDOW: Final = 16


@dataclass(slots=True)
class LinkCounters:
    """What became of events on the link; bytes are those of their topics and payloads, again after a break."""

    published: int = 0
    refused: int = 0
    bytes: int = 0


class Link:
    """Handler of the session (`tocsin_schemas.session.Handler`)."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        topic_root: str,
        cluster: str,
        boot: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._cluster = cluster
        self._status_topic = status_topic(topic_root, cluster)
        self._boot = boot
        self._clock = clock
        self._since = int(now())
        self._seq = 0
        self._in_flight: dict[int, Message] = {}
        self._statuses: set[int] = set()
        self._told_lost = 0
        self._told_version: str | None = None
        self._told_at = -STATUS_PAUSE_SECONDS
        self._refusals = 0
        self._resume_at = 0.0
        self.kubernetes_version: str | None = None
        self.counters = LinkCounters()

    def will(self) -> Will:
        """Return what the broker says for us when we break off."""
        return Will(self._status_topic, self._status("offline"))

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:  # noqa: ARG002
        """Tell that we are there."""
        self._tell_status(connection, "online")

    def on_disconnected(self, reason: str) -> None:  # noqa: ARG002 - the session logs it
        """Whatever was under way has to be handed over again."""
        self._in_flight.clear()
        self._statuses.clear()
        self._outbox.put_all_back()

    def on_message(self, connection: Connection, message: Received) -> None:
        """Acknowledge what nobody asked for: we subscribe to nothing."""
        connection.acknowledge(message)

    def on_turn(self, connection: Connection) -> None:
        """Hand over what waits, as far as the window is open."""
        if self._clock() < self._resume_at:
            return
        for message in self._outbox.take(WINDOW - len(self._in_flight)):
            self._hand_over(connection, message)
        if self._has_news():
            self._tell_status(connection, "online")

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:  # noqa: ARG002
        """Let a message go that the broker has taken; keep one that it refused."""
        self._statuses.discard(mid)
        message = self._in_flight.pop(mid, None)
        if refusal is not None:
            self._back_off(refusal)
        if message is None:
            return
        if refusal is None:
            self._refusals = 0
            self.counters.published += 1
            self._outbox.acknowledge(message)
        else:
            self.counters.refused += 1
            self._outbox.put_back(message)

    def on_stopping(self, connection: Connection) -> None:
        """Say goodbye ourselves, so that the status is true before the will could be."""
        self._tell_status(connection, "offline")

    def is_idle(self) -> bool:
        """Whether the broker has everything."""
        return not self._outbox.waiting and not self._statuses

    def _hand_over(self, connection: Connection, message: Message) -> None:
        self._seq += 1
        payload = numbered(message.payload, boot=self._boot, seq=self._seq)
        try:
            mid = connection.publish(message.topic, payload)
        except ValueError as error:  # a topic or a size that MQTT itself cannot carry
            _log.error("gave up %s: %s", message.topic, error)
            self._outbox.give_up(message)
            return
        self._in_flight[mid] = message
        self.counters.bytes += len(message.topic.encode()) + len(payload)

    def _back_off(self, refusal: str) -> None:
        """A refusal is the broker's condition more often than the message's: try again, but not at once."""
        self._refusals += 1
        self._resume_at = self._clock() + backoff_seconds(self._refusals)
        log = _log.warning if self._refusals == 1 else _log.debug
        log("the broker refuses messages: %s; is %s allowed to write?", refusal, self._status_topic)

    def _has_news(self) -> bool:
        """Whether the status that was told last is not true any more."""
        if self.kubernetes_version != self._told_version:
            return True
        return self._outbox.lost > self._told_lost and self._clock() >= self._told_at + STATUS_PAUSE_SECONDS

    def _tell_status(self, connection: Connection, state: str) -> None:
        self._told_lost, self._told_version = self._outbox.lost, self.kubernetes_version
        self._told_at = self._clock()
        self._statuses.add(connection.publish(self._status_topic, self._status(state), retain=True))

    def _status(self, state: str) -> bytes:
        return status_payload(
            self._cluster,
            state,
            boot=self._boot,
            since=self._since,
            version=__version__,
            k8s=self.kubernetes_version,
            waiting=self._outbox.waiting,
            lost=self._outbox.lost,
        )
