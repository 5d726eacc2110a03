"""Searches the fleet repository for secrets in plain text: `validate` tells what is found, and `plan` and `apply` refuse it."""

from __future__ import annotations

from pathlib import Path

from desired.git import commit_source, folder_in, open_repository, worktree_source
from desired.model import Diagnostic
from desired.scan.gitleaks import Gitleaks
from desired.scan.scanner import Scanner, scan_fleet
from desired.sources.cache import default_folder
from reconciler.cli.loading import Loaded
from reconciler.cli.screen import Screen
from reconciler.errors import Refused
from reconciler.render.diagnostics import diagnostic_lines
from reconciler.text import plural


def scanned(folder: Path, loaded: Loaded, *, worktree: bool = False) -> tuple[Diagnostic, ...]:
    """What stands against the files of the commit (or working tree) that was loaded, as the fleet's `secret_scan` weighs it.
    Lines of the allow list that allow nothing are only told where no project could need them."""
    fleet = loaded.fleet
    setting = fleet.settings.get("secret_scan", "block")
    if setting == "off":
        return ()
    repository = open_repository(folder)
    inside = folder_in(repository, folder)
    revision = fleet.commit or loaded.revision
    source = worktree_source(repository, inside) if worktree else commit_source(repository, revision, inside)
    scanner = Scanner(default_folder() / "scan", gitleaks=Gitleaks.installed())
    return scan_fleet(source, scanner, setting, everything=not fleet.projects)


def refuse_secrets(folder: Path, loaded: Loaded, screen: Screen, *, worktree: bool = False) -> None:
    """Tells what the scan found, and raises `Refused` where the fleet blocks on it."""
    found = scanned(folder, loaded, worktree=worktree)
    screen.tell(*diagnostic_lines(found))
    if errors := sum(one.severity == "error" for one in found):
        raise Refused(
            f"the secret scan stands against {plural(errors, 'line')} of the fleet repository; nothing was changed",
            "each of them says above what to do; secret_scan: warn in fleet.yaml lets them pass",
        )
