"""How hosts are addressed in manifests: `user@host[:port]`, `[IPv6]` in brackets, a name from ~/.ssh/config, or `local`."""

from __future__ import annotations

import re

from desired.model import Address
from desired.text import visible

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+$\\-]{0,254}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", re.ASCII)
_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,32})?)\]", re.ASCII)


def parse_address(text: str) -> Address:
    """The address in `text`; `ValueError` with a sentence for the reader otherwise."""
    if "://" in text:
        raise ValueError("write user@host:port, without ssh:// in front")
    user, at, rest = text.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise ValueError(f'"{visible(user, 40)}" is not a user name')
    host, port = _split_port(rest)
    if host == "local" and (at or port is not None):
        raise ValueError('"local" means this machine and takes neither user nor port')
    return Address(host, user if at else None, port)


def _split_port(text: str) -> tuple[str, int | None]:
    if match := _BRACKETS.match(text):
        host, rest = match[1], text[match.end() :]
        if rest and not rest.startswith(":"):
            raise ValueError("after [address] only :port can follow")
        return host, _port(rest[1:]) if rest else None
    if text.count(":") > 1:
        raise ValueError("write an IPv6 address in brackets, as in root@[fd00::7]:22")
    host, colon, port = text.partition(":")
    if not _NAME.fullmatch(host):
        raise ValueError("expected user@host, user@host:port, a name from ~/.ssh/config, or local")
    return host, _port(port) if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("the port is a number from 1 to 65535")
    return int(text)
