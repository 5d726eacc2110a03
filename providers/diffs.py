"""Text diffs for the preview of a plan: bounded, and with a word instead of a diff where the content is not text.

`files.py` asks for the present contents by `file_show` and hands both sides to `compare`.
"""

from __future__ import annotations

import base64
import binascii
import difflib

from providers.base import Detail

_SHOWN_BYTES = 256 << 10
_SHOWN_TOTAL = 2 << 20
_COMPARED_LINES = 5000
_SHOWN_LINES = 200


def contents(out: bytes) -> dict[int, bytes]:
    """From the output of `file_show` to contents by index; what is cut or broken is left out."""
    found: dict[int, bytes] = {}
    total = 0
    if not out.endswith(b"\nend\n"):
        return found
    for block in out[: -len(b"end\n")].split(b"@")[1:]:
        index, _, text = block.partition(b"\n")
        try:
            data = base64.b64decode(text.replace(b"\n", b""), validate=True)
        except binascii.Error:
            continue
        total += len(data)
        if index.isdigit() and len(index) < 10 and total <= _SHOWN_TOTAL:
            found[int(index)] = data
    return found


def size(count: int) -> str:
    """Bytes for a reader: `14 kB`."""
    for unit in ("bytes", "kB", "MB"):
        if count < 10_000 or unit == "MB":
            return f"{count} {unit}"
        count = round(count / 1000)
    raise AssertionError


def _lines(data: bytes) -> list[str] | None:
    if b"\0" in data:
        return None
    try:
        return data.decode().split("\n")
    except UnicodeDecodeError:
        return None


def compare(path: str, old: bytes, new: bytes) -> Detail:
    """The difference between two contents, as a person would like to see it."""
    if max(len(old), len(new)) > _SHOWN_BYTES:
        return Detail(notes=(f"{size(len(old))} → {size(len(new))}: too long for a diff",))
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        return Detail(notes=(f"binary, {size(len(old))} → {size(len(new))}",))
    if max(len(before), len(after)) > _COMPARED_LINES:
        return Detail(notes=(f"{len(before)} → {len(after)} lines: too long for a diff",))
    return Detail(diff=_unified(path, before, after))


def _unified(path: str, before: list[str], after: list[str]) -> tuple[str, ...]:
    def ended(parts: list[str]) -> list[str]:
        """Lines without newline; a last line that lacks its newline says so, as in `diff -u`."""
        return parts[:-1] if not parts[-1] else [*parts[:-1], parts[-1] + "\n\\ No newline at end of file"]

    found = difflib.unified_diff(ended(before), ended(after), f"{path} (now)", f"{path} (wanted)", n=3, lineterm="")
    shown = [part for line in found for part in line.split("\n")]
    if len(shown) > _SHOWN_LINES:
        shown = [*shown[:_SHOWN_LINES], f"… {len(shown) - _SHOWN_LINES} more lines"]
    return tuple(shown)
