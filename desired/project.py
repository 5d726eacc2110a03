"""What a file in projects/ may say, as models; and the `Project` that the loader hands on.

Read by `desired/projects.py`, which validates with them, by `reconciler/render/json_schema.py`, and by whoever deploys.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from desired.model import Place
from desired.policies import Suspension
from desired.schema import Duration, Name
from desired.source import Unusable, repository_path
from desired.yaml import Loc
from providers.base import Line, Model, Seq, Sync
from providers.paths import Account, check_path
from providers.proxies.models import Proxy
from providers.sealed import SecretName
from providers.smoke import Smoke

Strategy: TypeAlias = Literal["mirror", "checkout", "releases", "slots"]


def tree_path(text: str) -> str:
    """A path inside the project's tree in its only spelling; raises `ValueError` with a sentence for who wrote it."""
    try:
        path = repository_path(text)
    except Unusable as unusable:
        raise ValueError(f"{unusable}, and this is a path inside the project") from unusable
    if any(part.lower() == ".git" for part in path.split("/")):
        raise ValueError(".git is left to git")
    return path


def _list_of_one(value: object) -> object:
    return [value] if isinstance(value, (str, dict)) else value


def _deploys(value: object) -> object:
    if value == []:
        raise ValueError("it goes nowhere: write [{host: NAME, path: /srv/NAME}]")
    return _list_of_one(value)


def _only(field: str, short: Any) -> BeforeValidator:
    """A bare value stands for the one field that it is mostly about. `short`: all that may be written, for the schema."""
    return BeforeValidator(
        lambda value: {field: value} if isinstance(value, (str, list)) else value, json_schema_input_type=short
    )


AbsolutePath: TypeAlias = Annotated[Line, AfterValidator(check_path), Field(description="Absolute path on the host")]
TreePath: TypeAlias = Annotated[Line, AfterValidator(tree_path)]
SharedPath: TypeAlias = Annotated[Line, AfterValidator(lambda text: tree_path(text) + ("/" if text.endswith("/") else ""))]


class DeploySettings(Model):
    """Where a project goes: one host, or every host with a tag."""

    host: Name | None = None
    tag: Name | None = None
    path: AbsolutePath

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.host is None) == (self.tag is None):
            raise ValueError("say either host or tag")
        return self


_Deploys: TypeAlias = Annotated[list[DeploySettings], Field(min_length=1)] | DeploySettings


class SecretFile(Model):
    """A file with secrets in the deployed tree, made from one of the fleet's encrypted files."""

    file: Annotated[TreePath, Field(description="Encrypted file of the fleet repository", examples=["secrets/site.env.age"])]
    sealed: Annotated[bool, Field(description="true: stays encrypted on the host, and is opened when the project starts")] = (
        False
    )
    identity: Annotated[AbsolutePath | None, Field(description="Path on the host of the age identity that opens it")] = None


class ComposeSettings(Model):
    """The host's own `docker compose`."""

    files: Annotated[
        Seq[TreePath],
        BeforeValidator(_list_of_one, json_schema_input_type=str | list[str]),
        Field(description="Compose files; default: what compose itself would take"),
    ] = ()
    project: Annotated[Name | None, Field(description="Compose project name; default: the project's name")] = None
    services: Annotated[Seq[Line], Field(description="Only these services; default: all")] = ()
    profiles: Annotated[Seq[Line], Field(description="Profiles that are switched on")] = ()
    pull: Annotated[Literal["missing", "always", "never"], Field(description="When images are pulled")] = "missing"
    timeout: Annotated[Duration, Field(description="What building, pulling and becoming healthy may take together")] = 1800


_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.-]{0,200}@?\.service", re.ASCII)


class SystemdSettings(Model):
    """A systemd unit of the project's own."""

    unit: Annotated[TreePath, Field(description="Unit file in the project's tree", examples=["deploy/site.service"])]
    enabled: Annotated[bool, Field(description="Whether it is started when the host boots")] = True
    timeout: Annotated[Duration, Field(description="What starting it may take")] = 90

    @field_validator("unit")
    @classmethod
    def _unit(cls, unit: str) -> str:
        if not _UNIT.fullmatch(unit.rpartition("/")[2]):
            raise ValueError("expected a file that ends with .service, as in deploy/site.service")
        return unit

    @property
    def name(self) -> str:
        """The unit's name on the host: `site.service`."""
        return self.unit.rpartition("/")[2]


class CommandSettings(Model):
    """Commands of the project's own, run by sh in the release's folder."""

    start: Annotated[Line, Field(description="Starts it, after `stop` where it was started before; exits 0 when it runs")]
    stop: Annotated[Line | None, Field(description="Stops it")] = None
    status: Annotated[Line | None, Field(description="Exits 0 when, and only when, it runs")] = None
    timeout: Annotated[Duration, Field(description="What each of them may take")] = 300


