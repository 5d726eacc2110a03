"""From the command line's words to a fleet and the hosts that are meant: the one door from the commands to `desired/`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desired.git import commit_source, folder_in, open_repository, uncommitted, worktree_source
from desired.load import load
from desired.model import Fleet, Host, Invalid
from desired.text import meant
from providers.secret import open_to_all
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError
from reconciler.render.diagnostics import diagnostic_lines
from reconciler.render.lines import line
from reconciler.text import plural

if TYPE_CHECKING:
    from desired.secrets.vault import Vault

NAMED = 3
"""How many uncommitted files are named before the rest is only counted."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The desired state that a command works on."""

    fleet: Fleet
    revision: str = "HEAD"
    uncommitted: tuple[str, ...] = ()
    """Files of the working tree that differ from the commit that was loaded."""


def load_fleet(folder: Path, revision: str = "HEAD", *, worktree: bool = False) -> Loaded:
    """Raises `Invalid` with every diagnostic, or `RepositoryError`."""
    repository = open_repository(folder)
    inside = folder_in(repository, folder)
    if worktree:
        return Loaded(load(worktree_source(repository, inside)), revision)
    changed = tuple(uncommitted(repository, inside)) if revision == "HEAD" else ()
    try:
        return Loaded(load(commit_source(repository, revision, inside)), revision, changed)
    except Invalid as invalid:
        invalid.uncommitted = changed
        raise


def commit_of(folder: Path, revision: str) -> str | None:
    """The full id of the commit that a revision names now."""
    return commit_source(open_repository(folder), revision).commit


def select(fleet: Fleet, words: Sequence[str]) -> list[Host]:
    """The hosts that were named, by name or as `tag:NAME`, in the fleet's order; all of them when none was named."""
    if not words:
        return list(fleet.hosts.values())
    chosen = {name for word in words for name in _meant(fleet, word)}
    return [host for name, host in fleet.hosts.items() if name in chosen]


def _meant(fleet: Fleet, word: str) -> Iterable[str]:
    if word in fleet.hosts:
        return [word]
    if word.startswith("tag:"):
        tag = word.removeprefix("tag:")
        found = [name for name, host in fleet.hosts.items() if tag in host.tags]
        if not found:
            tags = {tag for host in fleet.hosts.values() for tag in host.tags}
            raise CommandError(f'no host has the tag "{tag}"', meant(tag, tags, "no host has any tag" if not tags else ""))
        return found
    raise CommandError(
        f'there is no host "{word}"', meant(word, fleet.hosts, "" if fleet.hosts else "the fleet has no host yet")
    )


def prepared(fleet: Fleet, hosts: Sequence[Host]) -> tuple[Fleet, list[Host]]:
    """The fleet and these hosts with everything that is asked of them, before they are asked anything. What stands behind
    `load_fleet` needs the operator's keys and the projects' sources; what cannot be had blocks its resource or project, and is
    among the fleet's warnings."""
    names = [host.name for host in hosts]
    deploys = any(one.host in names for project in fleet.projects.values() for one in project.deployments)
    if fleet.secrets or deploys:
        from desired.secrets.vault import Vault, open_secrets

        vault = Vault()
        fleet = open_secrets(fleet, vault, names)
        fleet = _deployed(fleet, vault, names) if deploys else fleet
    chosen = [fleet.hosts[name] for name in names]
    open_to_all(text for host in chosen for text in (host.name, *(resource.ref for resource in host.resources)))
    return fleet, chosen


def _deployed(fleet: Fleet, vault: Vault, names: Sequence[str]) -> Fleet:
    """The fleet with what its projects ask of these hosts."""
    from desired.deploy.expand import expand
    from desired.scan.gitleaks import Gitleaks
    from desired.scan.scanner import Scanner
    from reconciler.cli.origin import sources_of

    sources = sources_of(fleet)
    return expand(fleet, sources, vault, Scanner(sources.cache / "scan", gitleaks=Gitleaks.installed()), names)


def tell_warnings(fleet: Fleet, screen: Screen) -> None:
    screen.tell(*diagnostic_lines(fleet.warnings))


def tell_uncommitted(uncommitted: Sequence[str], screen: Screen, what: str) -> None:
    """To standard error: it is about the result, not part of it. `what` says what that means and what to do."""
    if uncommitted:
        more = len(uncommitted) - NAMED
        named = ", ".join(uncommitted[:NAMED]) + (f" and {plural(more, 'more file')}" if more > 0 else "")
        screen.tell(line(("note: ", "yellow"), f"uncommitted changes in {named} {what}"))
