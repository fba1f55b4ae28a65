"""What waits in the outbox: one state of one Event, and how much it matters (pure)."""

from dataclasses import dataclass
from typing import Final

#: How much what is said of nodes matters; Warnings and the rest matter less.
NODE_SEVERITY: Final = 2
#: Conditions of nodes matter most. Each says what is the case from now on, so those of one node leave in the order
#: in which they came: a node that is down again must not be told to be ready by what was said before.
CONDITION_SEVERITY: Final = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One state of the Event `uid` on its way. When there is no room, the least severe go first.

    The `first` of an Event is the one before which nothing of it was told. A condition names its `node`.
    """

    uid: str
    count: int
    severity: int
    topic: str
    payload: str
    node: str = ""
    first: bool = False

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return _size(self.topic) + _size(self.payload)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message that the broker has acknowledged, without its text: thousands may be kept for a while."""

    uid: str
    count: int
    size: int
    is_urgent: bool


def _size(text: str) -> int:
    """Return how many bytes UTF-8 makes of `text`; it is asked for often, and most is ASCII."""
    return len(text) if text.isascii() else len(text.encode())


def is_condition(message: Message) -> bool:
    """Whether `message` tells a condition of a node."""
    return message.severity >= CONDITION_SEVERITY


def is_urgent(message: Message) -> bool:
    """Whether `message` tells something new, or of a node."""
    return message.first or message.severity >= NODE_SEVERITY
