"""The only place where a value becomes shell text.

Every provider, the script compiler and the project code build shell through `sh`, with a constant template and named values;
a test walks the syntax tree of the whole code base and fails when a template is anything but a literal. So there is one
quoting rule to get right, and one function to attack (`tests/unit/test_shell.py` does, on every shell present).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

_PLACEHOLDER = re.compile(r"@([a-z_]+)@")
_RESERVED = {"case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "namespace", "select"}
_RESERVED |= {"then", "time", "until", "while"}


@dataclass(frozen=True, slots=True)
class Sh:
    """Shell text that is safe to run: made by `sh`, never by hand from a value."""

    text: str

    def __bool__(self) -> bool:
        return bool(self.text.strip())

    def encode(self) -> bytes:
        """The bytes for the wire. Names that are not UTF-8 on the host travel as lone surrogates and come out as they were."""
        return self.text.encode("utf-8", "surrogateescape")


Scalar: TypeAlias = str | int | Sh
Value: TypeAlias = Scalar | Iterable[Scalar]


def quote(text: str) -> str:
    """One shell word that means exactly `text`, in every POSIX shell. `ValueError` for what no word can hold: a NUL, or half of
    a character that is not the trace of a byte on a host."""
    if "\0" in text:
        raise ValueError("a NUL character cannot be passed to a command")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("half a character cannot be passed to a command") from None
    # Where a command or a pattern may stand, these would be read as grammar.
    return f"'{text}'" if text in _RESERVED else shlex.quote(text)


def _word(value: Scalar) -> str:
    if isinstance(value, Sh):
        return value.text
    return quote(value) if isinstance(value, str) else str(int(value))


def _words(value: Value) -> str:
    if isinstance(value, bytes):
        raise TypeError("bytes are no shell word: decode them")
    if isinstance(value, (str, int, Sh)):
        return _word(value)
    return " ".join(_word(item) for item in value)


def sh(template: str, /, **values: Value) -> Sh:
    """Shell text from a constant template: `sh("stat -- @path@", path=p)`.

    `@name@` is replaced by the value: a string as one quoted word, a number in decimals, `Sh` as it is, and a sequence as its
    words with a blank between. A placeholder without a value and a value without a placeholder are both programming errors
    and raise `KeyError`.
    """
    words = {name: _words(value) for name, value in values.items()}
    if unused := words.keys() - set(_PLACEHOLDER.findall(template)):
        raise KeyError(f"no placeholder for {sorted(unused)}")
    return Sh(_PLACEHOLDER.sub(lambda match: words[match[1]], template))


def lines(parts: Iterable[Sh]) -> Sh:
    """Several pieces, one after the other, each from a line of its own."""
    return Sh("\n".join(part.text for part in parts if part))


def assignments(values: Mapping[str, str]) -> Sh:
    """`A=1 B='two words'` from names that were checked to be shell names; raises `ValueError` for any other name."""
    for name in values:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"not a shell variable name: {name!r}")
    return Sh(" ".join(f"{name}={quote(value)}" for name, value in values.items()))


def here_document(command: Sh, text: str, end: str, otherwise: Sh = Sh("false")) -> Sh:
    """`command` with `text` and a final newline on its stdin, and `otherwise` where it fails.

    `end` must be a plain word that no line of `text` equals; `ValueError` otherwise.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+", end) or end in text.split("\n") or "\0" in text:
        raise ValueError("this text cannot be sent as a here-document")
    return Sh(f"{command.text} <<'{end}' || {otherwise.text}\n{text}\n{end}")
