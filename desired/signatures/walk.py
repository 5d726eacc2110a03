"""Whether signers signed all that is new: commit by commit, and each by the list as it stood before it.

Called by `reconciler/loop/trust.py`, and by `plan` and `apply`. The branch is walked along its first parents, as if each of its
commits had been looked at when it came. So the answer does not depend on when somebody looked: whoever was added to the list
counts from the next commit on, and whoever was taken out does not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from desired.files import read_fleet
from desired.git import Repository, fleet_folder
from desired.git_history import between, file_at, first_parent, has, signed
from desired.signatures.signers import Signers, outside_signers
from desired.source import Unusable, repository_path
from desired.text import visible
from desired.yaml import parse

__all__ = ["Refusal", "Walk", "outside_signers"]

_FLEET = "fleet.yaml"
_FAR = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which commit is not signed as it should be, and why."""

    commit: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return self.message


@dataclass
class Walk:
    """One repository. Raises `RepositoryError` for what cannot be read."""

    repository: Repository
    inside: str
    """Where the fleet lies in it."""
    outside: Signers | None
    """The list that decides instead of the fleet's own."""
    now: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    _settings: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    _lists: dict[tuple[tuple[str, str], ...], Signers] = field(default_factory=dict)

    def asks(self, commit: str) -> bool:
        """Whether the fleet of a commit has signers."""
        return self._names(commit) != ()

    def alone(self, commit: str) -> Refusal | None:
        """Judges one commit by the list from outside, or by its own; None where that asks for nothing."""
        signers = self.outside or self._signers(commit)
        return None if signers is None else self._judged(commit, signers)

    def after_parent(self, commit: str) -> Refusal | None:
        """Judges one commit by the list from outside, or by that of its first parent: for who remembers nothing."""
        parent = first_parent(self.repository, commit)
        if self.outside is None and (parent is None or not has(self.repository, parent)):
            if not self.asks(commit):
                return None
            message = f"commit {commit[:10]} has no parent here, whose list of signers could be asked"
            hint = "say who may sign: --signers FILE; the list in the commit itself is that of whoever made it"
            return Refusal(commit, message, hint)
        signers = self.outside or (self._signers(parent) if parent is not None else None)
        return None if signers is None else self._judged(commit, signers)

    def refused(self, good: str, newest: str) -> Refusal | None:
        """Judges all that `newest` has and `good` lacks. `good` is in the history of `newest`."""
        signers = self.outside or self._signers(good)
        found = between(self.repository, good, newest, _FAR)
        if found is None:
            message = (
                f"more than {_FAR:,} commits came at once, up to {newest[:10]}: their signatures are not checked one by one"
            )
            return Refusal(newest, message) if signers is not None or self.asks(newest) else None
        for step in _steps(good, newest, found):
            if signers is not None:
                for commit in step:
                    if refusal := self._judged(commit, signers):
                        return refusal
            if self.outside is None:
                signers = self._next(step[-1], signers)
        return None

    def _judged(self, commit: str, signers: Signers) -> Refusal | None:
        if self.cancelled.is_set():
            return Refusal(commit, "the signatures were not checked to the end: the loop is leaving")
        found = signed(self.repository, commit)
        reason = signers.refusal(found, self.now)
        if reason is None:
            return None
        nobody = "; the list of signers lists nobody that could be read" if signers.empty else ""
        whose = f"commit {commit[:10]} (“{visible(found.subject, 60)}”, by {visible(found.author, 40)})"
        return Refusal(commit, f"{whose} {reason}{nobody}")

    def _next(self, commit: str, signers: Signers | None) -> Signers | None:
        """The list after a commit that was judged. One that is gone or empty takes effect when its commit is in force, and not
        before: until then the last one that listed somebody counts."""
        found = self._signers(commit)
        return signers if found is None or found.empty else found

    def _signers(self, commit: str) -> Signers | None:
        """The list of a commit; None where it asks for none. One whose settings cannot be read lists nobody."""
        names = self._names(commit)
        if names is None:
            return Signers()
        if not names:
            return None
        found = {name: file_at(self.repository, commit, self._path(commit, name)) for name in names}
        key = tuple((name, file[0] if file else "") for name, file in found.items())
        if key not in self._lists:
            self._lists[key] = Signers.of((name, file[1]) for name, file in found.items() if file and file[1] is not None)
        return self._lists[key]

    def _names(self, commit: str) -> tuple[str, ...] | None:
        """The files that the fleet.yaml of a commit names; None where that cannot be read."""
        found = file_at(self.repository, commit, self._path(commit, _FLEET))
        if found is None:
            return ()
        blob, content = found
        if blob not in self._settings:
            self._settings[blob] = _named(content) if content is not None else None
        return self._settings[blob]

    def _path(self, commit: str, name: str) -> str:
        top = fleet_folder(self.repository, self.inside, commit) if self.inside else ""
        return f"{top}/{name}" if top else name


def _steps(good: str, newest: str, found: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    """How the branch went from `good` to `newest` along the first parents: what came with each of its commits, which stands
    last. A branch that took `good` in from the side is one step. `found`: commit → parents, each before its parents."""
    way = [newest] if newest in found else []
    while way and (first := found[way[-1]][:1]) and first[0] in found:
        way.append(first[0])
    if way and found[way[-1]][:1] != (good,):
        way = [newest]
    place = {commit: at for at, commit in enumerate(found)}
    seen: set[str] = set()
    for step in reversed(way):
        waiting, came = [step], []
        while waiting:
            commit = waiting.pop()
            if commit in found and commit not in seen:
                seen.add(commit)
                came.append(commit)
                waiting += found[commit]
        yield sorted(came, key=place.__getitem__, reverse=True)


def _named(content: bytes) -> tuple[str, ...] | None:
    read = read_fleet(parse(content, _FLEET))
    try:
        return tuple(repository_path(name) for name in read.settings.signers) if read.whole else None
    except Unusable:
        return None
