"""What `reconcile pull` has to say of one host, as plain values: for the terminal and for `--json` (docs/adopt-and-pull.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from providers.base import Model, Seq

State = Literal["edited", "clean", "absent", "blocked", "unknown", "unreachable", "away"]
Done = Literal["", "committed", "refused", "failed"]


class FindingReport(Model):
    """Something in the edits that looks like a secret, without the secret."""

    path: str
    line: int
    rule: str
    title: str
    fingerprint: str


class Report(Model):
    """One host."""

    project: str
    host: str
    path: str
    state: State
    """edited: there is something to bring back. clean: nothing. absent: the project is not deployed there."""
    reason: str = ""
    hint: str = ""
    ours: bool = True
    """False: a folder that was there before reconciler; `base` is then the commit that it is nearest to."""
    base: str | None = None
    """The commit that is deployed there, and that the new one stands on."""
    edited: Seq[str] = ()
    missing: Seq[str] = ()
    modes: Seq[str] = ()
    added: Seq[str] = ()
    """Files that nobody installed; they come along only when they are asked for."""
    taken: Seq[str] = ()
    """Paths that the commit changes."""
    left: dict[str, str] = Field(default_factory=dict)
    """Path → why it does not come along."""
    findings: Seq[FindingReport] = ()
    diff: Seq[str] = ()
    done: Done = ""
    branch: str = ""
    commit: str | None = None
    pushed: bool = False
    into: str = ""
    """The clone on this machine that the branch was put into."""
    cache: str = ""
    """The repository on this machine that holds the branch."""
