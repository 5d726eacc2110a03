"""The keys that we may offer to a host, in OpenSSH's order, and what to say about those that could not be offered.

Key files are read once per process: to read an RSA key costs as much processor time as thirty logins.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import asyncssh

from state.channel import LoginError
from state.ssh.options import Settings

_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk", "id_ed448")

Offer: TypeAlias = asyncssh.SSHKey | asyncssh.SSHKeyPair | tuple[asyncssh.SSHKey, str]


@dataclass(slots=True)
class Offers:
    """The keys for one login."""

    keys: list[Offer] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """The files whose keys are offered, as the operator would write them."""
    agent: int = 0
    """How many of the keys are the agent's."""
    notes: list[str] = field(default_factory=list)
    """What could not be offered, and why."""

    @property
    def words(self) -> str:
        """For messages: 2 keys from the agent and ~/.ssh/id_ed25519."""
        agent = [f"{self.agent} key{'s' if self.agent > 1 else ''} from the agent"] if self.agent else []
        return " and ".join([*agent, *self.files])


@dataclass(frozen=True, slots=True)
class _File:
    """One identity file: the private key when it can be used as it is, at least the public one when that can be read."""

    path: str
    private: asyncssh.SSHKey | None = None
    public: asyncssh.SSHKey | None = None
    certificate: str | None = None
    """Path of the certificate that lies beside the key."""
    problem: str = ""

    @property
    def public_data(self) -> bytes | None:
        key = self.private or self.public
        return key.public_data if key else None


async def offers(settings: Settings, stack: AsyncExitStack) -> Offers:
    """What to offer to the host of `settings`. The agent stays connected as long as `stack`, for it must sign."""
    found = Offers()
    files = _files(settings, found)
    ours = {file.public_data for file in files}
    held = await _agent_keys(settings, found, stack)
    # As OpenSSH does: the agent's keys that were named, its others, then the files that the agent does not hold.
    named = [key for key in held if key.public_data in ours]
    others = [] if settings.identities_only else [key for key in held if key.public_data not in ours]
    found.agent = len(named) + len(others)
    found.keys += [*named, *others]
    have = {key.public_data for key in named}
    for file in files:
        if file.public_data in have:
            continue
        if file.private:
            found.keys.append((file.private, file.certificate) if file.certificate else file.private)
            found.files.append(file.path)
        elif file.problem:
            found.notes.append(file.problem)
    return found


def _files(settings: Settings, found: Offers) -> list[_File]:
    if settings.identity_files is None:
        paths: Sequence[str] = [path for path in (f"~/.ssh/{name}" for name in _USUAL) if Path(path).expanduser().is_file()]
    else:
        paths = settings.identity_files
    files = []
    for path in paths:
        full = Path(path).expanduser()
        try:
            files.append(_read(path, os.fspath(full), full.stat().st_mtime_ns))
        except OSError as exc:
            if path == settings.target.identity:
                raise LoginError(
                    f"the key {path} of {settings.target.name} cannot be read: {exc.strerror}",
                    "`identity` names a private key on this machine",
                ) from exc
            found.notes.append(f"{path} cannot be read: {exc.strerror}")
    return files


@functools.lru_cache(maxsize=64)
def _read(path: str, full: str, _changed: int) -> _File:
    try:
        # The operator's own key: to prove its primes at each start would take 90 ms.
        private = asyncssh.read_private_key(full, unsafe_skip_rsa_key_validation=True)
        certificate = f"{full}-cert.pub"
        return _File(path, private=private, certificate=certificate if Path(certificate).is_file() else None)
    except asyncssh.KeyImportError as exc:
        locked = str(exc).startswith("Passphrase")
    problem = f"{path} needs a passphrase: load it into ssh-agent with ssh-add" if locked else f"{path} is not a private key"
    for public in (f"{full}.pub", full):
        try:
            key = asyncssh.read_public_key(public)
        except (OSError, asyncssh.KeyImportError):
            continue
        return _File(path, public=key, problem=problem if locked else f"{path} is a public key that the agent does not hold")
    return _File(path, problem=problem)


async def _agent_keys(settings: Settings, found: Offers, stack: AsyncExitStack) -> list[asyncssh.SSHKeyPair]:
    if not settings.agent:
        return []
    try:
        agent = await stack.enter_async_context(await asyncssh.connect_agent(settings.agent))
        return list(await agent.get_keys())
    except (OSError, ValueError) as exc:
        found.notes.append(f"the agent at {settings.agent} does not answer ({exc})")
        return []
