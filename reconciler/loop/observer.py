"""Who listens to the loop: the desk of incidents, the history, the metrics, the log. The loop knows none of them by name."""

from __future__ import annotations

from typing import Protocol

from reconciler.loop.following import Followed
from reconciler.loop.report import CycleReport


class Observer(Protocol):
    """Called on the event loop's own thread, so each call must be quick; what takes longer is handed to a thread or task."""

    def followed(self, followed: Followed) -> None:
        """The repository was read again, with or without success."""
        ...

    def visited(self, report: CycleReport) -> None:
        """A cycle of a host has ended."""
        ...

    def ticked(self, now: float) -> None:
        """About once a second; seconds since 1970, which may jump in either direction."""
        ...
