"""The private home folder in which libssh2 finds the host keys that count, and nothing else of the user's.

Used by `desired/sources/remote.py` around each connection. libgit2 has one home folder per process and reads it without a
lock: so it is set once, before the first connection, and only the file in it is replaced, by a rename. It lies in the
system's folder for temporary files, and goes with the process; one whose process was killed is swept by the next.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pygit2

from desired.sources.hosts import HostKeys

_PREFIX = "reconciler-known-hosts-"


class _Home:
    """The folder, and which hosts' keys stand in it at the moment."""

    def __init__(self) -> None:
        self._sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._owner = os.getpid()
        self._lock = (self._folder / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self._folder / ".ssh").mkdir(mode=0o700)
        self._changed = threading.Condition()
        self._active: dict[str, tuple[str, int]] = {}
        self._write()
        pygit2.settings.homedir = str(self._folder)
        atexit.register(self._remove)

    @contextmanager
    def knowing(self, keys: HostKeys) -> Iterator[None]:
        """While this lasts, a connection to the host is checked against `keys`. Several may last at once; two that know
        different keys of the same host wait for each other."""
        with self._changed:
            self._changed.wait_for(lambda: self._active.get(keys.place, (keys.lines, 0))[0] == keys.lines)
            self._count(keys, 1)
            self._write()
        try:
            yield
        finally:
            with self._changed:
                self._count(keys, -1)
                self._changed.notify_all()

    def _count(self, keys: HostKeys, more: int) -> None:
        number = self._active.get(keys.place, ("", 0))[1] + more
        self._active.pop(keys.place, None)
        if number:
            self._active[keys.place] = (keys.lines, number)

    def _write(self) -> None:
        fresh = self._folder / ".ssh" / "known_hosts.new"
        fresh.write_text("".join(lines for lines, _ in self._active.values()))
        fresh.replace(self._folder / ".ssh" / "known_hosts")

    def _remove(self) -> None:
        if os.getpid() == self._owner:
            shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _sweep() -> None:
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                    continue  # the folder for temporary files is everybody's: what is not ours is not even opened
                with (folder / "lock").open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)


_making = threading.Lock()
_homes: list[_Home] = []


def private_home() -> _Home:
    """The one of this process."""
    with _making:
        if not _homes:
            _homes.append(_Home())
        return _homes[0]
