"""The fleet's own repository, followed: from "git is to be asked again" to the desired state that is in force.

Called by `reconciler/loop/engine.py` in a thread, for each poll and hint. A commit that cannot be used never takes the place of
one that can: the last good commit stays in force, and what is wrong with the newer one is a problem that people are told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from desired.model import Fleet

FollowProblemKind = Literal["unreachable", "vanished", "rewritten", "refused", "invalid", "unsigned", "secrets", "project"]
"""unreachable: the repository did not answer · vanished: its branch is gone · rewritten: its history no longer contains the
commit in force · refused: host key, certificate, login · invalid: the newest commit is no valid fleet · unsigned: a commit is
not signed by one of the signers · secrets: it holds a secret in plain text · project: a project's source or file cannot be
used, which blocks that project and nothing else."""


@dataclass(frozen=True, slots=True)
class FollowProblem:
    """Why what was found last cannot be used as it is."""

    kind: FollowProblemKind
    subject: str
    """What it is about: empty for the fleet's repository, else the project's name."""
    message: str
    hint: str = ""
    commit: str | None = None
    """The commit that cannot be used."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a look at the repository came to."""

    fleet: Fleet | None
    """What is in force, with the resources of its projects; the same object as last time where nothing is new. None until a
    first usable commit was found."""
    commit: str | None
    """In force."""
    subject: str
    """First line of its message."""
    newest: str | None
    """Found last, usable or not."""
    url: str
    """Without credentials; the folder, for a repository on this machine."""
    branch: str
    read: float | None
    """Seconds since 1970 at which the repository was last read with success."""
    problems: tuple[FollowProblem, ...] = ()
