"""Makes text that came from a host, a file name or a commit harmless for a terminal, a log line, a chat or a page.

Every renderer passes foreign text through `visible` first. Nothing else in the program escapes, so nothing can be escaped
twice.
"""

from __future__ import annotations

import unicodedata

_HARMLESS = frozenset("\n\t")
# Cc control, Cf format (bidirectional overrides, zero width), Cs lone surrogates, Co private use, Zl and Zp line separators
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def visible(text: str, *, lines: bool = False) -> str:
    r"""`text` with everything that a terminal could act on, or that an eye cannot see, written as an escape such as `\x1b`.

    With `lines`, line breaks and tabs stay. Bytes that were not UTF-8 come as `\xff`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _plain(character, lines=lines) else _escape(character) for character in text)


def _plain(character: str, *, lines: bool) -> bool:
    if character in _HARMLESS:
        return lines
    return unicodedata.category(character) not in _HIDDEN


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how `surrogateescape` carries a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(text: str, limit: int = 80) -> str:
    """At most `limit` characters, with an ellipsis where something was left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 host`, `2 hosts`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
