"""What an unquoted word of YAML means, by the core schema of YAML 1.2: `on` and `2026-01-02` are text, `true` and `1` are not.

Called by `desired/yaml.py` for every plain scalar; the parsers underneath are never asked, because they disagree about it.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Scalar: TypeAlias = bool | int | float | str | None

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_MAY_BE_NUMBER = frozenset("+-.0123456789")
_LARGEST = 2**63


class NotPlain(ValueError):
    """An unquoted word that cannot be taken as what it looks like. `str` is a sentence for the reader."""


def resolve(text: str) -> Scalar:
    """The value of an unquoted word; `NotPlain` when it is a number that we refuse."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAY_BE_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise NotPlain("the number is too large; write it in quotes if it is meant as text")
        return value
    if _NOT_FINITE.fullmatch(text):
        raise NotPlain("infinity and not-a-number cannot be used; write it in quotes if it is meant as text")
    return text


def _integer(text: str) -> int:
    if len(text) > 1 and text[0] == "0" and text.isdigit():
        raise NotPlain(
            f'a number with a leading zero is octal to some and decimal to others: write it in quotes, "{text[:64]}"'
        )
    if len(text) > 24:
        raise NotPlain("the number is too large; write it in quotes if it is meant as text")
    value = int(text[2:], 8 if text[1] == "o" else 16) if text[:2] in ("0o", "0x") else int(text)
    if not -_LARGEST <= value < _LARGEST:
        raise NotPlain("the number is too large; write it in quotes if it is meant as text")
    return value
