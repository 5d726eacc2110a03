"""The history as the loop writes it: one connection, one thread, and a queue in front of it.

Every `save_…` returns at once and never raises: nothing that is done to a host waits for the history or depends on it. Where
the disk is full, or the file was deleted, damaged or replaced, `trouble` or `notes` says so, writing is tried again, and what
is still open is written anew. Made and closed by `reconciler/loop/service.py`; fed by `keeper.py` and the desk of incidents.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection

from reconciler import log
from reconciler.alerts.model import Delivery
from reconciler.history.book import Book
from reconciler.history.database import STORAGE, HistoryError, words_of
from reconciler.history.opening import Heal, broken_off, heals, last_view, marks, open_drifts, open_incidents, unsent
from reconciler.history.waiting import Item, Key, Kind, Waiting
from reconciler.incidents.model import DriftRecord, Incident
from reconciler.loop.report import CycleReport
from reconciler.loop.view import LoopView

__all__ = ["History", "HistoryError"]

BATCH = 200
LINGER = 0.1
"""Seconds that the writer waits for more, so that what comes together is written together."""
LONGEST_PAUSE = 60.0
ModelT = TypeVar("ModelT", Incident, DriftRecord, Delivery)
ValueT = TypeVar("ValueT")


class History:
    """The writer. Use `open`; at the end `close`, which writes what still waits."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic, pause: float = 1.0) -> None:
        """`pause`: seconds until the first new try after trouble; each further one waits twice as long."""
        self.folder = folder
        self.trouble: str | None = None
        """Why nothing can be written at present; it is tried again."""
        self._book = Book(folder, clock)
        self._first_pause = self._pause = pause
        self._waiting = Waiting()
        self._open: dict[Key, Item] = {}
        """What is still open, and the marks: written again into a history that had to be begun anew."""
        self._wake = threading.Condition()
        self._door = threading.Lock()
        """Held by whoever uses the file: the thread, and at the start whoever reads."""
        self._busy = self._closing = False
        self._urgent = 0
        """How many wait until all is written."""
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)

    @classmethod
    def open(cls, folder: Path, *, now: float, clock: Callable[[], float] = time.monotonic, pause: float = 1.0) -> Self:
        """Raises `HistoryError` where another process writes to it, or a newer version wrote it; never for the disk's sake."""
        history = cls(folder, clock=clock, pause=pause)
        try:
            history._book.open(now)
        except HistoryError:
            history._book.close()
            raise
        except STORAGE as error:
            history.trouble = words_of(error)
            log.warning("the history cannot be opened; it is tried again, and nothing else depends on it", why=history.trouble)
        history._thread.start()
        return history

    @property
    def dropped(self) -> int:
        """How many things were left out because there was no room, or they could not be written."""
        return self._waiting.dropped + self._book.refused

    def notes(self) -> tuple[str, ...]:
        """What was done to the file since this was asked last; the log has it, too."""
        found = []
        while self._book.notes:
            found.append(self._book.notes.popleft())
        return tuple(found)

    # What is written. All of this may be called on the event loop's thread.

    def save_report(self, report: CycleReport) -> None:
        self._put(Item(("report", report.run), report, rank=0 if report.outcome is None else 2))

    def save_view(self, view: LoopView) -> None:
        self._put(Item(("view", ""), view, rank=3))

    def save_drift(self, drift: DriftRecord) -> None:
        self._put_open(Item(("drift", drift.id), drift, rank=1 if drift.ended is not None else 3), drift.ended is None)

    def save_incident(self, incident: Incident) -> None:
        self._put_open(Item(("incident", incident.id), incident, rank=3), incident.closed is None)

    def save_delivery(self, delivery: Delivery) -> None:
        self._put_open(Item(("delivery", delivery.id), delivery, rank=3), delivery.ended is None)

    def mark(self, key: str, value: str) -> None:
        """Something small to be remembered."""
        self._put_open(Item(("mark", key), value, rank=3), True)  # noqa: FBT003  a mark stays

    def prune(self, now: float, keep_seconds: float) -> None:
        self._put(Item(("prune", ""), (now, keep_seconds), rank=3))

    def _put(self, item: Item) -> None:
        with self._wake:
            if not self._closing:
                self._waiting.put(item)
                self._wake.notify_all()

    def _put_open(self, item: Item, still: bool) -> None:  # noqa: FBT001  the one thing it asks
        with self._wake:
            if still:
                self._open[item.key] = item
            else:
                self._open.pop(item.key, None)
        self._put(item)

    # What is read, once, when the loop begins. Nothing where there is no history.

    def open_incidents(self) -> tuple[Incident, ...]:
        return self._remember("incident", self._read(open_incidents))

    def open_drifts(self) -> tuple[DriftRecord, ...]:
        return self._remember("drift", self._read(open_drifts))

    def deliveries(self) -> tuple[Delivery, ...]:
        """Those that were not brought to their end."""
        return self._remember("delivery", self._read(unsent))

    def marks(self) -> Mapping[str, str]:
        found = dict(self._read(marks))
        with self._wake:
            self._open.update({("mark", key): Item(("mark", key), value, rank=3) for key, value in found.items()})
        return found

    def heals(self, since: float) -> tuple[Heal, ...]:
        """(host, reference, when) of each drift that was put right since then, oldest first."""
        return self._read(lambda connection: heals(connection, since))

    def broken_off(self) -> tuple[DriftRecord, ...]:
        """Drift that was being put right when the loop was killed. From now on, those cycles are told as broken off."""
        found = self._read(broken_off)
        self._put(Item(("restart", ""), None, rank=3))
        return found

    def view(self) -> LoopView | None:
        """What the loop saw last in its earlier life."""
        return next(iter(self._read(last_view)), None)

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until everything is written; False where that takes longer, or cannot be done now."""
        with self._wake:
            self._urgent += 1
            self._wake.notify_all()
            try:
                return self._wake.wait_for(lambda: not (self._waiting or self._busy), timeout)
            finally:
                self._urgent -= 1

    def close(self, timeout: float = 10.0) -> None:
        """Writes what still waits, and leaves a file without a journal beside it."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(timeout)

    def _read(self, question: Callable[[Connection], tuple[ValueT, ...]]) -> tuple[ValueT, ...]:
        with self._door:
            try:
                return self._book.read(question) or ()
            except STORAGE as error:
                self._book.spoil(error)
                return ()

    def _remember(self, kind: Kind, found: tuple[ModelT, ...]) -> tuple[ModelT, ...]:
        with self._wake:
            self._open.update({(kind, one.id): Item((kind, one.id), one, rank=3) for one in found})
        return found

    # The thread.

    def _work(self) -> None:
        while items := self._next():
            try:
                with self._door:
                    self._book.write(items)
            except (*STORAGE, HistoryError) as error:
                self._put_back(items, words_of(error))
            else:
                self._done()
        with self._door:
            self._book.close()

    def _next(self) -> list[Item]:
        """What is to be written now. Nothing at the end: all is written, or it cannot be."""
        with self._wake:
            self._busy = False
            self._wake.notify_all()
            if self.trouble is not None and not self._closing:
                self._wake.wait_for(lambda: self._closing, self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._wake.wait_for(lambda: self._waiting or self._closing)
            if not self._closing:
                self._wake.wait_for(lambda: self._closing or self._urgent > 0, LINGER)
            items = self._waiting.take(BATCH)
            self._busy = bool(items)
            return items

    def _put_back(self, items: Sequence[Item], words: str) -> None:
        with self._wake:
            if not (self._closing and self.trouble is not None):  # at the end it is tried once more, and no longer
                self._waiting.put_back(items)
            if self.trouble is None:
                log.warning("the history cannot be written; it is tried again, and nothing else depends on it", why=words)
            self.trouble = words

    def _done(self) -> None:
        with self._wake:
            if self.trouble is not None:
                log.info("the history is written again", left_out=self.dropped)
            self.trouble, self._pause = None, self._first_pause
            if self._book.renewed:
                self._book.renewed = False
                self._waiting.put_back(list(self._open.values()))
