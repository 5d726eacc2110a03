"""How the loop sees the fleet at this moment, as plain data: what the pages, the metrics and `reconcile status` show.

Made by `reconciler/loop/engine.py`; kept by the history, so that a command can read it while the loop runs, and after.
"""

from __future__ import annotations

from typing import Literal

from providers.base import Model, Seq

HostStatus = Literal["converged", "drifted", "pending", "held", "failed", "unreachable", "away", "suspended", "unknown"]
"""The word for a host as a whole, the gravest that holds: never asked yet is `unknown`."""


class ProjectView(Model):
    """One project on one host."""

    project: str
    wanted: str = ""
    """Full id of the commit that it should be at."""
    deployed: str = ""
    """Full id of the commit that is there; empty where that is not known."""
    behind: int | None = None
    slot: str = ""
    """The slot that has the traffic."""
    status: Literal["current", "pending", "drifted", "failed", "quarantined", "unknown"] = "unknown"


class HostView(Model):
    """One host."""

    host: str
    tags: Seq[str] = ()
    status: HostStatus = "unknown"
    since: float = 0.0
    """Seconds since 1970 at which the status became this one."""
    seen: float | None = None
    """When it answered last."""
    tried: float | None = None
    """When it was asked last."""
    due: float | None = None
    """When it is asked next."""
    problem: str = ""
    problem_kind: str = ""
    hint: str = ""
    commit: str | None = None
    """The fleet's commit that it was brought to last, as it remembers itself."""
    behind: int | None = None
    """Commits of the fleet between that one and the one in force; None where that is not known."""
    resources: int = 0
    pending: int = 0
    """Changes that git asks for and that are not done yet."""
    drifted: int = 0
    held: int = 0
    """Of these, how many are held back: by a policy, a window, a suspension, a rollout, a flapping resource."""
    unknown: int = 0
    reasons: Seq[str] = ()
    """Why things are held back, each once."""
    suspended: str = ""
    """Why it is suspended; empty where it is not."""
    sync: str = "enforce"
    intermittent: bool = False
    projects: Seq[ProjectView] = ()


class SourceView(Model):
    """The fleet's repository."""

    url: str = ""
    """Without credentials."""
    branch: str = ""
    commit: str | None = None
    """In force."""
    subject: str = ""
    newest: str | None = None
    """Seen last; another one than `commit` where that one cannot be used."""
    read: float | None = None
    """When it was read last with success; seconds since 1970."""
    problem: str = ""
    problem_kind: str = ""


class LoopView(Model):
    """Everything at once."""

    version: str = ""
    began: float = 0.0
    turned: float = 0.0
    """When the loop last turned: seconds since 1970 (health is judged by the monotonic clock, not by this)."""
    source: SourceView = SourceView()
    hosts: Seq[HostView] = ()
