"""Whether the loop does its work: that it turns, looks at git and visits every host within its period.

Kept by `reconciler/loop/engine.py`; `/healthz` and the metrics ask. By the monotonic clock alone, which stands still while the
machine sleeps. What is under way is not judged: it has deadlines of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

TURN = 30.0
"""Seconds within which the loop turns, which it does each second."""
PERIODS = 3
SLACK = 600.0
"""Seconds beyond so many periods after which a key that was not begun is overdue: an unreachable host is asked less often."""


class Health:
    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._turned = monotonic()
        self._periods: dict[str, float] = {}
        self._last: dict[str, float] = {}
        """When each key was last begun or ended."""
        self._busy: set[str] = set()

    def tick(self) -> None:
        self._turned = self._monotonic()

    def turned(self, now: float) -> float:
        """When the loop last turned, by the clock that says `now`."""
        return now - (self._monotonic() - self._turned)

    def expect(self, periods: Mapping[str, float]) -> None:
        now = self._monotonic()
        self._periods = dict(periods)
        self._last = {key: self._last.get(key, now) for key in periods}

    @contextmanager
    def busy(self, key: str) -> Iterator[None]:
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)
            if key in self._periods:
                self._last[key] = self._monotonic()

    def ill(self) -> str | None:
        now = self._monotonic()
        if now - self._turned > TURN:
            return f"the loop has not turned for {now - self._turned:.0f} s"
        for key, last in self._last.items():
            if key not in self._busy and now - last > PERIODS * self._periods[key] + SLACK:
                return f"{key} is due every {self._periods[key]:.0f} s and was not asked for {now - last:.0f} s"
        return None
