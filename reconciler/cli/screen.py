"""Where a command writes: results to standard output, everything on the way (questions, progress, errors) to standard
error.

One `Screen` is made per program run and handed down; nothing else in the program writes to a stream. Tests and the demo
make their own. What is written is redacted here, so that no command has to think of it; only `reveal` writes as it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TextIO

from providers.secret import redact
from reconciler.render.lines import Line, paint, without_secrets

_SIGNS = "→↻…·✓✗–×"


@dataclass(slots=True)
class Screen:
    """Two streams, and what may be written to them."""

    out: TextIO
    err: TextIO
    input: TextIO
    color: bool | None = None
    """None: where the stream is a terminal."""
    width: int | None = None
    """None: that of the terminal, and no wrapping where there is none."""

    @classmethod
    def standard(cls) -> Self:
        _open_closed()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        color = None
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            color = False
        elif os.environ.get("FORCE_COLOR"):
            color = True
        columns = os.environ.get("COLUMNS", "")
        return cls(sys.stdout, sys.stderr, sys.stdin, color, int(columns) if columns.isdecimal() else None)

    def show(self, *lines: Line) -> None:
        """Results."""
        self._write(self.out, lines)

    def show_all(self, lines: Iterable[Line]) -> None:
        self._write(self.out, lines)

    def tell(self, *lines: Line) -> None:
        """What the person at the terminal should know and a pipe should not get."""
        self._write(self.err, lines)

    def document(self, document: Any) -> None:
        """One JSON document as the result."""
        from reconciler.render.json_form import text_of

        self._put(self.out, text_of(document))

    def raw(self, text: str) -> None:
        """A result that is already text."""
        self._put(self.out, redact(text))

    def reveal(self, value: bytes) -> None:
        """A secret that was asked for by its name, as it is: the only thing that is not redacted."""
        binary = getattr(self.out, "buffer", None)
        if binary is None:
            self._put(self.out, value.decode("utf-8", "backslashreplace"))
            return
        self.out.flush()
        self._put(binary, value)

    @property
    def can_ask(self) -> bool:
        """Whether somebody sits there who could answer a question."""
        return _terminal(self.input) and _terminal(self.err)

    @property
    def live(self) -> bool:
        """Whether progress can be drawn over itself."""
        return _terminal(self.err) and os.environ.get("TERM") != "dumb"

    def colored(self, stream: TextIO) -> bool:
        return _terminal(stream) if self.color is None else self.color

    def columns(self, stream: TextIO) -> int | None:
        if self.width is not None:
            return self.width
        return shutil.get_terminal_size().columns if _terminal(stream) else None

    def _write(self, stream: TextIO, lines: Iterable[Line]) -> None:
        clean = without_secrets(lines)
        self._put(stream, paint(clean, color=self.colored(stream), width=self.columns(stream), signs=_has_signs(stream)))

    def _put(self, stream: IO[Any], text: str | bytes) -> None:
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:  # the reader has left, as `| head` does
            let_go(stream)
            if stream is not self.err:
                raise
        except OSError as error:  # a full disk
            error.filename = "standard error" if stream is self.err else "standard output"
            raise


def let_go(stream: IO[Any]) -> None:
    """What is still in the buffer must not fail again, here or when the interpreter flushes it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _open_closed() -> None:
    """Whoever started us may have closed a standard stream (`>&-`): it becomes /dev/null, lest the next file or connection
    that is opened takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  stays open


def _terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()


def _has_signs(stream: TextIO) -> bool:
    """Whether arrows and dots can be written in the stream's encoding."""
    try:
        _SIGNS.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