class RuntimeSettings(Model):
    """What runs from the project: one of these."""

    compose: Annotated[
        ComposeSettings | None,
        _only("files", str | list[str] | ComposeSettings | None),
        Field(description="Compose files, or a mapping"),
    ] = None
    systemd: Annotated[
        SystemdSettings | None, _only("unit", str | SystemdSettings | None), Field(description="The unit file, or a mapping")
    ] = None
    command: Annotated[
        CommandSettings | None,
        _only("start", str | CommandSettings | None),
        Field(description="The command to start, or a mapping"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, data: object) -> object:
        """`compose:` without anything behind it is compose with its defaults."""
        return data | {"compose": {}} if isinstance(data, dict) and data.get("compose", ...) is None else data


def _runtime(value: object) -> object:
    match value:
        case "compose":
            return {"compose": {}}
        case "systemd":
            raise ValueError("systemd needs the unit file: write {systemd: deploy/site.service}")
        case "command":
            raise ValueError("command needs what starts it: write {command: {start: ./start.sh}}")
        case str() if value != "none":
            raise ValueError("expected compose, {systemd: UNIT-FILE}, {command: …} or none")
        case dict() if len(value.keys() & RuntimeSettings.model_fields.keys()) > 1 or not value:
            raise ValueError("say one of compose, systemd and command, or leave runtime out to have it found")
    return value


Runtime: TypeAlias = Annotated[
    Annotated[RuntimeSettings, Tag("settings")] | Annotated[Literal["none"], Tag("none")],
    Discriminator(lambda value: "none" if value == "none" else "settings"),
    BeforeValidator(_runtime, json_schema_input_type=RuntimeSettings | Literal["compose", "none"]),
]
SlotEnv: TypeAlias = Annotated[
    dict[str, Line], Field(description="Variables of this slot alone; SLOT and PORT are always there")
]


class SlotSettings(Model):
    """One of the two slots."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port on the host's loopback where this slot answers")]
    service: Annotated[
        Line | None, Field(description="Compose service of this slot; default: a compose project of its own")
    ] = None
    env: SlotEnv = Field(default_factory=dict)


class SlotsSettings(Model):
    """The two slots, and which of them has the traffic."""

    active: Annotated[
        Literal["blue", "green", "auto"],
        Field(description="Slot that has the traffic; auto: a new release takes over when it passed its smoke tests"),
    ] = "auto"
    blue: SlotSettings
    green: SlotSettings
    soak: Annotated[Duration, Field(description="How long the old slot stays warm")] = 600
    afterwards: Annotated[Literal["stop", "keep"], Field(description="What becomes of the old slot then")] = "stop"


class ProxySettings(Proxy):
    """Who gives the traffic to a slot: exactly one of them."""


class ProjectSettings(Model):
    """One deployed project."""

    source: Annotated[Line, Field(description="ssh or https URL, or an absolute path on the controller")]
    revision: Annotated[Line, Field(description="Commit, tag or branch")]
    token: Annotated[SecretName | None, Field(description="Password or access token for an https source")] = None
    username: Annotated[Line, Field(description="User name that goes with the token")] = "git"
    identity: Annotated[Line | None, Field(description="Private key on the controller for an ssh source")] = None
    rewritten: Annotated[Literal["refuse", "allow"], Field(description="What a branch with rewritten history leads to")] = (
        "refuse"
    )
    deploy: Annotated[
        Seq[DeploySettings],
        Field(description="Where it goes"),
        BeforeValidator(_deploys, json_schema_input_type=_Deploys),
    ]
    strategy: Annotated[
        Strategy,
        Field(
            description="mirror: the tree itself · checkout: a git working copy · releases: a folder for each, and the link "
            "current · slots: two of them, switched by a proxy"
        ),
    ] = "mirror"
    exclude: Annotated[Seq[Line], Field(description="Neither shipped nor watched; as in .gitignore", examples=[["docs/"]])] = ()
    shared: Annotated[
        Seq[SharedPath], Field(description="Folders (with a slash at the end) and files that outlive every release")
    ] = ()
    folder: Annotated[TreePath | None, Field(description="Folder in each release that holds the tree, as in app")] = None
    owner: Annotated[Account | None, Field(description="User on the host that the files belong to")] = None
    group: Annotated[Account | None, Field(description="Group on the host that the files belong to")] = None
    env: Annotated[dict[str, Line], Field(description="Plain values, written to .env")] = Field(default_factory=dict)
    secrets: Annotated[
        dict[str, Annotated[SecretFile, _only("file", str | SecretFile)]],
        Field(description="Path in the tree → encrypted file of the fleet"),
    ] = Field(default_factory=dict)
    expect: Annotated[dict[str, Line], Field(description="Values that .env must have; a wrong one stops the deployment")] = (
        Field(default_factory=dict)
    )
    runtime: Annotated[Runtime | None, Field(description="What runs from it; default: what the tree says (a compose file)")] = (
        None
    )
    slots: Annotated[SlotsSettings | None, Field(description="Only, and always, with strategy: slots")] = None
    smoke: Annotated[
        Seq[Smoke], Field(description="What must be answered before the traffic, and through the proxy after")
    ] = ()
    proxy: Annotated[ProxySettings | None, Field(description="Who gives the traffic to a slot")] = None
    keep: Annotated[int, Field(ge=1, le=1000, description="Releases that are kept")] = 5
    sync: Annotated[Sync | None, Field(description="Policy of this project; default: the host's")] = None
    suspend: Annotated[Suspension | None, Field(description="Changes nothing of this project; only reports")] = None
    needs: Annotated[Seq[str], Field(description="Resources that must be applied first", examples=[["service:docker"]])] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A project on one host."""

    host: str
    path: str
    place: Place


@dataclass(frozen=True, slots=True)
class Project:
    """A validated project file."""

    name: str
    """Plain: letters, digits, dots, dashes, underscores; it begins with a letter or digit."""
    place: Place
    settings: ProjectSettings
    deployments: tuple[Deployment, ...]
    """Sorted by host."""
    where: Callable[[Loc], Place]
    """Where a value of the file stands."""
