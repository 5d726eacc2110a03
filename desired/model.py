"""What the desired room hands on: a `Fleet` of `Host`s with their `Resource`s, and `Diagnostic`s where it could not.

Made by `desired/load.py`; read by everything in `reconciler/`. Plain frozen values: no I/O hides behind an attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from desired.policies import Alert, IgnoreRule, Policies, Suspension
from providers.base import Spec, Sync


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in the repository; line and column count from 1, and are 0 for a file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One mistake in the repository, worded for the person who must mend it: what is wrong, with the value, and what to do."""

    place: Place
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class Invalid(Exception):
    """The desired state could not be used. Carries every diagnostic that was found, in order of place."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__(f"{len(diagnostics)} error(s) in the desired state")
        self.diagnostics = diagnostics
        self.uncommitted: tuple[str, ...] = ()
        """Files of the working tree that differ from the commit: what is wrong in the one may be mended in the other."""


class RepositoryError(Exception):
    """The repository, or a revision of it, could not be read. `str` says what happened, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Address:
    """How a host is reached. `user` and `port` are None where ~/.ssh/config or the default decides."""

    host: str
    user: str | None = None
    port: int | None = None

    @property
    def local(self) -> bool:
        return self.host == "local"

    def __str__(self) -> str:
        text = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + text + (f":{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True)
class Resource:
    """One spec on one host, with where it was written and what it waits for."""

    spec: Spec
    place: Place
    needs: frozenset[str] = frozenset()
    """References that are applied first: the written ones and those that follow from the nature of the thing."""
    follows: frozenset[str] = frozenset()
    blocked: str | None = None
    """Why it cannot be said what it should be (its project's source is unreachable): it is neither changed nor removed."""

    @property
    def ref(self) -> str:
        return self.spec.ref


@dataclass(frozen=True, slots=True)
class Host:
    """One machine and everything it should be."""

    name: str
    place: Place
    address: Address
    become: Literal["none", "sudo", "doas"] = "none"
    jump: tuple[Address, ...] = ()
    """Hosts to go through, in order."""
    identity: str | None = None
    """Path of a private key on the controller for this host; default: the agent, ~/.ssh/config and the usual files."""
    inventory: str | None = None
    """Folder on the host for what we remember there; default: /var/lib/reconciler, or below the home without root."""
    tags: tuple[str, ...] = ()
    availability: Literal["always", "intermittent"] = "always"
    sync: Sync = "enforce"
    interval: int | None = None
    """Seconds between two cycles; None: the fleet's `interval`."""
    away_after: int = 14 * 86400
    """Seconds after which it is told that an intermittent host is away."""
    suspend: Suspension | None = None
    """As it is written, with an aware `until`; it may be over: `Suspension.holds` says."""
    ignore: tuple[IgnoreRule, ...] = ()
    """Those of the fleet's rules that concern this host."""
    vars: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[Resource, ...] = ()
    """In an order in which no resource stands before one that it needs."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The whole desired state of one commit."""

    commit: str | None
    """Full hex id; None when read from the working tree."""
    hosts: Mapping[str, Host]
    known_hosts: str = ""
    """Text of hosts/known_hosts: OpenSSH format."""
    max_deletions: int = 5
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The validated fleet.yaml as plain data, for what later stages read."""
    policies: Policies = field(default_factory=Policies)
    interval: int = 60
    """Seconds between two cycles of a host that names none of its own."""
    poll: int = 60
    """Seconds between two looks at the fleet's repository."""
    alerts: tuple[Alert, ...] = ()
    """Each with a name."""
    keep: int = 90 * 86400
    """Seconds for which the history is kept."""
    warnings: tuple[Diagnostic, ...] = ()
    tree: Mapping[str, str] = field(default_factory=dict)
    """Path → blob id of every file of the fleet that was used."""
    projects: Mapping[str, Any] = field(default_factory=dict)
    """Name → `desired.project.Project`. What they ask of the hosts is added by `desired/deploy/expand.py`, which fetches."""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Path of the encrypted file in the repository → its content, for those that are named somewhere."""
    allowed: bytes = b""
    """Content of secrets/allow: what looks like a secret and is none."""
    deployed: Mapping[str, Any] = field(default_factory=dict)
    """Project → `desired.deploy.expand.Deployed`, once `expand` was called: what its revision is, and what was found in it."""
    blocked: Mapping[str, Any] = field(default_factory=dict)
    """Project → `desired.deploy.tree.Blocked`, likewise: why it cannot be said what it should be."""
