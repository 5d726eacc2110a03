"""The commits that a deployment brings, as notes in the plan: what a reviewer of `reconcile plan` asks first.

The kind `release` cannot say it, because it knows nothing of git; the project's cache on the controller does. Called by
`fleet_run.py` between the closer look and the wording of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from desired.deploy.expand import Deployed
from desired.sources.model import HEX, Commits, SourceProblem
from providers.base import Detail
from providers.releases.kind import ReleaseSpec
from reconciler.draft import Draft, Planned, with_details
from reconciler.render.words import short
from reconciler.text import plural

SUBJECTS = 10
"""Commits that are named before the rest is only counted."""


def with_commits(drafted: Draft, deployed: Mapping[str, Deployed]) -> Draft:
    """The draft, with the history between what each host has and what it gets."""
    details = {}
    for planned in drafted.changes:
        spec = planned.change.spec
        if isinstance(spec, ReleaseSpec) and spec.present and (project := deployed.get(spec.name)) is not None:
            notes = _notes(planned, project)
            known = planned.change.detail or Detail()
            details[planned.ref] = replace(known, notes=(*notes, *known.notes))
    return with_details(drafted, details) if details else drafted


def _notes(planned: Planned, project: Deployed) -> tuple[str, ...]:
    before = getattr(planned.change.before, "commit", None)
    if before == project.commit:
        return ()
    try:
        if before is None:
            return (f"commit {short(project.commit)}, for the first time here", *project.capabilities)
        if not HEX.fullmatch(before):
            return (f"commit {short(project.commit)}; which one is there now cannot be told",)
        return _history(project.commits(before, SUBJECTS))
    except SourceProblem as problem:
        return (f"what lies between cannot be told: {problem}",)


def _history(commits: Commits) -> tuple[str, ...]:
    heads = {
        "forward": f"brings {plural(commits.count, 'commit')}",
        "back": f"goes back by {plural(commits.count, 'commit')}",
        "apart": f"brings {plural(commits.count, 'commit')} and leaves {plural(commits.left, 'commit')} behind",
    }
    head = heads.get(commits.direction, "the same commit")
    named = [f"  {commit.short} {commit.subject} ({commit.author})" for commit in commits.newest]
    more = commits.count - len(named)
    return (f"{head}:" if named else head, *named, *([f"  and {plural(more, 'more commit')}"] if more > 0 else []))
