"""What the operator's ~/.ssh/config says about a host, merged with what the fleet says: the fleet's explicit words win.

The file is the operator's own, so all of it that asyncssh understands is honoured, `ProxyCommand` and `Match exec` included.
A path from the fleet repository is never read here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.config import SSHClientConfig

from state.channel import LoginError
from state.target import Target

_OWN_CONFIG = Path("~/.ssh/config")
_OWN_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_MACHINE_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<address>[^]]+)]|(?P<host>[^:@\[\]]+))(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one hop is reached, before any key has been looked at."""

    target: Target
    host: str
    port: int
    user: str
    host_key_alias: str | None
    known_hosts_files: tuple[str, ...]
    identity_files: tuple[str, ...] | None
    """Those that the fleet or ~/.ssh/config name; None: the usual ones."""
    identities_only: bool
    agent: str | None
    jump: tuple[Target, ...]
    proxied: bool
    """Reached by a ProxyCommand."""
    options: asyncssh.SSHClientConnectionOptions
    overrides: dict[str, Any]
    """Options of ours that give way to a word in ~/.ssh/config."""

    @property
    def where(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_settings(target: Target) -> Settings:
    """The settings for `target`. Raises `LoginError` when ~/.ssh/config cannot be read."""
    path = _OWN_CONFIG.expanduser()
    given: dict[str, Any] = {"host": target.host, "config": [path] if path.is_file() else None}
    if target.port:
        given["port"] = target.port
    if target.user:
        given["username"] = target.user
    try:
        options = asyncssh.SSHClientConnectionOptions(client_keys=None, **given)
        if options.config.has_match_final():
            options = asyncssh.SSHClientConnectionOptions(client_keys=None, final=True, **given)
    except (asyncssh.ConfigParseError, OSError, ValueError) as exc:
        raise LoginError(f"the settings for {target.name} cannot be used: {exc}", "see ~/.ssh/config") from exc
    config = options.config
    files = config.get("IdentityFile")
    overrides = {} if config.get("Ciphers") else {"encryption_algs": "^aes128-gcm@openssh.com"}  # the cheapest per byte
    return Settings(
        target=target,
        host=options.host,
        port=options.port,
        user=options.username,
        host_key_alias=options.host_key_alias,
        known_hosts_files=_known_hosts_files(config),
        identity_files=(target.identity,) if target.identity else _strings(files) if files is not None else None,
        identities_only=bool(target.identity or config.get("IdentitiesOnly")),
        agent=_agent_path(config),
        jump=target.jump or _jump_hosts(target, config.get("ProxyJump")),
        proxied=bool(options.proxy_command) and not target.jump,
        options=options,
        overrides=overrides,
    )


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _known_hosts_files(config: SSHClientConfig) -> tuple[str, ...]:
    """The operator's own files, then the machine's."""
    own, machine = config.get("UserKnownHostsFile"), config.get("GlobalKnownHostsFile")
    return (
        *(_OWN_KNOWN_HOSTS if own is None else _strings(own)),
        *(_MACHINE_KNOWN_HOSTS if machine is None else _strings(machine)),
    )


def _agent_path(config: SSHClientConfig) -> str | None:
    path = config.get("IdentityAgent", "SSH_AUTH_SOCK")
    if path == "SSH_AUTH_SOCK":
        path = os.environ.get("SSH_AUTH_SOCK")
    elif isinstance(path, str) and path.startswith("$"):
        path = os.environ.get(path[1:].strip("{}"))
    return str(Path(path).expanduser()) if isinstance(path, str) and path else None


def _jump_hosts(target: Target, words: object) -> tuple[Target, ...]:
    """The hosts of a ProxyJump line. A host that is its own jump host is reached directly: such is `Host *` in many files."""
    hops = []
    for word in str(words).split(",") if words else ():
        match = _JUMP.fullmatch(word.strip())
        if not match:
            raise LoginError(
                f"ProxyJump for {target.name} is not understood: {word}", "in ~/.ssh/config write [user@]host[:port]"
            )
        host = match["address"] or match["host"]
        hops.append(Target(host, host, match["user"], int(match["port"]) if match["port"] else None))
    return () if any(hop.host == target.host for hop in hops) else tuple(hops)
