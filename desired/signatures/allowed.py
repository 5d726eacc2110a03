"""Reads lists of signers in ssh-keygen's format (`man ssh-keygen`, ALLOWED SIGNERS). No I/O.

Called by `desired/signatures/signers.py`. A line that is not understood lists nobody: an option that we do not know may have
been meant as a restriction.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

GIT = "git"
"""The namespace of signatures of commits."""
KEY_TYPES = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
_PRINCIPALS = re.compile(r'"([^"]*)"|(\S+)')
_OPTION = re.compile(r'([A-Za-z-]+)(?:="([^"]*)")?')
_TIME = re.compile(r"(\d{8})(\d{4}(?:\d{2})?)?(Z?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signer:
    """One line."""

    line: int
    principals: str
    """Patterns with commas between them. They count for certificates; a key in the list is listed by whatever name."""
    kind: str
    key: bytes
    authority: bool = False
    """Whether the key signs certificates, and not commits."""
    namespaces: str | None = None
    after: int | None = None
    before: int | None = None
    """Valid from and until, in seconds since 1970."""

    @property
    def text(self) -> str:
        """The key as it stands in files."""
        return f"{self.kind} {base64.b64encode(self.key).decode()}"

    def barred(self, *times: float) -> str | None:
        """Why the line does not count for a commit, at one of these times; None when it does."""
        if self.namespaces is not None and not matches(self.namespaces, GIT):
            return f'for other purposes than "{GIT}" only'
        if self.after is not None and any(time < self.after for time in times):
            return f"only from {_day(self.after)} on"
        if self.before is not None and any(time >= self.before for time in times):
            return f"only until {_day(self.before)}"
        return None


class WrongLine(NamedTuple):
    """A line that lists nobody, and why."""

    line: int
    reason: str


def read_allowed_signers(text: str) -> tuple[tuple[Signer, ...], tuple[WrongLine, ...]]:
    signers: list[Signer] = []
    wrong: list[WrongLine] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            signers.append(_signer(number, line))
        except ValueError as error:
            wrong.append(WrongLine(number, str(error)))
    return tuple(signers), tuple(wrong)


def _signer(number: int, line: str) -> Signer:
    found = _PRINCIPALS.match(line)
    if found is None or found.end() == len(line):
        raise ValueError("it has no key: each line reads: NAME [OPTIONS] TYPE KEY")
    principals = found[1] if found[1] is not None else found[2]
    rest = line[found.end() :].strip()
    options = ""
    if rest.partition(" ")[0] not in KEY_TYPES:
        options, rest = _split_options(rest)
    words = rest.split()
    if not words or words[0] not in KEY_TYPES:
        raise ValueError("its key has a type that signs no commits here" if words else "it has no key")
    if len(words) < 2:
        raise ValueError("it has no key behind the type")
    if not principals:
        raise ValueError("it names nobody")
    return _with_options(Signer(number, principals, words[0], _key(words[0], words[1])), options)


def _split_options(text: str) -> tuple[str, str]:
    """The options, up to the first blank that stands in no quotes, and what comes after it."""
    quoted = False
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character in " \t" and not quoted:
            return text[:at], text[at:].strip()
    return text, ""


def _key(kind: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("its key is not base64") from error
    if key[:4] != len(kind).to_bytes(4, "big") or key[4 : 4 + len(kind)] != kind.encode():
        raise ValueError("its key is of another type than it says")
    return key


def _with_options(signer: Signer, text: str) -> Signer:
    authority, namespaces = False, None
    after = before = None
    for name, value in _options(text):
        if name == "cert-authority" and value is None:
            authority = True
        elif name == "namespaces" and value:
            namespaces = value
        elif name == "valid-after" and value:
            after = _time(value)
        elif name == "valid-before" and value:
            before = _time(value)
        else:
            raise ValueError(f"its option {name} is not known, or has no value")
    return Signer(signer.line, signer.principals, signer.kind, signer.key, authority, namespaces, after, before)


def _options(text: str) -> Iterator[tuple[str, str | None]]:
    """Each once: of two different dates nobody could say which was meant."""
    at = 0
    seen = set()
    while at < len(text):
        found = _OPTION.match(text, at)
        if found is None:
            raise ValueError("its options cannot be read")
        name = found[1].lower()
        if name in seen:
            raise ValueError(f"its option {name} stands there twice")
        seen.add(name)
        yield name, found[2]
        at = found.end()
        if at < len(text) and text[at] != ",":
            raise ValueError("its options cannot be read")
        at += 1


def _time(text: str) -> int:
    """YYYYMMDD[HHMM[SS]][Z], in local time without the Z."""
    found = _TIME.fullmatch(text)
    try:
        assert found is not None
        moment = datetime.strptime(found[1] + (found[2] or "0000").ljust(6, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 the zone follows
        return int((moment.replace(tzinfo=UTC) if found[3] else moment.astimezone()).timestamp())
    except (AssertionError, ValueError, OverflowError) as error:
        raise ValueError("its date is not written as YYYYMMDD or YYYYMMDDHHMM[SS], with a Z at the end for UTC") from error


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def matches(patterns: str, name: str) -> bool:
    """OpenSSH's lists of patterns: `*` and `?`, and `!` in front of what is excluded whatever else fits."""
    found = False
    for pattern in patterns.split(","):
        negated = pattern.startswith("!")
        if fnmatch.fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if negated:
                return False
            found = True
    return found
