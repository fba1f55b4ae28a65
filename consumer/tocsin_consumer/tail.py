"""Live events from the broker, for people's eyes: a session of its own that takes nothing away from others."""

import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.decode import Rejection, decode
from tocsin_consumer.inert import one_line
from tocsin_consumer.labels import Language
from tocsin_consumer.notification import Notification
from tocsin_consumer.receiver_settings import StdoutSettings
from tocsin_consumer.receivers.stdout import StdoutReceiver
from tocsin_schemas import topics
from tocsin_schemas.event import EventPayload
from tocsin_schemas.session import Broker, Connection, Received, Session

_STOP_SECONDS: Final = 5.0
#: JSON may hold DEL and C1 as they are, and terminals act on them.
_CONTROL: Final = re.compile("[\x7f-\x9f]")

Echo = Callable[[str], None]


def show_json(notification: Notification) -> str:
    """Return an event as on the wire, on one line."""
    text = notification.event.model_dump_json(by_alias=True, exclude_none=True)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def show_text(time_zone: ZoneInfo, language: Language) -> Callable[[Notification], str]:
    """Return what shows an event as a stdout receiver does."""
    receiver = StdoutReceiver("tail", StdoutSettings(), time_zone=time_zone, language=language)
    return lambda notification: receiver.render(notification).content


class Tail:
    """Shows each event as it comes; what is not one is told, and passed over."""

    def __init__(
        self,
        root: str,
        cluster: str,
        *,
        show: Callable[[Notification], str],
        echo: Echo,
        complain: Echo,
        clock: Clock = utc_now,
    ) -> None:
        self._root = root
        self._cluster = cluster
        self._show = show
        self._echo = echo
        self._complain = complain
        self._clock = clock

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:  # noqa: ARG002 - never is
        """Subscribe."""
        connection.subscribe(topics.event_filter(self._root, self._cluster))

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the session logs it."""

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Nothing to do: nothing is published."""

    def on_message(self, connection: Connection, message: Received) -> None:
        """Show it; what cannot be shown is told, and holds nothing up."""
        try:
            self._tell(message)
        except Exception as error:  # noqa: BLE001 - the top of a callback
            self._complain(f"{one_line(message.topic)}: cannot be shown: {type(error).__name__}")
        connection.acknowledge(message)

    def _tell(self, message: Received) -> None:
        match decode(message.topic, message.payload, root=self._root):
            case EventPayload() as event:
                self._echo(self._show(Notification(event, self._clock())))
            case Rejection(reason):
                self._complain(f"{one_line(message.topic)}: {reason}")

    def on_turn(self, connection: Connection) -> None:
        """Nothing to do."""

    def on_stopping(self, connection: Connection) -> None:
        """Nothing to do."""

    def is_idle(self) -> bool:
        """Nothing is waited for."""
        return True


def follow(broker: Broker, tail: Tail, stop: threading.Event) -> None:
    """Show what comes until `stop` is set, under a name of no one else's and leaving no session behind."""
    name = f"tocsin-tail-{secrets.token_hex(6)}"
    session = Session(replace(broker, client_id=name, clean_start=True, session_expiry_seconds=0), tail)
    thread = threading.Thread(target=session.run, args=(stop,), name="mqtt", daemon=True)
    thread.start()
    stop.wait()
    session.wake()
    thread.join(_STOP_SECONDS)
