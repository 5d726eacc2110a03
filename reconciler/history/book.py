"""The writer's file, looked after: opened when it can be, opened again when it was moved or the disk was in trouble, set aside
and begun anew when it is broken.

Used by `store.py` alone, by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from reconciler import log
from reconciler.history.database import (
    NAME,
    STORAGE,
    BrokenHistory,
    Database,
    HistoryError,
    check,
    lock,
    open_for_writing,
    set_aside,
    sort_of,
    transaction,
    words_of,
)
from reconciler.history.pruning import shrink
from reconciler.history.waiting import Item
from reconciler.history.writer import Writer

ValueT = TypeVar("ValueT")
FAULTS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError)
"""What can be wrong with a single thing that is to be written; it is left out, and counted."""

CHECKED_EVERY = 86400.0
"""Seconds after which a file in use is looked through again."""


class Book:
    """The file `history.db` of a folder."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.folder = folder
        self.notes: deque[str] = deque(maxlen=20)
        """What was done to the file; also in the log."""
        self.renewed = False
        """It was opened anew: what was written before may not be in it. Whoever sees to that sets it back."""
        self.refused = 0
        """How many things could not be written because of what they are."""
        self._clock = clock
        self._lock: int | None = None
        self._database: Database | None = None
        self._writer: Writer | None = None
        self._spoiled = ""
        self._checked = clock()

    def open(self, now: float) -> None:
        """Raises `HistoryError` or one of `STORAGE`; then it is not open, and may be tried again."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is None and (taken := lock(self.folder)) is not None:
            self._lock = taken
        if self._lock is None:
            raise HistoryError(
                f"another process writes the history in {self.folder}",
                "one loop works with a state folder; stop the other one, or give this one its own: --state DIR",
            )
        if self._spoiled and os.path.lexists(self.folder / NAME):
            moved = set_aside(self.folder / NAME, now)
            self._note(f"the history was damaged ({self._spoiled}) and is begun anew; it is kept as {moved.name}")
        self._spoiled = ""
        self._database = open_for_writing(self.folder, now)
        self._checked = self._clock()
        self._writer = Writer(self._database.connection, self._clock)
        if self._database.note:
            self._note(self._database.note)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        log.warning(text)

    def read(self, question: Callable[[Connection], ValueT]) -> ValueT | None:
        """None where it is not open."""
        return None if self._database is None else question(self._database.connection)

    def write(self, items: Sequence[Item]) -> None:
        """Raises as `open` does; then nothing of it was written."""
        self._look()
        if self._database is None or self._writer is None:
            self.open(time.time())
            self.renewed = True
        assert self._database is not None
        try:
            self._write(items)
            if any(item.key[0] == "prune" for item in items):
                shrink(self._database.connection)
            self._database.measure()
            if self._clock() - self._checked > CHECKED_EVERY:
                self._checked = self._clock()
                check(self._database.connection)
        except BrokenHistory as broken:
            self._spoiled = str(broken)
            self._leave()
        except STORAGE as error:
            self.spoil(error)
            raise

    def _look(self) -> None:
        """Whether the file is still the one that was opened."""
        if self._database is None:
            return
        if self._database.moved:
            self._note("the history's file was moved or deleted while it was in use; it is begun anew")
            self._leave()
        elif not self._database.measure():
            self._spoiled = "it was cut short while it was in use"
            self._leave()

    def spoil(self, error: SQLAlchemyError | sqlite3.Error | OSError) -> None:
        """After an error: the file is closed, and set aside before it is opened again where it is broken."""
        if not isinstance(error, OSError) and sort_of(error) == "broken":
            self._spoiled = words_of(error)
        self._leave()

    def _write(self, items: Sequence[Item]) -> None:
        assert self._database is not None
        assert self._writer is not None
        try:
            with transaction(self._database.connection):
                self._writer.write(items)
        except (SQLAlchemyError, *FAULTS) as error:
            self._writer.forget()
            if isinstance(error, SQLAlchemyError) and sort_of(error) != "item":
                raise
            if len(items) == 1:
                self.refused += 1
                return
            for item in items:
                self._write([item])

    def close(self) -> None:
        if self._database is not None and self._writer is not None and not self._database.moved:
            try:
                with transaction(self._database.connection):
                    self._writer.write_newer()
            except (*STORAGE, *FAULTS) as error:
                self._note(f"the last lines of the history could not be written: {type(error).__name__}")
        self._leave()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _leave(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = self._writer = None
