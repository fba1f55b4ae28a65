"""What a fake has seen, in order, for tests that wait on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Journal(Sequence[T], Generic[T]):
    """An append-only record that any thread may read, and that a test can wait on without sleeping."""

    def __init__(self) -> None:
        self._entries: tuple[T, ...] = ()
        self._changed = threading.Condition()

    def append(self, entry: T) -> None:
        """Add an entry and wake everyone who waits."""
        with self._changed:
            self._entries = (*self._entries, entry)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything, so that a test can count from here."""
        with self._changed:
            self._entries = ()

    def wait_for(self, wanted: int | Callable[[T], bool] = 1, *, timeout_seconds: float = 5.0) -> tuple[T, ...]:
        """Wait for so many entries, or for one that satisfies a predicate; return all of them, or those.

        Raises:
            TimeoutError: naming what has arrived instead.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._holds(wanted), timeout_seconds):
                raise TimeoutError(f"not within {timeout_seconds} s; so far: {list(self._entries)}")
            return self._entries if isinstance(wanted, int) else tuple(filter(wanted, self._entries))

    def _holds(self, wanted: int | Callable[[T], bool]) -> bool:
        return len(self._entries) >= wanted if isinstance(wanted, int) else any(map(wanted, self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self._entries[index]

    def __repr__(self) -> str:
        return f"Journal({list(self._entries)})"
