"""The conditions of nodes in a list, which are told in the order in which they were written (pure).

A page is in the order of names, and what was written before it may be on a later one. So they are put aside until
the last page has come; nobody needs an order of all the rest.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

#: So many are put aside, of less than 1 kB each; a node has about eight, and as many more after each start of its
#: kubelet within the hour. Beyond that the older half is not: on the pages to come may be an older one.
LIMIT: Final = 1000


class Listed:
    """What a list has named so far, and what of it has been put aside."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        #: Versions and texts: the objects that a text is read into take four times as much.
        self._aside: list[tuple[int, bytes]] = []

    def take_page(self, items: list[object]) -> Iterator[object]:
        """Put the conditions of a page aside, and yield the rest of it in the order in which it was written."""
        rest = []
        for item in items:
            if _is_condition(item):
                self._aside.append((version(item), json.dumps(_without_managers(item)).encode()))
            else:
                rest.append(item)
        rest.sort(key=version)
        if len(self._aside) > self._limit:
            yield from self._take_oldest(self._limit // 2)
        yield from rest

    def take_rest(self) -> Iterator[object]:
        """Yield all that is put aside, in the order in which it was written."""
        return self._take_oldest(len(self._aside))

    def _take_oldest(self, count: int) -> Iterator[object]:
        self._aside.sort()
        oldest, self._aside = self._aside[:count], self._aside[count:]
        return (json.loads(text) for _, text in oldest)


def _is_condition(item: object) -> bool:
    involved = item.get("involvedObject") if isinstance(item, dict) else None
    is_of_node = isinstance(involved, dict) and involved.get("kind") == "Node"
    return is_of_node and isinstance(item, dict) and item.get("type") != "Warning"


def _without_managers(item: object) -> dict[str, Any]:
    """Return an Event object without what says who wrote which of its fields, which is more than half of it."""
    whole = item if isinstance(item, dict) else {}
    return {**whole, "metadata": {k: v for k, v in metadata(item).items() if k != "managedFields"}}


def version(item: object) -> int:
    """Return what items are sorted by: in which order they were written, and not called.

    Versions are numbers wherever etcd or kine keeps them, and compared as such (KEP-5504).
    """
    found = metadata(item).get("resourceVersion")
    return int(found) if isinstance(found, str) and found.isdecimal() else 0


def metadata(value: object) -> dict[str, Any]:
    """Return the metadata of an object or a list, empty if it has none."""
    found = value.get("metadata") if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
