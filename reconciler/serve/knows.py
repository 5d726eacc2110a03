"""What the pages ask: the running loop, what is open now, and the history. The shapes are here, so that the pages know none of
the modules that fill them.

Made by `reconciler/loop/service.py`; used by everything in this folder. Each question is asked when a page is asked for, on
the event loop's own thread, and answered at once from memory; only the history is read from a disk, in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from reconciler.incidents.model import DriftRecord, Incident
from reconciler.loop.view import LoopView


class Watched(Protocol):
    """The loop, as the pages see it."""

    def hint(self) -> None:
        """Git may have moved."""
        ...

    def view(self) -> LoopView: ...

    def ill(self) -> str | None:
        """Why it must be taken for dead; None: it turns."""
        ...

    def unready(self) -> str | None:
        """Why there is nothing to work from yet."""
        ...


class Ledger(Protocol):
    """The history, read in a thread: `reconciler.history.reader.Reader`."""

    def cycles(
        self,
        *,
        host: str | None = None,
        ref: str | None = None,
        project: str | None = None,
        since: float | None = None,
        before: float | None = None,
        limit: int = 50,
    ) -> Sequence[BaseModel]:
        """Newest first."""
        ...

    def cycle(self, run: str) -> BaseModel | None: ...


def _none() -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Knows:
    """What is open now, and what does not work, besides the hosts."""

    incidents: Callable[[], Iterable[Incident]] = _none
    drifts: Callable[[], Iterable[DriftRecord]] = _none
    alert_trouble: Callable[[], Mapping[str, str]] = dict
    """Alert → why its chat cannot be reached."""
    history_trouble: Callable[[], str | None] = lambda: None
