"""Lines of styled text, and how they become characters for a terminal, a pipe or a file.

All human output is built as `Line`s and painted here. This is the one place where foreign text is made harmless
(`visible`), where it is wrapped to a width, and where colour is added or left out. A markup language is deliberately not
used: a host that prints `[/x]` or an escape sequence must never be able to style, link or break anything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from providers.secret import redact
from reconciler.text import visible

Style: TypeAlias = Literal["", "bold", "dim", "green", "yellow", "red", "cyan", "alarm"]
Span: TypeAlias = tuple[str, Style]

_CODES: Mapping[Style, str] = MappingProxyType(
    {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "red": "31", "cyan": "36", "alarm": "1;31"}
)
_PLAIN_SIGNS = str.maketrans({"→": "->", "↻": "@", "…": "...", "·": "-", "✓": "ok", "✗": "failed", "–": "-", "×": "x"})
MARK = 2
"""A sign and its blank at the beginning never stand on a row alone."""
_PIECE = re.compile(r"[^ ]+ *| +")
NARROWEST = 40
"""Below this width nothing is wrapped any more: the terminal may break lines as it likes."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: spans of text, how far it is indented, and how much further its continuation is."""

    spans: tuple[Span, ...] = ()
    indent: int = 0
    hang: int = 2
    wrap: bool = True
    """Off for text whose layout has a meaning: diffs, what a host printed, JSON."""

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.spans)


def line(*parts: str | Span, indent: int = 0, hang: int = 2, wrap: bool = True) -> Line:
    """`line("  ", ("nas", "bold"))`: plain strings have no style."""
    return Line(tuple((part, "") if isinstance(part, str) else part for part in parts), indent, hang, wrap)


BLANK = Line()


def without_secrets(lines: Iterable[Line]) -> Iterator[Line]:
    """`lines` with the secrets taken out that this process knows: before anything is escaped, wrapped or coloured."""
    for one in lines:
        text = one.text
        clean = redact(text)
        # Where a secret runs over several spans its line loses its styles rather than the secret its cover.
        spans = tuple((redact(part), style) for part, style in one.spans) if clean != text else one.spans
        if clean != text and "".join(part for part, _ in spans) != clean:
            spans = ((clean, ""),)
        yield one if clean == text else replace(one, spans=spans)


def paint(lines: Iterable[Line], *, color: bool = False, width: int | None = None, signs: bool = True) -> str:
    """The characters of `lines`, each with a newline. No `width`: nothing is wrapped. No `signs`: ASCII stands for arrows
    and dots."""
    return "".join(_paint(one, color=color, width=width, signs=signs) for one in lines)


def _paint(one: Line, *, color: bool, width: int | None, signs: bool) -> str:
    spans = [(_harmless(text, tabs=not one.wrap), style) for text, style in one.spans if text]
    if not signs:
        spans = [(text.translate(_PLAIN_SIGNS), style) for text, style in spans]
    rows = [spans]
    if one.wrap and width is not None and width >= NARROWEST:
        rows = _wrapped(spans, width - one.indent, one.hang)
    return "".join(_row(row, one.indent + (one.hang if number else 0), color=color) for number, row in enumerate(rows))


def _harmless(text: str, *, tabs: bool) -> str:
    """Tabs stay in diffs and in what a host printed: there they belong to the content."""
    return "\t".join(map(visible, text.split("\t"))) if tabs else visible(text)


def _row(spans: list[Span], indent: int, *, color: bool) -> str:
    text = "".join(f"\x1b[{_CODES[style]}m{text}\x1b[0m" if color and style else text for text, style in spans)
    return f"{' ' * indent}{text}\n" if text else "\n"


def _wrapped(spans: list[Span], width: int, hang: int) -> list[list[Span]]:
    """Breaks at blanks; a word that is longer than a row stays whole, so that a path can be copied."""
    rows: list[list[Span]] = [[]]
    used = 0
    for word in _words(spans):
        text = "".join(part for part, _ in word)
        room = width if len(rows) == 1 else width - hang
        if used > MARK and used + cells(text.rstrip(" ")) > room:
            rows.append([])
            used = 0
        rows[-1] += word
        used += cells(text)
    return [_trimmed(row) for row in rows]


def _words(spans: list[Span]) -> Iterator[list[Span]]:
    """Words with the blanks that follow them; one word may change its style in the middle."""
    word: list[Span] = []
    for text, style in spans:
        for piece in _PIECE.findall(text):
            word.append((piece, style))
            if piece.endswith(" "):
                yield word
                word = []
    if word:
        yield word


def _trimmed(row: list[Span]) -> list[Span]:
    while row and not row[-1][0].strip(" "):
        row.pop()
    if row:
        row[-1] = (row[-1][0].rstrip(" "), row[-1][1])
    joined: list[Span] = []
    for text, style in row:
        if joined and joined[-1][1] == style:
            joined[-1] = (joined[-1][0] + text, style)
        else:
            joined.append((text, style))
    return joined


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
