"""Remembers on disk which contents were clean, so that a scan reads only what is new. Used by `scanner.py`.

One text file of lines, for one version of the rules. Several processes may add to it at the same time: each adds whole lines in
one write, and a line that is not whole after all is no line. It may be deleted at any time; what cannot be read or written only
costs time.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from desired.whole_file import write_whole

MOST = 300_000
"""Lines that are kept; beyond that the older half is forgotten."""
_LINE = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})? [a-z]{3,12}")


class Memory:
    """The clean contents of one rule set."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> frozenset[str]:
        try:
            text = self._path.read_bytes().decode("ascii", "replace")
        except OSError:
            return frozenset()
        lines = text.split("\n")
        if len(lines) > MOST:
            self._rewrite(lines[-MOST // 2 :])
        return frozenset(line for line in lines if _LINE.fullmatch(line))

    def add(self, keys: Iterable[str]) -> None:
        text = "".join(f"{key}\n" for key in sorted(keys))
        if not text:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, f"\n{text}".encode())
            finally:
                os.close(file)

    def _rewrite(self, lines: Iterable[str]) -> None:
        with contextlib.suppress(OSError):
            write_whole(self._path, "\n".join(lines).encode())
