"""A memory that forgets what the last load did not use: enough for a loop that sees one commit after the other."""

from __future__ import annotations

from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Memo(Generic[KeyT, ValueT]):
    """Two generations of values. What is asked for moves into the younger one; `turn` drops the older one."""

    def __init__(self) -> None:
        self._young: dict[KeyT, ValueT] = {}
        self._old: dict[KeyT, ValueT] = {}

    def get(self, key: KeyT) -> ValueT | None:
        if key in self._young:
            return self._young[key]
        if key in self._old:
            self._young[key] = self._old[key]
            return self._young[key]
        return None

    def put(self, key: KeyT, value: ValueT) -> None:
        self._young[key] = value

    def turn(self) -> None:
        """Called once per load."""
        self._old, self._young = self._young, {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
