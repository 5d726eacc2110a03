"""Diagnostics of the desired state as lines, and the count at their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from desired.model import Diagnostic
from reconciler.render.lines import Line, Style, line
from reconciler.text import plural


def diagnostic_lines(diagnostics: Sequence[Diagnostic]) -> Iterator[Line]:
    """`file:line:column: error: …`, one after the other, each with its hint. Not wrapped: editors and grep read these lines."""
    for one in diagnostics:
        style: Style = "alarm" if one.severity == "error" else "yellow"
        yield line((f"{one.place}: ", "bold"), (f"{one.severity}: ", style), one.message, wrap=False)
        if one.hint:
            yield line((one.hint, "dim"), indent=4, hang=0)


def count_words(diagnostics: Sequence[Diagnostic]) -> str:
    """`3 errors and 1 warning in 2 files`."""
    errors = sum(one.severity == "error" for one in diagnostics)
    counts = [plural(count, word) for count, word in ((errors, "error"), (len(diagnostics) - errors, "warning")) if count]
    return f"{' and '.join(counts)} in {plural(len({one.place.file for one in diagnostics}), 'file')}"
