"""What goes in and out of an MQTT session: a will, messages, and the handler that each side has for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tocsin_schemas.connection import Connection


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained and with QoS 1, when the connection breaks off."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came; `mid` is 0 for one that wants no acknowledgement."""

    topic: str
    payload: bytes
    mid: int
    retained: bool


class Handler(Protocol):
    """What a side does with its session. Everything is called in the session's thread, outside of paho."""

    def on_connected(self, connection: "Connection", *, session_present: bool) -> None:
        """The broker has accepted us."""

    def on_disconnected(self, reason: str) -> None:
        """The connection is gone; nothing that it had not acknowledged will be acknowledged any more."""

    def on_acknowledged(self, connection: "Connection", mid: int, refusal: str | None) -> None:
        """The broker has taken the message `mid`, or refuses it for the reason `refusal`."""

    def on_message(self, connection: "Connection", message: Received) -> None:
        """A message has come; `connection.acknowledge` it when it is safe."""

    def on_turn(self, connection: "Connection") -> float | None:
        """Something has happened, or `Session.wake` was called: hand over what waits.

        Return within how many seconds there shall be another turn, or None when nothing is due.
        """

    def on_stopping(self, connection: "Connection") -> None:
        """The session is about to end: last words."""

    def is_idle(self) -> bool:
        """Whether nothing is under way or waits: a session that is to stop then does."""
