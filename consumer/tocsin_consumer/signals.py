"""Signals that tell a command what to do."""

import signal
import threading


def event_of(*numbers: int) -> threading.Event:
    """Return an event that these signals set."""
    event = threading.Event()
    for number in numbers:
        signal.signal(number, lambda *_: event.set())
    return event
