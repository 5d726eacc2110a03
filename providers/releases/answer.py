"""What a host says of a deployed tree, read: the answers to the probe and to the closer look of `releases/probe.py`.

Total: an answer that is cut, damaged or makes no sense is `Unknown` or nothing, and never reads as absent or as untouched.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from providers.base import Answer, Unknown
from providers.releases.ask import LISTED
from providers.releases.model import PATHS, ReleaseSpec, ReleaseState
from providers.tree import TreeFile, listed

_HEX = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TREE = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_TRUTH = re.compile(r"(0644|0755|0600|link) ([0-9a-f]{16}|sealed:[0-9a-zA-Z]+) ([0-9]{1,19}) (.+)")
_MOST = 64 << 20
"""Bytes of a list of files, once it is unpacked."""


@dataclass(slots=True)
class Words:
    """The lines of one project, by their first word."""

    lists: dict[str, list[str]] = field(default_factory=dict)

    def __contains__(self, word: str) -> bool:
        return word in self.lists

    def one(self, word: str) -> str:
        return self.lists.get(word, [""])[0]

    def paths(self, word: str) -> list[str]:
        return sorted(set(self.lists.get(word, ())))

    def number(self, word: str) -> int:
        text = self.one(word)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0


def blocks(text: str, count: int) -> Iterator[tuple[int, Words]]:
    """What was said of each project, by its index; only what came to its end."""
    index, words = -1, Words()
    for line in text.split("\n"):
        if line.startswith("@"):
            number = line[1:]
            index = int(number) if number.isascii() and number.isdecimal() and len(number) < 7 else -1
            words = Words()
        elif line == ".":
            if 0 <= index < count:
                yield index, words
            index = -1
        elif index >= 0:
            word, _, rest = line.partition(" ")
            words.lists.setdefault(word, []).append(rest)


def parse(out: bytes, specs: Sequence[ReleaseSpec]) -> Mapping[str, Answer[ReleaseState]]:
    text = out.decode("utf-8", "surrogateescape")
    return {specs[index].name: _answer(specs[index], words) for index, words in blocks(text, len(specs))}


def _answer(spec: ReleaseSpec, words: Words) -> Answer[ReleaseState]:
    if "absent" in words:
        return None
    if "closed" in words:
        return Unknown(f"{spec.path} is there, but it is no folder, or may not be entered")
    if "unreadable" in words:
        return Unknown(f"it could not be told what is at {spec.path}")
    if "F" in words:
        return Unknown(f"not all of {spec.path} could be read: name what is not the project's under shared or exclude")
    if "Z" not in words:
        return Unknown(f"the host did not finish telling what is in {spec.path}")
    if "foreign" in words:
        return _foreign(spec, words)
    title = words.one("title").split(" ")
    complete = "unfinished" not in words and _TREE.fullmatch(title[0]) is not None
    rev = words.one("rev") if "rev" in words else title[-1]
    name = words.one("id")
    return ReleaseState(
        tree=title[0] if complete else "unfinished",
        commit=rev if _HEX.fullmatch(rev) else "none",
        branch=_branch(words.one("head")) if spec.strategy == "checkout" else None,
        owner=words.one("owner"),
        group=words.one("group"),
        edited=_capped(words, "E"),
        missing=_capped(words, "M"),
        modes=_capped(words, "P"),
        touched=words.number("X"),
        added=_added(spec, words),
        kept=tuple(words.paths("kept")),
        formerly="formerly" in words,
        id=name if _ID.fullmatch(name) else None,
    )


def _branch(ref: str) -> str:
    return ref.removeprefix("refs/heads/") or "none"


def _capped(words: Words, word: str) -> tuple[str, ...]:
    paths = words.paths(word)
    more = max(words.number(f"+{word}"), len(paths)) - PATHS
    return tuple(paths[:PATHS]) + ((f"… and {more} more",) if more > 0 else ())


def _added(spec: ReleaseSpec, words: Words) -> tuple[str, ...]:
    """What lies there and is not ours, less what is excluded."""
    patterns = spec.patterns
    told = words.paths("A")
    paths = [path for path in told if not patterns.matches(path) and not spec.is_untouched(path)]
    paths += ["(names with a line break)"] if words.number("O") else []
    unseen = words.number("+A") - len(told) if len(told) >= LISTED else 0
    more = max(0, len(paths) - PATHS) + max(0, unseen)
    return tuple(paths[:PATHS]) + ((f"… and {more} more",) if more > 0 else ())


def _foreign(spec: ReleaseSpec, words: Words) -> Answer[ReleaseState]:
    """A folder of which we know nothing: absent where nothing is in it but what is not ours anyhow."""
    found = _added(spec, words)
    if not spec.present or not found:
        return None
    count = max(words.number("+A"), len(found))
    files = "1 file" if count == 1 else f"{count} files"
    return Unknown(
        f"{spec.path} holds {files} that reconciler did not put there ({found[0]}): "
        f"take it over with `reconcile adopt {spec.name}`"
    )


@dataclass(frozen=True, slots=True)
class Held:
    """What a host has already of what is to be sent."""

    base: str = ""
    """The release whose files can be used, where each has a folder of its own."""
    lines: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Path → mode and digest (its first 16 digits), of files that are as we installed them."""
    contents: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The same of files whose content is right, and mode or owner are not."""
    shared: frozenset[str] = frozenset()


def unpacked(out: bytes) -> str:
    """The text of a look, or nothing where it is not whole."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(out, _MOST)
    except zlib.error:
        return ""
    return data.decode("utf-8", "surrogateescape") if unpacker.eof else ""


def blocks_of(text: str, count: int) -> dict[int, str]:
    """What a look says of each project, as it stands; only what came to its end."""
    found: dict[int, str] = {}
    for piece in ("\n" + text).split("\n@")[1:]:
        number, _, rest = piece.partition("\n")
        body, end, _ = f"{rest}\n".partition("\n.\n")  # of all but the last, the split took the line break
        if end and number.isascii() and number.isdecimal() and int(number[:7]) < count:
            found[int(number[:7])] = body
    return found


def held(text: str) -> Held:
    """One project's part of a look."""
    for _, words in blocks(f"@0\n{text}\n.\n", 1):
        if "listed" in words:
            return Held(lines={file.path: short_line(file) for file in listed(words.one("listed")) or ()})
        if "Z" not in words:
            return Held(shared=frozenset(words.paths("shared")))
        return Held(
            base=words.one("id") if _ID.fullmatch(words.one("id")) else "",
            lines=_truths(words, "T"),
            contents=_truths(words, "C"),
            shared=frozenset(words.paths("shared")),
        )
    return Held()


def short_line(file: TreeFile) -> tuple[str, str]:
    """Mode and digest of a file, as a look tells them."""
    return file.mode, file.digest if file.digest.startswith("sealed:") else file.digest[:16]


def _truths(words: Words, word: str) -> dict[str, tuple[str, str]]:
    found = (_TRUTH.fullmatch(line) for line in words.lists.get(word, ()))
    return {match[4]: (match[1], match[2]) for match in found if match is not None}
