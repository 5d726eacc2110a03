"""Builds what a project deploys from its commit: the tree, what runs from it, and whether it may leave for a host at all.

Called by `desired/deploy/expand.py`, once for the same commit, settings and secrets.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from desired.deploy.runners import running
from desired.deploy.specs import Deployable
from desired.deploy.tree import Blocked, Contents, check_values, tree_for
from desired.model import Diagnostic, Fleet
from desired.project import Project, ProjectSettings, RuntimeSettings
from desired.scan.scanner import Finding, Scanner, read_allow
from desired.sources.model import SourceFile, SourceProblem, SourceTree
from desired.sources.resolve import Resolved
from desired.text import listing, meant, visible
from providers.patterns import Patterns
from providers.secret import Secret
from providers.tree import Tree

EXCLUDED = ".git"
"""Excluded from every project; nothing else is, unless its file says so."""
_FINDINGS = 3
"""Findings of the secret scan that are named in one sentence."""
_TOLD = 20
"""Findings that are told each with its place."""


@dataclass(frozen=True)
class Built:
    """A project that may be deployed."""

    key: str
    """Another one whenever what is built may be another."""
    deployable: Deployable
    capabilities: tuple[str, ...] = ()
    """What it can do, in words."""
    warnings: tuple[Diagnostic, ...] = ()


def excluded(settings: ProjectSettings) -> Patterns:
    """What of the commit stays out of the tree."""
    return Patterns((EXCLUDED, *settings.exclude))


def key_of(project: Project, found: Resolved, fleet: Fleet) -> str:
    """Stands for all that a build depends on."""
    parts = (
        project.name,
        project.settings.model_dump_json(),
        found.commit,
        found.branch or "",
        str(fleet.settings.get("secret_scan")),
        hashlib.sha256(fleet.allowed).hexdigest(),
        *(f"{secret.file} {fleet.tree[secret.file]}" for secret in project.settings.secrets.values()),
    )
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def build(project: Project, found: Resolved, fleet: Fleet, opened: Mapping[str, Secret], scanner: Scanner) -> Built:
    """The project at the commit that was found. Raises `Blocked` and `SourceProblem`."""
    settings = project.settings
    check_values(settings, opened)
    source = found.repository.tree_files(found.commit, excluded(settings))
    files = _whole(source)
    if not files:
        raise Blocked(*_nothing(settings, found.commit))
    warnings = _scan(project, files, found, fleet, scanner)
    versions = {secret.file: fleet.tree[secret.file] for secret in settings.secrets.values()}
    sealed = {secret.file: fleet.secrets[secret.file] for secret in settings.secrets.values() if secret.sealed}
    tree = tree_for(settings, found.commit, files, Contents(versions, opened, sealed), found.repository.read)
    if settings.strategy == "checkout":
        tree = replace(tree, pack=partial(found.repository.pack, found.commit))
    runs = running(project.name, settings, tree)
    unit = _unit(settings, tree)
    deployable = Deployable(project.name, settings, tree, runs.runners, settings.source, found.branch, unit)
    told = (Diagnostic(project.place, f"{visible(project.name)}: {text}", severity="warning") for text in runs.warnings)
    return Built(key_of(project, found, fleet), deployable, runs.capabilities, (*warnings, *told))


def _nothing(settings: ProjectSettings, commit: str) -> tuple[str, str]:
    """An empty tree would remove all that was deployed, and is a slip far more often than a wish."""
    hint = "to remove the project from its hosts, delete its file"
    if settings.exclude:
        return f"exclude: leaves nothing of commit {commit[:10]}", f"exclude less; {hint}"
    return f"commit {commit[:10]} holds no file", f"name another revision; {hint}"


def _whole(source: SourceTree) -> Mapping[str, SourceFile]:
    """All files of the commit, when all can be deployed."""
    try:
        return source.checked()
    except SourceProblem as problem:  # it lies in the commit, and will be the same the next time
        raise Blocked(str(problem), problem.hint) from problem


def _scan(
    project: Project, files: Mapping[str, SourceFile], found: Resolved, fleet: Fleet, scanner: Scanner
) -> tuple[Diagnostic, ...]:
    """What looks like a secret in the commit's files: warnings, or `Blocked`, as fleet.yaml says."""
    setting = fleet.settings.get("secret_scan")
    if setting == "off":
        return ()
    allowed, _ = read_allow(fleet.allowed)
    findings = scanner.scan({path: file.blob for path, file in files.items()}, found.repository.read, allowed)
    told = tuple(finding.diagnostic(project.name, "warning") for finding in findings[:_TOLD])
    if rest := findings[_TOLD:]:
        told += (_further(project, rest),)
    if findings and setting == "block":
        named = [f"{visible(one.path, 80)}:{one.line} ({one.title})" for one in findings[:_FINDINGS]]
        more = f" and {len(findings) - _FINDINGS} more" if len(findings) > _FINDINGS else ""
        raise Blocked(f"its files hold secrets in plain text: {', '.join(named)}{more}", "nothing of it is shipped", told)
    return told


def _further(project: Project, findings: tuple[Finding, ...]) -> Diagnostic:
    """Findings that are too many to be told one by one; they are mostly in a few folders that nobody needs on a host."""
    folders = Counter(finding.path.partition("/")[0] for finding in findings)
    named = listing([f"{folder} ({count})" for folder, count in folders.most_common()], 6)
    hint = "what is not to be deployed is not searched either: name it under exclude"
    return Diagnostic(project.place, f"{visible(project.name)}: {len(findings)} more like these, in {named}", hint, "warning")


def _unit(settings: ProjectSettings, tree: Tree) -> bytes | None:
    """The content of the project's unit file."""
    runtime = settings.runtime
    if not isinstance(runtime, RuntimeSettings) or runtime.systemd is None:
        return None
    path = runtime.systemd.unit
    file = next((file for file in tree.files if file.path == path), None)
    if file is None:
        units = [one.path for one in tree.files if one.path.endswith(".service")]
        raise Blocked(f"the unit file {visible(path, 80)} is not in the project", meant(path, units))
    if file.mode not in ("0644", "0755"):
        raise Blocked(f"{visible(path, 80)} cannot be a unit file: it is a link, or a secret")
    return tree.read(path)
