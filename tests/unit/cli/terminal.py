"""A real terminal (a pseudo-terminal of 80 columns) with the program in it, as a person would use it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet import Fleet

ROOT = Path(__file__).parents[3]
OWN = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR)); "
"""The first terminal that the leader of a session opens is the one whose Ctrl-C reaches it."""
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from reconciler.cli import main; main()"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@dataclass(slots=True)
class Terminal:
    process: subprocess.Popen[bytes]
    screen: int
    raw: str = field(default="")

    @property
    def text(self) -> str:
        """What was written, without colours and cursor movements."""
        return _CONTROL.sub("", self.raw)

    def until(self, words: str, seconds: float = 30) -> None:
        """Reads until `words` appear."""
        end = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < end, self.text
            assert self._read(), self.text

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        if not select.select([self.screen], [], [], 30)[0]:
            return False
        try:
            piece = os.read(self.screen, 65536)
        except OSError:  # the last process on the other side is gone
            return False
        self.raw += piece.decode("utf-8", "replace")
        return bool(piece)


@contextmanager
def terminal(fleet: Fleet, *arguments: str, **environment: str) -> Iterator[Terminal]:
    screen, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", OWN + START, str(ROOT), "-C", str(fleet.root), *arguments],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=fleet.environment | {"TERM": "xterm-256color"} | environment,
        start_new_session=True,
    )
    os.close(inside)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)
