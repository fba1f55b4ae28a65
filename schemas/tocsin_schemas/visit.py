"""A visit to the broker, beside the session that may be running and without touching it.

It has a client id of its own, begins clean, leaves nothing behind and has no will: so it takes nothing from
anyone, and when it breaks off nobody is told anything.
"""

import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tocsin_schemas.connection import MQTT_3_1_1, MQTT_5, Connection, ConnectionLostError
from tocsin_schemas.dial import Broker, explain
from tocsin_schemas.handler import Received

#: How long to wait for what is retained after the broker has answered a subscription.
_QUIET_SECONDS: Final = 1.0


class Visit:
    """Handler of one connection (`tocsin_schemas.session.Handler`), driven from outside.

    Args:
        broker: where, and as whom.

    Raises, from each of its calls:
        ConnectionLostError: there is no connection, for the reason given.
    """

    def __init__(self, broker: Broker) -> None:
        client_id = f"{broker.client_id}-doctor-{secrets.token_hex(3)}"
        self._broker = replace(broker, client_id=client_id, clean_start=True, session_expiry_seconds=0)
        self._stop = threading.Event()
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.settimeout(0)
        self._connection: Connection | None = None
        self._acknowledged: dict[int, str | None] = {}
        self._messages: list[Received] = []
        self.speaks_5 = False

    def open(self) -> None:
        """Log in, with MQTT 5 or, where the broker does not take that, with 3.1.1."""
        try:
            self._open(MQTT_5)
        except ConnectionLostError as lost:
            if self._connection is None or not _may_speak_3_1_1(self._connection):
                raise
            try:
                self._open(MQTT_3_1_1)
            except ConnectionLostError:
                raise lost from None

    def _open(self, protocol: int) -> None:
        try:
            self._connection = Connection(self._broker, will=None, receive_maximum=100, protocol=protocol)
        except (OSError, ValueError) as error:  # a secret's or a certificate's file
            raise ConnectionLostError(explain(error)) from error
        try:
            self._connection.open(self._wakeup, self._stop)
        except BaseException:
            self._connection.drop()
            raise
        self.speaks_5 = self._connection.speaks_5

    @property
    def refused(self) -> str | None:
        """Why the broker refuses us, in its own words."""
        return self._connection.refused if self._connection is not None else None

    def publish(self, topic: str, payload: bytes) -> str | None:
        """Publish a message with QoS 1, and return why the broker refuses it; only MQTT 5 has words for that."""
        mid = self._connected.publish(topic, payload)
        self._turn_until(lambda: mid in self._acknowledged)
        return self._acknowledged[mid]

    def subscribe(self, topic_filter: str) -> str | None:
        """Subscribe, and return why the broker refuses it."""
        connection = self._connected
        mid = connection.look(topic_filter)
        self._turn_until(lambda: mid in connection.subscribed)
        return connection.subscribed[mid]

    def look(self, topic_filter: str) -> tuple[str | None, list[Received]]:
        """Subscribe, and return why the broker refuses it, and else what it has retained there."""
        refusal = self.subscribe(topic_filter)
        if refusal is None:
            self._collect()
        found, self._messages = self._messages, []
        return refusal, found

    def _collect(self) -> None:
        """Wait until nothing more comes for a moment."""
        count, quiet_at = len(self._messages), time.monotonic() + _QUIET_SECONDS
        end = time.monotonic() + self._broker.connect_timeout_seconds
        while (left := min(quiet_at, end) - time.monotonic()) > 0:
            self._turn(left)
            if len(self._messages) > count:
                count, quiet_at = len(self._messages), time.monotonic() + _QUIET_SECONDS

    @property
    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.accepted:
            raise ConnectionLostError("not connected")
        return self._connection

    def _turn_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._broker.connect_timeout_seconds
        while not holds():
            if (left := deadline - time.monotonic()) <= 0:
                raise ConnectionLostError("no answer in time")
            self._turn(left)

    def _turn(self, seconds: float) -> None:
        connection = self._connected
        connection.turn(self._wakeup, seconds)
        connection.tell(self)

    def close(self) -> None:
        """Leave."""
        if self._connection is not None:
            self._connection.close()
        self._wakeup.close()
        self._waker.close()

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:
        """Nothing is wanted yet."""

    def on_disconnected(self, reason: str) -> None:
        """Told by an error."""

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:  # noqa: ARG002
        """Note the answer."""
        self._acknowledged[mid] = refusal

    def on_message(self, connection: Connection, message: Received) -> None:
        """Note what is retained; what comes just now is for others."""
        connection.acknowledge(message)
        if message.retained:
            self._messages.append(message)

    def on_turn(self, connection: Connection) -> None:
        """Nothing waits here."""

    def on_stopping(self, connection: Connection) -> None:
        """Nothing to say."""

    def is_idle(self) -> bool:
        """Nothing waits here."""
        return True


def _may_speak_3_1_1(connection: Connection) -> bool:
    return connection.is_unanswered or connection.refused == "Unsupported protocol version"
