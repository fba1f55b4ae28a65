"""Waiting for what another thread or process brings about: a condition with a deadline, never a mere pause."""

import time
from collections.abc import Callable


def until(holds: Callable[[], object], *, within_seconds: float = 20.0, otherwise: str = "") -> None:
    """Wait until `holds()` is true.

    Raises:
        AssertionError: it was not within the time given.
    """
    deadline = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise or f"not true within {within_seconds} s")
        time.sleep(0.002)
