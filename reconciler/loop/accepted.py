"""What outlives a restart of the loop: the last good commit of each place, and the commits that a person accepted by name.

    FOLDER/follow.json        written by the loop alone: the last good commit and what was seen, per place
    FOLDER/accepted/COMMIT    an empty file, made by `reconcile accept`, taken away by the loop once the commit is in force

Called by `reconciler/loop/following.py` and `reconciler/cli/accept.py`. What cannot be read here is set aside and told, never
trusted: a commit that is remembered still has to be in the repository and to load.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from desired.sources.model import HEX
from desired.text import visible
from desired.whole_file import write_whole

_VERSION = 1
_LIMIT = 1 << 20
_SEEN = 50
"""Commits of a place that are remembered, so that they can be accepted by the beginning of their id."""
_ACCEPTED = 100
PREFIX = re.compile(r"[0-9a-f]{4,40}")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of one place."""

    good: str | None = None
    """The last commit that was put in force."""
    seen: tuple[str, ...] = ()
    """Commits that were its newest at some time, the last one last; usable or not."""


@dataclass
class Memory:
    """The folder, for one loop."""

    folder: Path
    notice: str = ""
    """What was wrong with the file when it was read; told once."""
    trouble: str = ""
    """Why it cannot be written."""
    _places: dict[str, Remembered] = field(default_factory=dict)
    _read: bool = False

    @property
    def file(self) -> Path:
        return self.folder / "follow.json"

    def of(self, place: str) -> Remembered:
        """Read once; from then on what is in memory is the truth."""
        if not self._read:
            self._places = self._load()
            self._read = True
        return self._places.get(place, Remembered())

    def saw(self, place: str, commit: str) -> None:
        known = self.of(place)
        if known.seen[-1:] != (commit,):
            seen = (*(one for one in known.seen if one != commit), commit)[-_SEEN:]
            self._save(place, replace(known, seen=seen))

    def put_in_force(self, place: str, commit: str) -> None:
        known = self.of(place)
        if known.good != commit:
            self._save(place, replace(known, good=commit))

    def _load(self) -> dict[str, Remembered]:
        try:
            return read_file(self.file)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            aside = self.file.with_name(f"{self.file.name}.broken-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
            told = f"what the loop remembered in {visible(str(self.file))} cannot be used ({reason})"
            try:
                self.file.rename(aside)
                self.notice = f"{told}; it was set aside as {visible(aside.name)}, and the loop begins anew"
            except OSError as stuck:
                self.notice = f"{told}, nor be set aside ({stuck.strerror}); the loop begins anew"
            return {}

    def _save(self, place: str, known: Remembered) -> None:
        self._places[place] = known
        self.write()

    def write(self) -> None:
        """A disk that is full costs the memory, and nothing else: it is told, and tried again."""
        places = {place: {"good": one.good, "seen": list(one.seen)} for place, one in self._places.items()}
        text = json.dumps({"version": _VERSION, "places": places}, indent=1) + "\n"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.file, text.encode("utf-8", "surrogatepass"))
            self.trouble = ""
        except OSError as error:
            self.trouble = f"the last good commit cannot be written down in {visible(str(self.file))}: {error.strerror}"

    def accepted(self) -> tuple[str, ...]:
        """Commits that a person let in by name and that are not in force yet."""
        return accepted_in(self.folder)

    def used(self, commits: tuple[str, ...]) -> None:
        """Forgets acceptances: a branch that is set back to such a commit later has to be accepted again."""
        for commit in commits:
            with suppress(OSError):
                (self.folder / "accepted" / commit).unlink()


def read_file(file: Path) -> dict[str, Remembered]:
    """What is remembered of each place. Raises `OSError`, and `ValueError` with the reason for what is not ours."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
            raise ValueError("others could have written it")
        content = stream.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise ValueError("it is too long")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(found, dict) or found.get("version") != _VERSION or not isinstance(found.get("places"), dict):
        raise ValueError("another program, or another version of this one, wrote it")
    return {str(place): _remembered(one) for place, one in found["places"].items()}


def _remembered(one: Any) -> Remembered:
    if not isinstance(one, dict) or not isinstance(one.get("seen"), list):
        raise ValueError("it has another form")
    good, seen = one.get("good"), tuple(one["seen"])
    if any(
        not isinstance(commit, str) or not HEX.fullmatch(commit) for commit in (*seen, *([good] if good is not None else []))
    ):
        raise ValueError("it names what is no commit")
    return Remembered(good, seen)


def accepted_in(folder: Path) -> tuple[str, ...]:
    """Names of commits, sorted; no more than can be meant."""
    try:
        names = [path.name for path in (folder / "accepted").iterdir()]
        return tuple(sorted(name for name in names if HEX.fullmatch(name))[:_ACCEPTED])
    except OSError:
        return ()


def accept(folder: Path, commit: str) -> None:
    """Lets in a commit by its full id. Raises `OSError`. What root does here for the loop of another user belongs to that
    user."""
    place = folder / "accepted"
    owner = folder.stat()
    for path in (place, place / commit):
        if path is place:
            place.mkdir(mode=0o700, exist_ok=True)
        else:
            write_whole(path, b"")
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
