"""The MQTT session that each side holds with its broker, through every connection that it takes.

One thread owns the session and does everything with it: connect, read, write, ping. Whatever another thread
wants from it goes through a queue of the handler's and `Session.wake`.

The producer imports this in a process that has to stay small: standard library and paho only.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tocsin_schemas.backoff import backoff_seconds
from tocsin_schemas.connection import MQTT_3_1_1, MQTT_5, WORDLESS, Connection, ConnectionLostError
from tocsin_schemas.dial import Broker, drain, explain, wait
from tocsin_schemas.handler import Handler, Received, Will
from tocsin_schemas.pulse import Pulse

__all__ = ["Broker", "Connection", "ConnectionLostError", "Handler", "Received", "Session", "Will"]

_log = logging.getLogger(__name__)

#: A connection that ends sooner continues the streak of failures: two clients that take one session from each
#: other would otherwise do so every second.
STEADY_SECONDS: Final = 30.0
#: So many in a row that were accepted and ended sooner without a word look like a fight for the session. Mosquitto
#: 2.0.11 does not say that it gives one to somebody else.
FIGHT_LIMIT: Final = 4
#: A CONNECT of version 5 may stay unanswered so often in a row before one try is made with 3.1.1; fewer where the
#: connection before was one of 3.1.1.
UNANSWERED_LIMIT: Final = 2
UNANSWERED_AGAIN_LIMIT: Final = 1


class Session:
    """Keeps one connection to the broker alive for ever, and tells a handler what comes.

    Args:
        broker: where and as whom to connect.
        handler: what to do with it.
        will: asked at each connect for what the broker says when we break off.
        receive_maximum: how many unacknowledged messages the broker may send (MQTT 5).
        stop_seconds: how long a stopping session waits for its handler's last acknowledgements.
        backoff: seconds to wait after so many failures in a row.

    For who looks at it from outside, `pulse` tells whether its thread makes progress, and `trouble` why there is
    no connection.
    """

    def __init__(
        self,
        broker: Broker,
        handler: Handler,
        *,
        will: Callable[[], Will] | None = None,
        receive_maximum: int = 100,
        stop_seconds: float = 5.0,
        backoff: Callable[[int], float] = backoff_seconds,
    ) -> None:
        self._broker = broker
        self._handler = handler
        self._will = will
        self._receive_maximum = receive_maximum
        self._stop_seconds = stop_seconds
        self._backoff = backoff
        self._wakeup: socket.socket
        self._waker: socket.socket | None = None
        self._protocol = MQTT_5
        self._unanswered = 0
        self._unanswered_limit = UNANSWERED_LIMIT
        self._failures = 0
        self._short_connections = 0
        self.pulse = Pulse()
        self.trouble: str | None = "not connected yet"

    def wake(self) -> None:
        """Make the session take a turn now; any thread and any signal handler may call this at any time."""
        waker = self._waker
        if waker is not None:
            with suppress(OSError):  # full: a turn is due already; closed: none will be
                waker.send(b"\0")

    def run(self, stop: threading.Event) -> None:
        """Hold the session until `stop` is set; whoever sets it calls `wake` as well."""
        self._wakeup, self._waker = socket.socketpair()
        with self._wakeup, self._waker:
            self._wakeup.settimeout(0)
            self._waker.settimeout(0)
            while not stop.is_set():
                self._step(stop)
        self.pulse.rest()

    def _step(self, stop: threading.Event) -> None:
        """Make one connection, serve it to its end, and wait before the next."""
        connected_at: float | None = None
        try:
            connection = self._connect(stop)
            connected_at = time.monotonic()
            try:
                self._serve(connection, stop)
            finally:
                connection.drop()
        except ConnectionLostError as lost:
            if not stop.is_set():
                self._note_failure(str(lost), connected_at)
        except Exception:  # noqa: BLE001 - the top of the thread
            _log.exception("the session's handler failed; connecting anew")
            self._note_failure("internal error", connected_at)
        if not stop.is_set():
            self._pause(stop)

    def _connect(self, stop: threading.Event) -> Connection:
        connection = self._make_connection()
        self.pulse.expect(self._broker.connect_timeout_seconds)
        try:
            connection.open(self._wakeup, stop)
        except BaseException:
            connection.drop()
            self._note_answer(connection)
            raise
        self._unanswered = 0
        self._unanswered_limit = UNANSWERED_LIMIT if connection.speaks_5 else UNANSWERED_AGAIN_LIMIT
        _log.info("connected to %s:%d", self._broker.host, self._broker.port)
        self.trouble = None
        return connection

    def _make_connection(self) -> Connection:
        try:
            return Connection(
                self._broker,
                will=self._will() if self._will is not None else None,
                receive_maximum=self._receive_maximum,
                protocol=self._next_protocol(),
            )
        except (OSError, ValueError) as error:  # a secret's or a certificate's file
            self._unanswered = 0
            raise ConnectionLostError(explain(error)) from error

    def _note_answer(self, connection: Connection) -> None:
        """Learn from a CONNECT that was not accepted which version of MQTT the broker speaks."""
        self._unanswered = self._unanswered + 1 if connection.is_unanswered else 0
        if connection.refused == "Unsupported protocol version" and self._protocol == MQTT_5:
            _log.info("the broker does not speak MQTT 5; going on with 3.1.1")
            self._protocol = MQTT_3_1_1

    def _next_protocol(self) -> int:
        """Return the version of MQTT to try: 5 until the broker says, as the standard asks it to, that it cannot.

        Some brokers go silent or hang up instead. A bad link looks the same, and 3.1.1 has no way to refuse a
        message, so after a few of these a single try is made with it.
        """
        return MQTT_3_1_1 if self._is_turn_of_3_1_1() else self._protocol

    def _is_turn_of_3_1_1(self) -> bool:
        return self._unanswered % (self._unanswered_limit + 1) == self._unanswered_limit

    def _serve(self, connection: Connection, stop: threading.Event) -> None:
        try:
            connection.tell(self._handler)
            while not stop.is_set():
                self._turn(connection, connection.look_seconds)
            self._say_goodbye(connection)
        except ConnectionLostError as lost:
            connection.tell(self._handler)
            self._handler.on_disconnected(str(lost))
            raise
        except Exception:
            self._handler.on_disconnected("internal error")
            raise

    def _say_goodbye(self, connection: Connection) -> None:
        """Finish what is under way, say the last words, and leave: all within `stop_seconds`."""
        deadline = time.monotonic() + self._stop_seconds
        self._drain(connection, deadline)
        self._handler.on_stopping(connection)
        self._drain(connection, deadline)
        connection.close()
        self._handler.on_disconnected("stopped")

    def _drain(self, connection: Connection, deadline: float) -> None:
        timeout = 0.0  # what needs no answer of the broker's is done by the first turn
        while not self._handler.is_idle() and (left := deadline - time.monotonic()) > 0:
            self._turn(connection, min(left, timeout))
            timeout = self._stop_seconds

    def _turn(self, connection: Connection, timeout: float) -> None:
        """Let the handler do what it can, then wait for what comes, and tell it."""
        self.pulse.expect(0.0)
        wanted = self._handler.on_turn(connection)
        if wanted is not None:
            timeout = min(timeout, max(0.0, wanted))
        self.pulse.expect(timeout)
        connection.turn(self._wakeup, timeout)
        self.pulse.expect(0.0)
        connection.tell(self._handler)

    def _note_failure(self, reason: str, connected_at: float | None) -> None:
        """Warn once per streak: the first failure aloud, its repeats only for who looks closely.

        What looks like a fight for the session is told besides, as soon as it does.
        """
        steady = connected_at is not None and time.monotonic() - connected_at >= STEADY_SECONDS
        self._failures = 1 if steady else self._failures + 1
        is_short = connected_at is not None and not steady and reason.endswith(WORDLESS)
        self._short_connections = self._short_connections + 1 if is_short else 0
        is_told = self._failures == 1 or self._short_connections == FIGHT_LIMIT
        if self._short_connections >= FIGHT_LIMIT:
            reason += f" again and again; does another client use the client id {self._broker.client_id}?"
        self.trouble = reason
        log = _log.warning if is_told else _log.debug
        log("broker %s:%d: %s", self._broker.host, self._broker.port, reason)

    def _pause(self, stop: threading.Event) -> None:
        """Wait before the next try, unless we are to stop meanwhile; another version of MQTT is tried at once."""
        pause = 0.0 if self._is_turn_of_3_1_1() else self._backoff(max(1, self._failures))
        self.pulse.expect(pause)
        deadline = time.monotonic() + pause
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            readable, _ = wait([self._wakeup], [], left)
            if readable:
                drain(self._wakeup)
