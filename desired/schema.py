"""The settings that fleet.yaml, host files and bundles may carry, as models. The sections of resources are in manifest.py.

Read by `desired/files.py`, which validates with them, and by `reconciler/render/json_schema.py`, which prints them as JSON
Schema: hence the descriptions and examples.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from desired.address import parse_address
from desired.model import Address
from desired.text import show
from providers.base import Line, Model, Seq, Sync

Event: TypeAlias = Literal["drift", "failed", "recovered", "deployed", "unreachable", "source", "held"]
EVENTS: tuple[Event, ...] = ("drift", "failed", "recovered", "deployed", "unreachable", "source", "held")
"""drift: the host moved · failed: an apply or a smoke test · recovered: what was told is over · deployed: a new revision of a
project is there · unreachable: a host cannot be asked · source: the fleet's or a project's repository cannot be used as it is ·
held: something waits for a person (deletions over the budget, a rollout that stopped)."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", re.ASCII)
_DURATION = re.compile(r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)


def _duration(value: object) -> int:
    if isinstance(value, str) and value and (match := _DURATION.fullmatch(value)):
        seconds = sum(int(count) * unit for count, unit in zip(match.groups(), _SECONDS, strict=True) if count)
        if 1 <= seconds <= 366 * 86400:
            return seconds
        raise ValueError("a duration is between 1s and 366d")
    raise ValueError("expected a duration with its unit, as in 30s, 1m, 2h or 1h30m")


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


def _alert_url(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        return value
    if isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str) and value["secret"]:
        return value
    raise ValueError("expected an Apprise URL, or {secret: NAME}")


def _name(value: object) -> object:
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    raise ValueError("expected a name of letters, digits, dots, dashes and underscores that begins with a letter or digit")


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


_ADDRESS_SCHEMA = WithJsonSchema({"type": "string", "examples": ["root@nas.lan:22", "ops@[fd00::7]", "nas", "local"]})
Name: TypeAlias = Annotated[str, BeforeValidator(_name)]
Duration: TypeAlias = Annotated[int, BeforeValidator(_duration), WithJsonSchema({"type": "string", "examples": ["30s", "1m"]})]
HostAddress: TypeAlias = Annotated[Address, BeforeValidator(_address), _ADDRESS_SCHEMA]
Jump: TypeAlias = Annotated[
    tuple[Address, ...],
    BeforeValidator(_jump),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
AlertUrl: TypeAlias = Annotated[
    Any,
    BeforeValidator(_alert_url),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "uri"},
                {
                    "type": "object",
                    "properties": {"secret": {"type": "string"}},
                    "required": ["secret"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Vars: TypeAlias = Annotated[dict[str, Any], Field(description="Values for templates: {{ vars.NAME }}")]


class Alert(Model):
    """One place where incidents are reported."""

    url: Annotated[AlertUrl, Field(description="Any Apprise URL, or {secret: NAME} for secrets/NAME.age")]
    events: Annotated[Seq[Event], Field(description="What is reported there; default: everything")] = EVENTS


class FleetSettings(Model):
    """fleet.yaml: settings for all. Every key has a default."""

    version: Annotated[Literal[1], Field(description="Version of this format")] = 1
    interval: Annotated[Duration, Field(description="How often hosts are probed")] = 60
    sync: Annotated[
        Sync, Field(description="enforce: heal drift · deploy: apply commits, only report drift · observe: only report")
    ] = "enforce"
    alerts: Annotated[Seq[Alert], Field(description="Where incidents are reported")] = ()
    max_deletions: Annotated[int, Field(ge=0, description="A plan that removes more waits for a named approval")] = 5
    signers: Annotated[str | None, Field(description="Allowed signers of commits, in ssh-keygen's format")] = None
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
    sync: Annotated[Sync | None, Field(description="Policy of this host; default: the fleet's")] = None
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
