"""From a commit to the fleet that it asks for, with as much as possible of the one before kept: the loop's way to `desired/`.

Called by `reconciler/loop/following.py`, for one commit at a time. It goes the way that commands go
(`reconciler/cli/loading.py`), and holds on to what they throw away at their end: caches, opened secrets, sources. What cannot
be used is `Unfit`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from desired.deploy.expand import Cache as DeployCache
from desired.deploy.expand import Deployed, expand
from desired.git import commit_source
from desired.git_history import subject
from desired.load import Cache, load
from desired.model import Diagnostic, Fleet, Host, Invalid, RepositoryError
from desired.scan.gitleaks import Gitleaks
from desired.scan.scanner import Scanner, scan_fleet
from desired.secrets.vault import Vault, open_secrets
from desired.source import Source
from desired.sources.cache import default_folder
from desired.sources.remote import Rules
from desired.sources.resolve import Sources
from desired.text import visible
from providers.secret import open_to_all
from reconciler.loop.places import Clone

_NAMED = 3
"""How many mistakes are named before the rest is only counted."""
_COMPARED_APART = ("hosts", "deployed", "blocked")


class Unfit(Exception):
    """Why a commit cannot be put in force. `lasting`: it will be the same the next time."""

    def __init__(self, kind: Literal["invalid", "secrets"], message: str, hint: str = "", *, lasting: bool = True) -> None:
        super().__init__(message)
        self.kind: Literal["invalid", "secrets"] = kind
        self.hint = hint
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one commit asks for, before its projects are asked."""

    commit: str
    subject: str
    fleet: Fleet


class Fleets:
    """For one thread at a time."""

    def __init__(self, cancelled: threading.Event, cache: Path | None = None) -> None:
        """`cache`: where sources are fetched to; default: the user's cache folder."""
        self._cancelled = cancelled
        self._folder = cache or default_folder()
        self._sources: tuple[str, Sources] | None = None
        self.forget()

    def forget(self) -> None:
        """Everything anew: keys that were put in place since then count."""
        self._cache = Cache()
        self._deploying = DeployCache()
        self._vault = Vault()
        self._gitleaks = Gitleaks.installed()
        self._scanner = Scanner(self._folder / "scan", gitleaks=self._gitleaks)
        self._sources = None

    def refresh(self) -> None:
        """From now on each source is asked again, once."""
        if self._sources is not None:
            self._sources[1].refresh()

    def sources(self, known_hosts: str) -> Sources:
        """`known_hosts`: the keys of git servers that the fleet pins. Raises `SourceProblem` where the cache cannot be used."""
        if self._sources is None or self._sources[0] != known_hosts:
            made = Sources(self._folder, Rules(fleet_hosts=known_hosts, cancelled=self._cancelled))
            self._sources = (known_hosts, made)
        return self._sources[1]

    def load(self, clone: Clone, commit: str) -> Loaded:
        """The desired state of a commit, searched for secrets in plain text, and with its own secrets opened. `Unfit`."""
        try:
            source = commit_source(clone.repository, commit, clone.inside)
            fleet = load(source, cache=self._cache)
            found = self._scanned(source, fleet)
            fleet = replace(fleet, warnings=(*fleet.warnings, *found)) if found else fleet
            if fleet.secrets:
                fleet = open_secrets(fleet, self._vault)
            return Loaded(commit, subject(clone.repository, commit), fleet)
        except Invalid as invalid:
            raise _invalid(commit, invalid) from None
        except RepositoryError as error:
            raise Unfit("invalid", str(error), error.hint, lasting=False) from error
        except OSError as error:
            message = f"commit {commit[:10]} could not be read: {error.strerror or error}"
            raise Unfit("invalid", message, "it is tried again at the next look", lasting=False) from error

    def _scanned(self, source: Source, fleet: Fleet) -> tuple[Diagnostic, ...]:
        """Warnings; `Unfit` where the fleet blocks on what was found."""
        setting = fleet.settings.get("secret_scan", "block")
        if setting == "off":
            return ()
        scanner = Scanner(self._folder / "scan", gitleaks=self._gitleaks)
        found = scan_fleet(source, scanner, setting, everything=not fleet.projects)
        errors = [one for one in found if one.severity == "error"]
        if errors:
            message = (
                f"commit {str(fleet.commit)[:10]} is not followed, for the secret scan stands against it: {_named(errors)}"
            )
            raise Unfit("secrets", message, errors[0].hint)
        return found

    def deploy(self, loaded: Loaded, before: Fleet | None) -> Fleet:
        """With what its projects ask of the hosts now. Where nothing is new, `before` itself, or at least the hosts of it that
        stayed the same. Raises `SourceProblem` or `OSError` where the cache cannot be used: without it nothing may be said."""
        fleet = loaded.fleet
        if any(project.deployments for project in fleet.projects.values()):
            sources = self.sources(fleet.known_hosts)
            fleet = expand(fleet, sources, self._vault, self._scanner, cache=self._deploying)
        fleet = settled(fleet, before)
        if fleet is not before:
            hosts = fleet.hosts.values()
            open_to_all(text for host in hosts for text in (host.name, *(resource.ref for resource in host.resources)))
        return fleet


def settled(fleet: Fleet, before: Fleet | None) -> Fleet:
    """`fleet`, in which every host that equals the one `before` is that very object; `before` where all is equal."""
    if before is None:
        return fleet
    hosts = {name: _kept(host, before.hosts.get(name)) for name, host in fleet.hosts.items()}
    if _same(fleet, before) and list(hosts) == list(before.hosts) and all(hosts[name] is before.hosts[name] for name in hosts):
        return before
    return replace(fleet, hosts=hosts)


def _kept(host: Host, before: Host | None) -> Host:
    return before if before is not None and before == host else host


def _same(fleet: Fleet, before: Fleet) -> bool:
    """Whether nothing but the hosts can differ. When a source was asked last does not count."""
    mine, others = (
        [getattr(one, part.name) for part in fields(Fleet) if part.name not in _COMPARED_APART] for one in (fleet, before)
    )
    equal = all(one is other or one == other for one, other in zip(mine, others, strict=True))
    return equal and _told(fleet) == _told(before)


def _told(fleet: Fleet) -> Mapping[str, Any]:
    """What became of each project."""
    deployed: Mapping[str, Deployed] = fleet.deployed
    found: dict[str, Any] = {name: (one.commit, id(one.built), one.kept) for name, one in deployed.items()}
    return found | {name: (str(one), one.hint) for name, one in fleet.blocked.items()}


def _invalid(commit: str, invalid: Invalid) -> Unfit:
    errors = [one for one in invalid.diagnostics if one.severity == "error"]
    message = f"commit {commit[:10]} is no valid fleet: {_named(errors)}"
    return Unfit("invalid", message, f"mend it and commit; all of it is told by: reconcile validate --rev {commit[:10]}")


def _named(errors: list[Diagnostic]) -> str:
    named = "; ".join(f"{one.place}: {visible(one.message, 200)}" for one in errors[:_NAMED])
    more = len(errors) - _NAMED
    return f"{named}; and {more} more" if more > 0 else named
