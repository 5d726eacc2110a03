"""Checks the lines of `hosts/known_hosts`: one that is no host key would be passed over in silence, and its host be unknown.

Called by `desired/load.py`. Which keys count for which host is decided in `providers/known_hosts.py`, when a host is asked.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from desired.text import visible

_MARKERS = ("@cert-authority", "@revoked")


def bad_lines(text: str) -> Iterator[tuple[int, str]]:
    """The numbers of the lines that pin nothing, each with the reason."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#") and (reason := _fault(words)):
            yield number, reason


def _fault(words: list[str]) -> str:
    if words[0].startswith("@"):
        if words[0] not in _MARKERS:
            return f"there is no marker {visible(words[0], 40)}"
        words = words[1:]
    if len(words) < 3:
        return "expected HOST TYPE KEY"
    kind, key = words[1], words[2]
    try:
        data = base64.b64decode(key, validate=True)
    except ValueError:
        return f"the key is not base64: {visible(key, 40)}"
    if not _whole(data) or data[4 : 4 + len(kind)] != kind.encode():
        return f"the key is not the {visible(kind, 40)} that it is called: it was cut, or put together from two lines"
    return ""


def _whole(key: bytes) -> bool:
    """Whether a key in the encoding of the wire, a row of fields with their lengths, ends where its last field does."""
    while key:
        length = int.from_bytes(key[:4])
        if len(key) < 4 + length:
            return False
        key = key[4 + length :]
    return True
