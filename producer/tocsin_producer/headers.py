"""The header fields of an HTTP answer (RFC 9112, section 5): what `http.client` takes from `email` otherwise.

That package knows every form of mail, and would cost the agent half a mebibyte.
"""

from typing import Generic, TypeVar, overload


class Message:
    """Header fields in the order in which they came, found by names in any case."""

    def __init__(self) -> None:
        self._fields: list[tuple[str, str]] = []

    def add(self, name: str, value: str) -> None:
        """Add a field."""
        self._fields.append((name, value))

    def go_on(self, more: str) -> None:
        """Add to the last field what stands in a line of its own (obs-fold)."""
        if self._fields:
            name, value = self._fields.pop()
            self.add(name, f"{value} {more}")

    def items(self) -> list[tuple[str, str]]:
        """Return all of them."""
        return self._fields.copy()

    def get_all(self, name: str) -> list[str] | None:
        """Return the values of all fields of this name, None if there are none."""
        return [value for own, value in self._fields if own.lower() == name.lower()] or None

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the first field of this name."""
        return next(iter(self.get_all(name) or ()), default)


_M = TypeVar("_M", bound=Message)


class Parser(Generic[_M]):
    """Reads what stands between the status line and the body."""

    def __init__(self, _class: type[_M]) -> None:
        self._class = _class

    def parsestr(self, text: str) -> _M:
        """Return the fields in `text`; a line that is none says nothing."""
        message = self._class()
        for line in text.split("\n"):
            name, colon, value = line.partition(":")
            if line.startswith((" ", "\t")):
                message.go_on(line.strip())
            elif colon:
                message.add(name, value.strip())
        return message
