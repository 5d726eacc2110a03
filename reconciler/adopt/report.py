"""What `reconcile adopt` has to say of one host, as plain values: for the terminal and for `--json`.

Made from what was looked at and done; worded by `reconciler/render/adopting.py`. docs/adopt-and-pull.md describes the document.
"""

from __future__ import annotations

from typing import Literal

from desired.sources.model import Commit, Nearest
from providers.base import Model, Seq
from providers.releases.model import ReleaseSpec
from reconciler.adopt.adopting import Compared, can_take_over, shared_found
from reconciler.adopt.look import Folder

State = Literal["foreign", "ours", "absent", "blocked", "unknown", "unreachable", "away"]
Newer = Literal["neither", "source", "host", "both", "unclear"]
Done = Literal["", "taken over", "set aside", "refused", "failed"]


class NearestReport(Model):
    """The commit that the folder is nearest to."""

    commit: str
    subject: str
    author: str
    time: int
    behind: int
    ahead: int
    searched: int


class Report(Model):
    """One host."""

    project: str
    host: str
    path: str
    strategy: str
    state: State
    """foreign: there is something that is not ours. ours, absent: nothing to adopt. blocked: the project cannot be deployed."""
    reason: str = ""
    hint: str = ""
    wanted: str | None = None
    """The commit that the project's file asks for."""
    release: str = ""
    """The release that `current` leads to, where each has a folder of its own."""
    releases: Seq[str] = ()
    current: str | None = None
    nearest: NearestReport | None = None
    newer: Newer | None = None
    """Which side has what the other lacks, as far as it can be told."""
    edited: int | None = None
    """When a file that differs or is extra was changed last, by its own account; seconds since 1970."""
    newest: int | None = None
    """When the newest commit of the wanted revision was made."""
    files: int = 0
    equal: int = 0
    differs: Seq[str] = ()
    extra: Seq[str] = ()
    missing: Seq[str] = ()
    modes: Seq[str] = ()
    copied: Seq[str] = ()
    """Files that the wanted commit would overwrite; taking over copies them first."""
    git: bool = False
    branch: str = ""
    head: str | None = None
    head_known: bool | None = None
    """Whether the commit of its git clone is in the source."""
    stash: bool = False
    mounts: Seq[str] = ()
    users: Seq[str] = ()
    containers: Seq[str] = ()
    shared: Seq[str] = ()
    """Where shared data lies in it."""
    can_take_over: bool = False
    done: Done = ""
    kept: str = ""
    """The folder beside it that edits were copied to, or that it was renamed to."""
    brought: Seq[str] = ()
    """Shared data that was moved into the new folder."""


def with_folder(report: Report, folder: Folder, spec: ReleaseSpec) -> Report:
    standing = folder.standing
    return report.model_copy(
        update={
            "shared": tuple(source for source, _ in shared_found(spec, folder)),
            "release": folder.release,
            "releases": standing.releases,
            "current": standing.current,
            "git": standing.git,
            "branch": standing.branch,
            "head": standing.head,
            "stash": standing.stash,
            "mounts": standing.mounts,
            "users": standing.users,
            "containers": standing.containers,
        }
    )


def with_comparison(report: Report, compared: Compared, *, head_known: bool | None) -> Report:
    nearest = compared.nearest
    return with_folder(report, compared.folder, compared.spec).model_copy(
        update={
            "nearest": _nearest(nearest.commit, nearest),
            "newer": newer(compared),
            "edited": compared.edited,
            "newest": compared.newest,
            "files": len(compared.folder.files),
            "equal": compared.equal,
            "differs": nearest.differs,
            "extra": nearest.extra,
            "missing": nearest.missing,
            "modes": compared.modes,
            "copied": () if compared.spec.versioned else compared.copied,
            "head_known": head_known,
            "can_take_over": can_take_over(compared),
        }
    )


def _nearest(commit: Commit, nearest: Nearest) -> NearestReport:
    return NearestReport(
        commit=commit.id,
        subject=commit.subject,
        author=commit.author,
        time=commit.time,
        behind=nearest.behind,
        ahead=nearest.ahead,
        searched=nearest.searched,
    )


def newer(compared: Compared) -> Newer:
    """Commits are counted, so what they say is certain; that a folder was edited is certain too. Only whether edits are younger
    than the newest commit is a matter of clocks, and is left to the words."""
    nearest = compared.nearest
    if not compared.equal:
        return "unclear"
    host = bool(nearest.ahead or nearest.differs)
    if host and nearest.behind:
        return "both"
    if host:
        return "host"
    return "source" if nearest.behind else "neither"
