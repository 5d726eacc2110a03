r"""Exclude patterns, meaning what they mean to git in .gitignore: `*`, `**`, `[a-z]`, `!`, a leading and a trailing slash.

Used by `desired/` to leave files out of a project's tree, and by `releases/answer.py` to tell what lies in a deployed one and
is none of our business: both judge alike. Matching works on bytes, as git's does, and takes time in proportion to the path: a
star never goes back further than to the star before it. Where git's code and its manual differ we keep to the manual: in
`x**/y` the stars are ordinary ones, and `\/` is a slash like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_ANY: Final = None
"""The segment `**`: any number of folders."""
_CLASSES: Final = {
    b"alnum": rb"0-9A-Za-z",
    b"alpha": rb"A-Za-z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"\x21-\x7e",
    b"lower": rb"a-z",
    b"print": rb"\x20-\x7e",
    b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb" \t\n\r\f\v",
    b"upper": rb"A-Z",
    b"xdigit": rb"0-9A-Fa-f",
}
_REMEMBERED_FOLDERS = 100_000


class Patterns:
    """What a list of patterns excludes. The last pattern that matches decides; below an excluded folder none can bring back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._patterns = tuple(pattern for line in lines for pattern in _parsed(line.encode("utf-8", "surrogateescape")))
        self._folders: dict[bytes, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def __call__(self, path: str) -> bool:
        """Whether `path`, relative to the top, is excluded; a folder is written with a slash at its end."""
        if not self._patterns:
            return False
        raw = path.encode("utf-8", "surrogateescape")
        return self._folder(raw[:-1]) if raw.endswith(b"/") else self._excluded(raw, is_folder=False)

    def matches(self, path: str, *, folder: bool = False) -> bool:
        return self(f"{path}/" if folder else path)

    def _folder(self, path: bytes) -> bool:
        """Siblings ask about the same folder, so the answers are kept."""
        known = self._folders.get(path)
        if known is None:
            if len(self._folders) >= _REMEMBERED_FOLDERS:
                self._folders.clear()
            known = self._folders[path] = self._excluded(path, is_folder=True)
        return known

    def _excluded(self, path: bytes, *, is_folder: bool) -> bool:
        parent = path.rpartition(b"/")[0]
        if parent and self._folder(parent):
            return True
        segments = path.split(b"/")
        for pattern in reversed(self._patterns):
            if (is_folder or not pattern.folders_only) and pattern.matches(segments):
                return not pattern.brings_back
        return False


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One line. `segments` is what lies between its slashes; `anywhere`: it has none, and is about names at every depth."""

    segments: tuple[re.Pattern[bytes] | None, ...]
    anywhere: bool
    folders_only: bool
    brings_back: bool

    def matches(self, path: list[bytes]) -> bool:
        if self.anywhere:
            only = self.segments[0]
            return only is _ANY or only.fullmatch(path[-1]) is not None
        return _matches(self.segments, path)


def _matches(pattern: tuple[re.Pattern[bytes] | None, ...], path: list[bytes]) -> bool:
    """Whether the segments fit. After a failure the last `**` takes one folder more; an earlier one never needs to."""
    at = position = 0
    back: tuple[int, int] | None = None
    while position < len(path):
        if at < len(pattern):
            segment = pattern[at]
            if segment is _ANY:
                if at == len(pattern) - 1:
                    return True
                back = (at + 1, position)
                at += 1
                continue
            if segment.fullmatch(path[position]):
                at, position = at + 1, position + 1
                continue
        if back is None:
            return False
        back = (back[0], back[1] + 1)
        at, position = back
    return at == len(pattern)


def _parsed(line: bytes) -> Iterator[_Pattern]:
    """The pattern of one line; none for a comment, an empty line, or one that git lets match nothing."""
    line = _without_blanks(line)
    if not line or line.startswith(b"#"):
        return
    brings_back = line.startswith(b"!")
    body = line[1:] if brings_back else line
    folders_only = body.endswith(b"/")
    body = body[:-1] if folders_only else body
    anywhere = b"/" not in body
    body = body.removeprefix(b"/")
    segments = _segments(body) if body else None
    if segments is not None:
        yield _Pattern(segments, anywhere, folders_only, brings_back)


def _without_blanks(line: bytes) -> bytes:
    """Blanks at the end do not count, unless a backslash stands before one."""
    end = at = 0
    while at < len(line):
        at += 2 if line[at : at + 1] == b"\\" else 1
        if line[at - 1 : at] != b" " or line[at - 2 : at - 1] == b"\\":
            end = at
    return line[:end]


def _segments(body: bytes) -> tuple[re.Pattern[bytes] | None, ...] | None:
    """What stands between the slashes, each as an expression; None where the pattern can match nothing."""
    segments: list[re.Pattern[bytes] | None] = []
    chunks, stars, text, at = [b""], 0, b"", 0
    while at <= len(body):
        one = body[at : at + 1]
        if one == b"\\" and body[at + 1 : at + 2] == b"/":
            at, one = at + 1, b"/"
        if one in (b"/", b""):
            if stars >= 2 and text.strip(b"*") == b"":
                segments.append(_ANY)
            else:
                segments.append(_expression(chunks))
            chunks, stars, text, at = [b""], 0, b"", at + 1
            continue
        start = at
        if one == b"*":
            chunks, stars, at = [*chunks, b""], stars + 1, at + 1
        else:
            found = _atom(body, at)
            if found is None:
                return None
            chunks[-1] += found[0]
            at = found[1]
        text += body[start:at]
    return tuple(segments)


def _expression(chunks: list[bytes]) -> re.Pattern[bytes]:
    """From the pieces between stars. Each but the last is taken where it first fits, and never again elsewhere."""
    first, *others = chunks
    middle = b"".join(b"(?>.*?" + chunk + b")" for chunk in others[:-1] if chunk)
    last = b".*" + others[-1] if others else b""
    return re.compile(first + middle + last, re.DOTALL)


def _atom(body: bytes, at: int) -> tuple[bytes, int] | None:
    """The expression for one character of a pattern, and where the next begins; None where git gives up the pattern."""
    one = body[at : at + 1]
    if one == b"?":
        return b".", at + 1
    if one == b"\\":
        return (re.escape(body[at + 1 : at + 2]), at + 2) if at + 1 < len(body) else None
    return _set(body, at + 1) if one == b"[" else (re.escape(one), at + 1)


def _set(body: bytes, at: int) -> tuple[bytes, int] | None:
    """A set of characters, from behind its bracket on."""
    negated = body[at : at + 1] in (b"!", b"^")
    at += negated
    members: list[bytes] = []
    previous: bytes | None = None
    first = True
    while first or body[at : at + 1] != b"]":
        first = False
        if at >= len(body):
            return None
        if body[at : at + 2] == b"[:" and (end := body.find(b"]", at + 2)) >= 0 and body[end - 1 : end] == b":":
            name = body[at + 2 : end - 1]
            if name not in _CLASSES:
                return None
            members.append(_CLASSES[name])
            previous, at = None, end + 1
            continue
        ranged = body[at : at + 1] == b"-" and previous is not None and body[at + 1 : at + 2] not in (b"", b"]")
        at += ranged
        at += body[at : at + 1] == b"\\"
        one = body[at : at + 1]
        if not one:
            return None
        if ranged and previous is not None:
            if previous <= one:
                members.append(_hex(previous) + b"-" + _hex(one))
            previous = None
        else:
            members.append(_hex(one))
            previous = one
        at += 1
    inside = b"".join(members)
    return b"[" + (b"^" if negated else b"") + inside + b"]", at + 1


def _hex(one: bytes) -> bytes:
    return b"\\x%02x" % one[0]
