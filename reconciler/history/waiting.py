"""What waits to be written: in order, each thing once in its newest form, and never more than there is room for.

The event loop puts things in, the writer's thread takes them out; `store.py` holds the lock around both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["report", "view", "drift", "incident", "delivery", "mark", "prune", "restart"]
Key: TypeAlias = tuple[Kind, str]

LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be written."""

    key: Key
    value: Any
    rank: int = 0
    """The lower, the sooner it is left out where there is no more room."""


class Waiting:
    """A queue in which a newer form of the same thing takes the place of the older one."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._items: dict[Key, Item] = {}
        self._limit = limit
        self.dropped = 0
        """How many things were left out since the beginning."""

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        self._items[item.key] = item
        self._make_room()

    def take(self, most: int) -> list[Item]:
        return [self._items.pop(key) for key in list(self._items)[:most]]

    def put_back(self, items: Iterable[Item]) -> None:
        """What could not be written comes first again, unless a newer form has come meanwhile."""
        self._items = {item.key: item for item in items if item.key not in self._items} | self._items
        self._make_room()

    def _make_room(self) -> None:
        """The oldest of the least important things goes first."""
        while len(self._items) > self._limit:
            least: Callable[[Key], int] = lambda key: self._items[key].rank  # noqa: E731  min takes the first, which is the oldest
            del self._items[min(self._items, key=least)]
            self.dropped += 1
