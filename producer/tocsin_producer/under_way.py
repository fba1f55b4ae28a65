"""Which messages are under way: taken out of the outbox, and not gone from it yet (pure)."""

from collections.abc import Collection, Mapping
from typing import Final

from tocsin_producer.message import Message, Receipt, is_condition, is_urgent

#: A position behind all that waits: there is nothing to look for.
NOWHERE: Final = 2**63 - 1


class UnderWay:
    """The messages that were taken, by their Events, of each of which there is one at most.

    First such a message is in flight. When the broker has acknowledged it, it is kept for a while. If a newer
    state of its Event has come meanwhile, it is outdated: that one may go as soon as this one is acknowledged.
    What ends something returns the position from which on there may be something to take again.
    """

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._outdated: set[str] = set()
        self._acknowledged: dict[str, Receipt] = {}
        self._acknowledged_bytes = 0
        #: The nodes of the conditions in flight.
        self._nodes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def __contains__(self, uid: str) -> bool:
        return uid in self._positions

    @property
    def uids(self) -> Collection[str]:
        """The Events whose messages are under way."""
        return self._positions.keys()

    @property
    def acknowledged(self) -> Mapping[str, Receipt]:
        """Of these, what the broker has acknowledged, in the order in which it did."""
        return self._acknowledged

    @property
    def acknowledged_bytes(self) -> int:
        """How much room these take up; it is asked for again and again."""
        return self._acknowledged_bytes

    def is_outdated(self, uid: str) -> bool:
        """Tell whether a newer state waits for what is in flight."""
        return uid in self._outdated

    def has_condition_of(self, node: str) -> bool:
        """Tell whether a condition of `node` is in flight."""
        return node in self._nodes.values()

    def begin(self, message: Message, position: int) -> None:
        """`message` was taken from `position`."""
        self._positions[message.uid] = position
        if is_condition(message):
            self._nodes[message.uid] = message.node

    def note_newer(self, uid: str) -> int:
        """A newer state has come; what is kept of this Event need not be: the newer one says all that it says."""
        if uid in self._acknowledged:
            return self.end(uid)
        if uid in self._positions:
            self._outdated.add(uid)
        return NOWHERE

    def acknowledge(self, message: Message) -> tuple[Receipt, int]:
        """The broker has `message`: keep a receipt of it, unless it is outdated."""
        receipt = Receipt(message.uid, message.count, message.size, is_urgent(message))
        if message.uid in self._outdated:
            return receipt, self.end(message.uid)
        self._nodes.pop(message.uid, None)
        self._forget_receipt(message.uid)
        self._acknowledged[message.uid] = receipt
        self._acknowledged_bytes += receipt.size
        return receipt, NOWHERE

    def end(self, uid: str) -> int:
        """Nothing of this Event is under way any more."""
        self._outdated.discard(uid)
        self._nodes.pop(uid, None)
        self._forget_receipt(uid)
        return self._positions.pop(uid, NOWHERE)

    def _forget_receipt(self, uid: str) -> None:
        receipt = self._acknowledged.pop(uid, None)
        if receipt is not None:
            self._acknowledged_bytes -= receipt.size

    def clear(self) -> None:
        """Nothing is under way any more."""
        self._positions.clear()
        self._outdated.clear()
        self._acknowledged.clear()
        self._acknowledged_bytes = 0
        self._nodes.clear()
