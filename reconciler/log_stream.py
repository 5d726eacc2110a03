"""Where the lines of the log go: a descriptor that may be full, closed or stuck, without ever holding up who writes.

Used by `reconciler/log.py` alone. Lines that cannot be written at once wait, up to a limit; what does not fit is
counted and gone.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from contextlib import suppress

PIECE = 4096
"""POSIX: what a pipe that can be written to at all takes without blocking (PIPE_BUF)."""
WAITING = 1 << 20
"""Bytes that may wait for a reader that has stopped."""


class LogStream:
    """Not for several threads at once; loguru holds a lock around it."""

    def __init__(self, descriptor: int | None = None) -> None:
        """A copy is kept: when standard error is closed, its number may soon mean a database. None: standard error, and no
        output at all where Python was started without one."""
        if descriptor is None and sys.__stderr__ is not None:
            descriptor = sys.__stderr__.fileno()
        self.lost = 0
        self._descriptor = -1
        if descriptor is not None:
            with suppress(OSError):
                self._descriptor = os.dup(descriptor)
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._begun = False
        """Part of the first line that waits is written."""
        self._torn = False
        """Part of a line was written, and the rest of it never will be."""
        self.journal = self._is_journal()
        """Whether systemd's journal reads: it takes a line's priority from its beginning."""

    def write(self, line: bytes) -> None:
        if self._size + len(line) > WAITING:
            self.lost += 1
        else:
            self._waiting.append(line)
            self._size += len(line)
        self._flush(0)

    def close(self, seconds: float = 1.0) -> None:
        end = time.monotonic() + seconds
        while self._waiting and (left := end - time.monotonic()) > 0:
            self._flush(left)
        self.lost += len(self._waiting)
        self._waiting.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self, seconds: float) -> None:
        """As much as goes without waiting (for more than `seconds`). What fails is lost: trying it again would fail for each
        line anew, and the next line may well succeed."""
        while self._waiting:
            lead = b"\n" if self._torn else b""
            try:
                if not self._writable(seconds):
                    return
                written = os.write(self._descriptor, lead + self._waiting[0][: PIECE - 1])
            except BlockingIOError:
                return
            except OSError:
                self._drop()
                continue
            if written:
                self._torn = False
                self._went(written - len(lead))

    def _went(self, written: int) -> None:
        line = self._waiting.popleft()
        self._size -= written
        self._begun = written < len(line)
        if self._begun:
            self._waiting.appendleft(line[written:])

    def _drop(self) -> None:
        """A line of which a part is written already is torn: the next one begins on a line of its own."""
        self._size -= len(self._waiting.popleft())
        self._torn = self._torn or self._begun
        self._begun = False
        self.lost += 1

    def _writable(self, seconds: float) -> bool:
        if self._descriptor < 0:
            raise OSError("there is nothing to write to")
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _is_journal(self) -> bool:
        with suppress(OSError):
            at = os.fstat(self._descriptor) if self._descriptor >= 0 else None
            return at is not None and os.environ.get("JOURNAL_STREAM") == f"{at.st_dev}:{at.st_ino}"
        return False
