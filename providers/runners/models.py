"""The ways in which something can run from a release, as data: fields of a `runtime` or a `slot`.

Made by `desired/deploy/expand.py` from a project's settings and what its tree contains; the shell for each is in its own
module.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from providers.model import Line, Model, Seq

Service: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]+$")]
"""Name of a compose service: no blank and nothing that a shell would read."""
ProjectName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Unit: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_][A-Za-z0-9:_.\\@-]*$")]
Variables: TypeAlias = dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Line]


class ComposeRunner(Model):
    """The host's own `docker compose`, run in the release's folder."""

    type: Literal["compose"] = "compose"
    files: Annotated[Seq[str], Field(min_length=1)]
    """Paths in the tree, in the order in which compose merges them."""
    project: ProjectName
    """Compose project name. Two slots share one where each is a service of the same file."""
    services: dict[Service, str]
    """Service → digest of everything in the tree that it is built from, mounts or reads: another digest, another container.
    Only these are started and looked at; what they depend on is started where it is missing, and never made anew for a slot."""
    others: Seq[Service] = ()
    """The other services of the files: their containers, where there are any, were not left behind."""
    built: Seq[Service] = ()
    """Those of `services` that are built from the tree."""
    once: Seq[Service] = ()
    """Those of them that may end by themselves: one that ended with status 0 has done its work."""
    depends: Seq[Service] = ()
    """Where the compose project is shared: what these need besides, which is only started where it is missing."""
    replicas: dict[Service, int] = Field(default_factory=dict)
    """How many containers a service has, where that is not one."""
    alone: bool = True
    """The compose project is this runtime's or slot's alone: what the files no longer name is removed from it."""
    profiles: Seq[str] = ()
    pull: Literal["missing", "always", "never"] = "missing"
    env: Variables = Field(default_factory=dict)
    """Plain variables for compose itself, as SLOT and PORT. What is in .env compose reads by itself."""
    sealed: dict[str, str] = Field(default_factory=dict)
    """Encrypted file of the tree (`.env.age`) → path on the host of the identity that opens it when the project starts."""
    timeout: int = 1800


class SystemdRunner(Model):
    """A systemd unit: `site.service`, or `site@green.service` for a slot."""

    type: Literal["systemd"] = "systemd"
    unit: Unit
    enabled: bool = True
    timeout: int = 90


class CommandRunner(Model):
    """Commands of the project, run by sh in the release's folder with the variables."""

    type: Literal["command"] = "command"
    start: str
    stop: str | None = None
    status: str | None = None
    env: Variables = Field(default_factory=dict)
    timeout: int = 300


class NoRunner(Model):
    """Files only."""

    type: Literal["none"] = "none"


Runner: TypeAlias = Annotated[ComposeRunner | SystemdRunner | CommandRunner | NoRunner, Field(discriminator="type")]
