"""The settings that fleet.yaml, host files and bundles may carry, as models. The sections of resources are in manifest.py.

Read by `desired/files.py`, which validates with them, and by `reconciler/render/json_schema.py`, which prints them as JSON
Schema: hence the descriptions and examples.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from desired.address import parse_address
from desired.model import Address
from desired.policies import Alert, HistorySettings, IgnoreRule, Rollout, Suspension, WindowSettings
from desired.text import show
from desired.values import EVENTS, NAME, Duration, Event, Name, Zone
from providers.base import Line, Model, Seq, Sync

__all__ = ["EVENTS", "NAME", "Duration", "Event", "Name"]


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("expected an address as text: user@host[:port], a name from ~/.ssh/config, or local")
    return parse_address(value)


def _jump(value: object) -> tuple[Address, ...]:
    return tuple(_hop(item) for item in (value if isinstance(value, list) else [value]))


def _hop(value: object) -> Address:
    try:
        hop = _address(value)
    except ValueError as error:
        raise ValueError(f"{error}, found {show(value)}") from error
    if hop.local:
        raise ValueError("local cannot be a host to jump through")
    return hop


def _identity(value: object) -> object:
    if isinstance(value, str) and value.startswith(("/", "~/")) and value.isprintable():
        return value
    raise ValueError(
        "expected the path of a private key on the controller: absolute, or from your home as in ~/.ssh/id_ed25519"
    )


def _inventory(value: object) -> object:
    if isinstance(value, str) and value.startswith("/") and value.isprintable() and ".." not in value.split("/"):
        return value
    raise ValueError("expected an absolute path on the host, as in /var/lib/reconciler")


def _one_or_several(value: object) -> object:
    return [value] if isinstance(value, str) else value


SignerFiles: TypeAlias = Annotated[
    Seq[Line],
    BeforeValidator(_one_or_several),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "examples": ["keys/allowed_signers"],
        }
    ),
]
_ADDRESS_SCHEMA = WithJsonSchema({"type": "string", "examples": ["root@nas.lan:22", "ops@[fd00::7]", "nas", "local"]})
HostAddress: TypeAlias = Annotated[Address, BeforeValidator(_address), _ADDRESS_SCHEMA]
Jump: TypeAlias = Annotated[
    tuple[Address, ...],
    BeforeValidator(_jump),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Vars: TypeAlias = Annotated[dict[str, Any], Field(description="Values for templates: {{ vars.NAME }}")]


class FleetSettings(Model):
    """fleet.yaml: settings for all. Every key has a default."""

    version: Annotated[Literal[1], Field(description="Version of this format")] = 1
    interval: Annotated[Duration, Field(description="How often hosts are probed")] = 60
    poll: Annotated[Duration, Field(description="How often the fleet's repository is asked for new commits")] = 60
    timezone: Annotated[Zone, Field(description="Time zone of windows, quiet hours, digests, and of times without one")] = "UTC"
    sync: Annotated[
        Sync, Field(description="enforce: heal drift · deploy: apply commits, only report drift · observe: only report")
    ] = "enforce"
    windows: Annotated[Seq[WindowSettings], Field(description="When changes may be made; none: always")] = ()
    rollout: Annotated[Rollout | None, Field(description="How a new commit goes over the hosts; default: all at once")] = None
    ignore: Annotated[Seq[IgnoreRule], Field(description="Differences that do not count")] = ()
    suspend: Annotated[Suspension | None, Field(description="Changes nothing on any host; only reports")] = None
    history: Annotated[HistorySettings, Field(description="What is kept of the past")] = HistorySettings()
    alerts: Annotated[Seq[Alert], Field(description="Where incidents are reported")] = ()
    max_deletions: Annotated[int, Field(ge=0, description="A plan that removes more waits for a named approval")] = 5
    signers: Annotated[
        SignerFiles, Field(description="Files with those who may sign commits: ssh-keygen's format, or OpenPGP keys")
    ] = ()
    secret_scan: Annotated[Literal["block", "warn", "off"], Field(description="What a secret in plain text leads to")] = "block"  # noqa: S105 the name of a setting
    vars: Vars = Field(default_factory=dict)


class HostSettings(Model):
    """A host file without its sections of resources."""

    address: Annotated[HostAddress, Field(description="user@host[:port], a name from ~/.ssh/config, or local")]
    type: Annotated[Literal["linux"], Field(description="The only type there is; may be left out")] = "linux"
    become: Annotated[Literal["none", "sudo", "doas"], Field(description="How to become root after logging in")] = "none"
    tags: Annotated[Seq[Name], Field(description="Words to select hosts by")] = ()
    bundles: Annotated[Seq[Line], Field(description="Manifests from bundles/ that this host shares with others")] = ()
    availability: Annotated[
        Literal["always", "intermittent"], Field(description="intermittent: being away is normal and raises no alarm")
    ] = "always"
    away_after: Annotated[
        Duration, Field(description="How long an intermittent host may be away before that is told", examples=["14d"])
    ] = 14 * 86400
    interval: Annotated[Duration | None, Field(description="How often this host is probed; default: the fleet's")] = None
    sync: Annotated[Sync | None, Field(description="Policy of this host; default: the fleet's")] = None
    suspend: Annotated[Suspension | None, Field(description="Changes nothing on this host; only reports")] = None
    vars: Vars = Field(default_factory=dict)
    jump: Annotated[Jump, Field(description="Hosts to go through, in order")] = ()
    identity: Annotated[
        str | None, BeforeValidator(_identity), Field(description="Private key on the controller for this host")
    ] = None
    inventory: Annotated[
        str | None, BeforeValidator(_inventory), Field(description="Folder on the host for what is remembered there")
    ] = None


class BundleSettings(Model):
    """A bundle without its sections of resources."""

    bundles: Annotated[Seq[Line], Field(description="Other bundles that this one brings along")] = ()
    vars: Vars = Field(default_factory=dict)
