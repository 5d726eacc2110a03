"""Who listens to the loop: the desk of incidents, the history, the metrics, the log. The loop knows none of them by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from reconciler import log
from reconciler.loop.following import Followed
from reconciler.loop.report import CycleReport

MOST_FAULTS = 100


class Observer(Protocol):
    """Called on the event loop's own thread, so each call must be quick; what takes longer is handed to a thread or task."""

    def followed(self, followed: Followed) -> None:
        """The repository was read again, with or without success."""
        ...

    def began(self, report: CycleReport) -> None:
        """A cycle is about to change its host. `visited` follows with the same run, unless the process is killed first."""
        ...

    def visited(self, report: CycleReport) -> None:
        """A cycle of a host has ended."""
        ...

    def ticked(self, now: float) -> None:
        """About once a second; seconds since 1970, which may jump in either direction."""
        ...


async def nothing() -> None:
    """For a loop without a history."""


class Listeners:
    """All observers, told one after the other."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)
        self._faults: set[tuple[str, str]] = set()
        self.written: Callable[[], Awaitable[None]] = nothing
        """Waits until what they were told would outlast the process, for a moment at most. Set by the service."""

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    def tell(self, one: Callable[[Observer], None]) -> None:
        """A fault in who listens is theirs: it is told once, and stops nothing."""
        for observer in self._observers:
            try:
                one(observer)
            except Exception as fault:  # noqa: BLE001 see above
                known = (type(observer).__name__, f"{type(fault).__name__}: {fault}")
                if known not in self._faults and len(self._faults) < MOST_FAULTS:
                    self._faults.add(known)
                    log.fault(f"{known[0]} failed", fault)

    async def began(self, report: CycleReport) -> None:
        self.tell(lambda observer: observer.began(report))
        await self.written()
