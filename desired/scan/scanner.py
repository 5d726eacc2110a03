"""Looks for secrets in plain text before anything is shipped: by blob id, so that only new content is read.

`desired/deploy/expand.py` scans the tree of a project, and a finding blocks that project; `scan_fleet` is for the fleet
repository itself, called by `validate`, `plan` and `apply`. A finding names file, line and rule, and never holds the value or
anything that is derived from it alone.

    scan.py         what was found, and what is allowed
    scan_memory.py  what was clean before
    scan_rules.py   what keys look like
    scan_words.py   passwords, by the word before them
    gitleaks.py     a second opinion, where that program is installed
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from desired.model import Diagnostic, Place
from desired.scan import rules as scan_rules
from desired.scan import words as scan_words
from desired.scan.gitleaks import Gitleaks
from desired.scan.memory import Memory
from desired.scan.rules import RULES, Hit, hits
from desired.scan.words import TITLES, Sort, sort_of, word_hits
from desired.source import FILE_LIMIT, SUBMODULE, SYMLINK, Source, Unusable
from desired.text import visible

ALLOW = "secrets/allow"
ENCRYPTED = "not-encrypted"
_AGE_MARKS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
_TITLES = {rule.name: rule.title for rule in RULES} | TITLES | {ENCRYPTED: "a file that should be encrypted and is not"}
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_BLOB = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BINARY_SAMPLE = 8192

Setting: TypeAlias = Literal["block", "warn", "off"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A secret in plain text, without the secret."""

    path: str
    line: int
    rule: str
    fingerprint: str
    """Stands for this rule in this line of this very content. Made from the blob id, so it says nothing about the value."""

    @property
    def title(self) -> str:
        return _TITLES.get(self.rule, f"a secret ({visible(self.rule, 60)})")

    def diagnostic(self, whose: str = "", severity: Literal["error", "warning"] = "error") -> Diagnostic:
        """For the person who put it there. `whose` names the project where it is not the fleet's own file."""
        where = f" in {visible(whose)}" if whose else ""
        # What is shipped is all that is searched: a project's tests and documentation seldom belong on a host.
        spare = f", or do not ship it: exclude: [/{visible(self.path, 200)}]" if whose else ""
        return Diagnostic(
            Place(f"{visible(whose)}:{visible(self.path, 200)}" if whose else visible(self.path, 200), self.line, 1),
            f"this looks like {self.title}{where} (rule {visible(self.rule, 60)})",
            "move it to secrets/ with `reconcile secret encrypt`, and replace it where it is used: git remembers it; "
            f"or, if it is none, allow it with a line in {ALLOW}: {self.fingerprint}  # why{spare}",
            severity,
        )


@dataclass(frozen=True, slots=True)
class Allow:
    """What a person has looked at and said to be no secret: fingerprint → line of `secrets/allow`."""

    lines: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def unused(self, used: Collection[str]) -> tuple[Diagnostic, ...]:
        """Lines that allow nothing, once everything has been scanned."""
        hint = "the file has changed since, or is gone: delete the line"
        return tuple(
            Diagnostic(Place(ALLOW, line, 1), f"{fingerprint} is not found any more", hint, "warning")
            for fingerprint, line in self.lines.items()
            if fingerprint not in used
        )


def read_allow(data: bytes) -> tuple[Allow, tuple[Diagnostic, ...]]:
    """The allowed fingerprints, and the lines that are none."""
    lines: dict[str, int] = {}
    wrong = []
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        text, hash_sign, why = raw.strip().partition("#")
        fingerprint = text.strip()
        if not fingerprint:
            continue
        if not _FINGERPRINT.fullmatch(fingerprint):
            problem = f'"{visible(fingerprint, 60)}" is no fingerprint'
        elif not hash_sign or not why.strip():
            problem = "it is not said why this is allowed"
        elif fingerprint in lines:
            problem = f"{fingerprint} is allowed in line {lines[fingerprint]} already"
        else:
            lines[fingerprint] = number
            continue
        wrong.append(Diagnostic(Place(ALLOW, number, 1), problem, "each line reads: FINGERPRINT  # why"))
    return Allow(lines), tuple(wrong)


