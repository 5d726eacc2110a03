"""The variables that a compose file may ask for, as far as they are known before the host is asked.

Compose takes them from its environment (what a slot sets), from `.env`, and from the `.env` beside the compose file where that
lies in a folder. A value that stands in an encrypted file is never looked at: whoever asks for it depends on the file's version
instead.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from desired.deploy import dotenv
from providers.tree import Tree

ENV = ".env"
_ASKED = re.compile(r"\$(?:\$|\{?([A-Za-z_][A-Za-z0-9_]*))")
_FORM = re.compile(
    r"""\$(?: (?P<escaped>\$) | (?P<bare>[A-Za-z_][A-Za-z0-9_]*)
    | \{ (?P<name>[A-Za-z_][A-Za-z0-9_]*) (?: (?P<sign>:?[-+?]) (?P<word>[^${}]*) )? \} )""",
    re.VERBOSE,
)
_EVERYWHERE = {"HOME", "HOSTNAME", "LOGNAME", "PATH", "PWD", "SHELL", "USER"}
"""What the host itself sets."""


class _NotKnown(Exception):
    pass


@dataclass(frozen=True)
class Values:
    """What is known of them."""

    known: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    """Digest of the `.env` that cannot be read here: a name that is not known may be set in it."""

    @classmethod
    def of(cls, tree: Tree, given: Mapping[str, str], environment: Mapping[str, str], folder: str = "") -> Values:
        """`given`: what the project's file sets in `.env`. `environment`: what compose is started with, which wins.
        `folder`: that of the compose file."""
        known, version = _written(tree, posixpath.join(folder, ENV)) if folder else ({}, None)
        above, other = _written(tree, ENV)
        known |= {**given, **above}
        version = "\n".join(filter(None, (version, other))) or None
        if any(file.path.startswith(f"{ENV}.") and file.mode == "0600" for file in tree.files):
            version = "\n".join([version or "", *(file.line for file in tree.files if file.path.startswith(f"{ENV}."))])
        # What a value with `$` comes to is only known on the host.
        return cls(
            {name: value for name, value in known.items() if "$" not in value or name in given} | dict(environment), version
        )

    def get(self, name: str) -> str | None:
        return self.known.get(name)

    def fill(self, text: str) -> str | None:
        """`text` with its variables filled in; None where that is only known on the host."""
        try:
            filled = _FORM.sub(self._value, text)
        except _NotKnown:
            return None
        left = _FORM.sub("", text)
        return None if "$" in left else filled

    def _value(self, match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, sign, word = match["bare"] or match["name"], match["sign"] or "", match["word"] or ""
        value = self.known.get(name)
        if value is None and self.version is not None:
            raise _NotKnown
        there = bool(value) if sign.startswith(":") else value is not None
        if sign.endswith("+"):
            return word if there else ""
        if there:
            return value or ""
        return word if sign.endswith("-") else ""

    def asked(self, says: Any) -> list[str]:
        """A line for each variable that `says` asks for: its value, or the version of the file that may set it."""
        names = sorted({match[1] for text in _texts(says) for match in _ASKED.finditer(text) if match[1]})
        return self.lines(names)

    def unset(self, says: Any) -> dict[str, bool]:
        """What `says` asks for and nothing sets, without a word for that case; whether compose refuses to go on without it.
        Nothing, where an encrypted file may set it."""
        found: dict[str, bool] = {}
        for text in _texts(says) if self.version is None else ():
            for match in _FORM.finditer(text):
                name, sign = match["bare"] or match["name"], match["sign"] or ""
                before = text[: match.start()]
                inside = before.count("${") > before.count("}")
                if (
                    name
                    and not inside
                    and sign.lstrip(":") not in ("-", "+")
                    and name not in self.known
                    and name not in _EVERYWHERE
                ):
                    found[name] = found.get(name, False) or sign.endswith("?")
        return found

    def lines(self, names: list[str]) -> list[str]:
        lines = [f"{name}={self.known[name]}" if name in self.known else f"{name} {self.version}" for name in names]
        return sorted(lines)


def _written(tree: Tree, path: str) -> tuple[dict[str, str], str | None]:
    """What a file of the tree sets, and its digest where not all of that is known here."""
    entry = next((file for file in tree.files if file.path == path), None)
    if entry is None:
        return {}, None
    if entry.mode == "link" or entry.digest.startswith("sealed:"):
        return {}, entry.digest
    try:
        found = dotenv.read(tree.read(path).decode())
    except UnicodeDecodeError:
        return {}, entry.digest
    return found, entry.digest if any("$" in value for value in found.values()) else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
