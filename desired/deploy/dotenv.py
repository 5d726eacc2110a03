"""The lines of a .env file: written so that everyone who reads such files gets the same value, and read as compose reads them.

Three readers disagree about quotes: `docker compose` (backslashes count in both kinds of quotes, `$` in double ones and in
none), systemd's EnvironmentFile= (backslashes count in double quotes and in none, `$` never) and the shell. So a value stands
bare where no reader sees anything in it, in single quotes where it holds neither such a quote nor a backslash, and in double
quotes, with escapes that all of them take away, where it does. Used by `desired/deploy/tree.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
"""What a shell takes as the name of a variable."""
_BARE = re.compile(r"[A-Za-z0-9_@%+,./:=-]*", re.ASCII)
_ESCAPED = re.compile(r'[\\"$]')
_LINE = re.compile(
    r"""[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
    (?: '(?P<single>(?:[^'\\]|\\.)*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<bare>[^\n]*) )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_SKIPPED = re.compile(r"(?:[ \t\r]*(?:\#[^\n]*)?\n)*[ \t]*(?:\#[^\n]*)?", re.VERBOSE)
_CODES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def line(name: str, value: str) -> str:
    """`NAME=value`, quoted as it has to be. The value is one line: no reader agrees with the others about more."""
    if not NAME.fullmatch(name) or "\n" in value or "\0" in value:
        raise ValueError("not a variable for a .env file")
    if _BARE.fullmatch(value):
        return f"{name}={value}"
    if "'" not in value and "\\" not in value:
        return f"{name}='{value}'"
    return f'{name}="{_ESCAPED.sub(_escape, value)}"'


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def text(values: Mapping[str, str]) -> str:
    """All of them, in their order."""
    return "".join(f"{line(name, value)}\n" for name, value in values.items())


def read(text: str) -> dict[str, str]:
    """The values that stand in a .env file, to compare them with what is expected. Total; the last of two lines counts.

    A `$` that would be replaced by another variable stays as it is written: what it comes to is only known on the host.
    """
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        skipped = _SKIPPED.match(text, position)
        position = skipped.end() if skipped else position
        found = _LINE.match(text, position)
        if found:
            values[found["name"]] = _value(found)
            position = found.end()
        end = text.find("\n", position)
        position = len(text) if end < 0 else end + 1
    return values


def _value(found: re.Match[str]) -> str:
    if found["single"] is not None:
        return found["single"].replace("\\'", "'")
    if found["double"] is not None:
        return re.sub(
            r"\\(.)",
            lambda escape: _CODES.get(escape[1], escape[1] if escape[1] in '\\"$' else escape[0]),
            found["double"],
            flags=re.DOTALL,
        )
    return found["bare"].split(" #")[0].strip()