class Scanner:
    """Scans files by blob id, and remembers on disk which were clean. For one thread at a time."""

    def __init__(self, cache: Path | None, *, gitleaks: Gitleaks | None = None) -> None:
        """`cache` is a folder that may be deleted at any time. `gitleaks`: what `Gitleaks.installed()` found, to ask it too."""
        self._gitleaks = gitleaks
        version = f"{_version()}-{gitleaks.version}" if gitleaks else _version()
        self._memory = Memory(cache / f"clean-{version}") if cache else None
        self.used: set[str] = set()
        """Allowed fingerprints that were met."""
        self.notes: set[str] = set()
        """What could not be looked at, in sentences."""

    def scan(self, files: Mapping[str, str], read: Callable[[str], bytes], allowed: Allow) -> tuple[Finding, ...]:
        """Findings in `files` (path → blob id), in order of path, without what is allowed. `read` is asked for new blobs only.
        Give it what comes from git, not what is made from secrets on purpose."""
        clean = self._memory.load() if self._memory else frozenset()
        fresh: dict[_Key, list[str]] = {}
        for path, blob in files.items():
            key = _Key(blob, _sort(path))
            if key.text not in clean:
                fresh.setdefault(key, []).append(path)
        places, sure = self._look(fresh, read)
        if self._memory and sure:
            self._memory.add(key.text for key, found in places.items() if not found and _BLOB.fullmatch(key.blob))
        findings = []
        for key, found in places.items():
            for line, rule in found:
                fingerprint = hashlib.sha256(f"{key.blob} {line} {rule}".encode()).hexdigest()[:16]
                if fingerprint in allowed.lines:
                    self.used.add(fingerprint)
                else:
                    findings += [Finding(path, line, rule, fingerprint) for path in fresh[key]]
        return tuple(sorted(findings))

    def _look(self, fresh: Mapping[_Key, Sequence[str]], read: Callable[[str], bytes]) -> tuple[dict[_Key, set[_Found]], bool]:
        """Lines and rules for each new content, and whether everybody who should have looked at it did."""
        places: dict[_Key, set[_Found]] = {}
        problem = ""
        with self._gitleaks.batch() if self._gitleaks and fresh else contextlib.nullcontext() as batch:
            for key in fresh:
                data = read(key.blob)
                places[key] = set(_found(key.sort, data))
                if batch and key.sort not in ("age", "listing"):
                    batch.add(key, data)
            if batch:
                found, problem = batch.found()
                for key, line, rule in found:
                    if all(known != line for known, _ in places[key]):
                        places[key].add((line, rule))
        if problem:
            self.notes.add(problem)
        return places, not problem


def _version() -> str:
    """Changes with the rules: what was clean for other ones is looked at again."""
    text = b"".join(Path(str(module.__file__)).read_bytes() for module in (scan_rules, scan_words))
    return hashlib.sha256(text).hexdigest()[:12]


_Found: TypeAlias = tuple[int, str]
"""Line and rule."""


class _Key(NamedTuple):
    """One content, read in one way: the name of a file decides what counts in it."""

    blob: str
    sort: Sort | Literal["age"]

    @property
    def text(self) -> str:
        return f"{self.blob} {self.sort}"


def _sort(path: str) -> Sort | Literal["age"]:
    return "age" if path.endswith(".age") else sort_of(path)


def _found(sort: Sort | Literal["age"], data: bytes) -> Iterator[_Found]:
    """What our own rules find. Where two meet, the one that sees more counts, and rules come before words."""
    if sort == "age":
        if not data.lstrip().startswith(_AGE_MARKS):
            yield 1, ENCRYPTED
        return
    lowered = data.lower()
    end = 0
    taken = []
    for hit in sorted(hits(data, lowered), key=lambda hit: (hit.start, -hit.end)):
        if hit.start >= end:
            end = hit.end
            taken.append(hit)
            yield _line(data, hit), hit.rule
    if b"\0" not in data[:_BINARY_SAMPLE]:
        for hit in word_hits(data, lowered, sort):
            if not any(other.start < hit.end and hit.start < other.end for other in taken):
                yield _line(data, hit), hit.rule


def _line(data: bytes, hit: Hit) -> int:
    return data.count(b"\n", 0, hit.start) + 1


def scan_fleet(source: Source, scanner: Scanner, setting: Setting, *, everything: bool) -> tuple[Diagnostic, ...]:
    """What stands against the files of the fleet repository: errors where the fleet's `secret_scan` blocks, warnings where it
    only warns. `everything`: nothing else is scanned with this scanner, so what is allowed and was not met is told too."""
    if setting == "off":
        return ()
    severity: Literal["error", "warning"] = "error" if setting == "block" else "warning"
    allowed, wrong = allowed_in(source)
    files: dict[str, str] = {}
    places: dict[str, str] = {}
    notes = []
    for path, entry in source.items():
        if entry.mode in (SYMLINK, SUBMODULE):
            continue
        try:
            source.check(path, FILE_LIMIT)
        except Unusable as error:
            hint = "files as large as this are not searched for secrets"
            notes.append(Diagnostic(Place(visible(path, 200)), str(error), hint, "warning"))
            continue
        files[path] = entry.id
        places[entry.id] = path

    def read(blob: str) -> bytes:
        try:
            return source.read(places[blob], FILE_LIMIT)
        except Unusable:  # a pointer of Git LFS: there is nothing in it
            return b""

    findings = scanner.scan(files, read, allowed)
    told = [replace(one, severity=severity) for one in wrong] + [one.diagnostic(severity=severity) for one in findings]
    notes += [Diagnostic(Place(ALLOW if ALLOW in source else "."), note, "", "warning") for note in sorted(scanner.notes)]
    if everything:
        notes += allowed.unused(scanner.used)
    return tuple(sorted([*told, *notes]))


def allowed_in(source: Source) -> tuple[Allow, tuple[Diagnostic, ...]]:
    """The fleet's allow list, and what is wrong with it. Without one, nothing is allowed."""
    if ALLOW not in source:
        return Allow(), ()
    try:
        return read_allow(source.read(ALLOW))
    except Unusable as error:
        return Allow(), (Diagnostic(Place(ALLOW), str(error), error.hint),)
