"""Lines of an authorized_keys file: which may be written, and when two of them mean the same.

`users.py` calls it for both sides: the keys that the repository lists and the file that a host has. It is text work only, and
stands apart because sshd's rules about options and quotes have nothing to do with accounts.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from providers.base import Line

KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
NO_KEY = "(a line that is no key)"
"""Stands for such a line of a host's file: its text may be anything, and is nobody's business."""

_OPTIONS = re.compile(r'(?:[^ \t"\\]|\\"|\\|"(?:[^"\\]|\\"|\\)*")+[ \t]+')


def _holds_key(kind: str, text: str) -> bool:
    """Whether `text` is the base64 of a whole key of type `kind`: fields with their lengths, first the type's name."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    fields: list[bytes] = []
    while data:
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            return False
        fields.append(data[4 : 4 + length])
        data = data[4 + length :]
    return len(fields) > 1 and fields[0] == kind.encode()


def _split(line: str) -> tuple[str, str, str] | None:
    """Options, type and base64 text; None where a line does not have this shape. A comment at its end is left out."""
    options = ""
    words = line.split(None, 2)
    if len(words) < 2 or not _holds_key(words[0], words[1]):
        match = _OPTIONS.match(line)
        if not match:
            return None
        options, words = match[0].strip(), line[match.end() :].split(None, 2)
    return (options, words[0], words[1]) if len(words) > 1 else None


def same_key(line: str) -> str | None:
    """The line without its comment and spare blanks: equal for equal keys. None for a blank line or a comment, `NO_KEY` for a
    line that holds no key."""
    line = line.partition("\0")[0].strip(" \t\r")
    if not line or line.startswith("#"):
        return None
    parts = _split(line)
    if not parts or not _holds_key(parts[1], parts[2]):
        return NO_KEY
    return " ".join(part for part in parts if part)


def same_keys(lines: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """What a list of lines amounts to: order, comments and repetitions do not matter."""
    return tuple(sorted({key for line in lines if (key := same_key(line))}))


def _key_line(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise ValueError("this is a private key: take it out of the repository, replace it, and write the public one here")
    line = value.strip(" ")
    parts = None if line.startswith("#") else _split(line)
    if not parts or parts[1] not in KEY_TYPES:
        raise ValueError(
            'expected a public key as in a .pub file: "[OPTIONS] TYPE BASE64 [COMMENT]", with a TYPE of ' + ", ".join(KEY_TYPES)
        )
    if not _holds_key(parts[1], parts[2]):
        raise ValueError(f"this {parts[1]} key is damaged or cut short: its base64 text does not hold a whole key")
    return line


KeyLine: TypeAlias = Annotated[Line, AfterValidator(_key_line)]
"""One public key, as it stands in a .pub file, with options before it if need be."""
