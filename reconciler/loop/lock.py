"""One loop per state folder: the lock, and who holds it. Taken by `reconciler/loop/service.py` for as long as the loop runs.

The system lets go of it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import CommandError, Refused
from reconciler.text import visible

NAME = "loop.lock"


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Raises `Refused` where another loop works from the folder, `CommandError` where it cannot be used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandError(
            f"the state folder {visible(str(folder))} cannot be used: {error.strerror}",
            "name another with --state DIR, or make it writable for the user who runs the loop",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
            raise Refused(
                f"another loop works from {visible(str(folder))}: {visible(holder) or 'it has not said who it is'}",
                "end that one first, or give this one a state folder of its own: --state DIR",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
