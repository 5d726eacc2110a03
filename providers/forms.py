"""How a value may look where somebody repeats it: as it is, or as base64, hex, URL, JSON, HTML or a shell would write it.

Used by `secret.py` alone. A tool that fails rarely prints a whole file: so each line counts as a value too, and what stands
behind `NAME=` in it, and the password of a URL.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

_WIDTHS = (60, 64, 76)
"""Where xxd, PEM and base64 break their lines."""
_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s@]+)@")
_LONG = 64 << 10
"""What is longer nobody writes in one piece; and if it is no text either, it has no lines that anybody would print."""
_BORDER = "-----"
"""How the first and the last line of a PEM file begin: they are the same in all keys."""


def forms_of(value: bytes) -> Iterator[str]:
    """Every text by which the value, or a telling part of it, would be recognised; short ones are for the caller to leave
    out."""
    yield from _whole(value)
    for part in dict.fromkeys(_parts(value)):
        yield from _written(part) if len(part) <= _LONG else (part,)


def _parts(value: bytes) -> Iterator[str]:
    # Hosts' texts reach us decoded in either way.
    wholes = {value.decode("utf-8", "replace").strip(), value.decode("utf-8", "surrogateescape").strip()}
    for whole in wholes:
        yield whole
        for line in whole.splitlines() if len(wholes) == 1 or len(value) <= _LONG else ():
            if not line.startswith(_BORDER):
                yield from _pieces(line.strip())


def _pieces(line: str) -> Iterator[str]:
    yield line
    name, equals, behind = line.partition("=")
    if equals and name.removeprefix("export ").strip().replace("_", "").isalnum():
        yield behind.strip().strip("'\"")
    yield from _PASSWORD.findall(line)


def _whole(value: bytes) -> Iterator[str]:
    """Encodings that run over the ends of lines, as their tools break them."""
    for data in {value, value.strip()}:
        for text in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode(), data.hex(), data.hex().upper()):
            yield text
            for width in _WIDTHS:
                if len(text) > width:
                    yield from (text[at : at + width] for at in range(0, len(text), width))


def _written(part: str) -> Iterator[str]:
    data = part.encode("utf-8", "surrogateescape")
    yield part
    yield part[::-1]
    yield from (data.hex(), data.hex().upper(), data.hex(" "))
    yield from _base64(data)
    yield from (quote(data, safe=""), quote(data), quote_plus(data))
    yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], repr(part)[1:-1])
    yield html.escape(part)
    yield from (shlex.quote(part).strip("'"), part.replace("'", "'\\''"), _backslashed(part))


def _base64(data: bytes) -> Iterator[str]:
    """Alone, with the line break that `echo` adds, and from within a longer text: there only the middle is always the same."""
    for text in (data, data + b"\n", data + b"\r\n"):
        yield base64.b64encode(text).decode()
        yield base64.urlsafe_b64encode(text).decode().rstrip("=")
    for before in range(3):
        shifted = bytes(before) + data
        middle = base64.b64encode(shifted[: len(shifted) // 3 * 3]).decode()
        yield middle[4:] if before else middle


def _backslashed(part: str) -> str:
    r"""As `printf %q` writes it: a\ b."""
    return re.sub(r"([^A-Za-z0-9_./:=@%+,-])", r"\\\1", part)
