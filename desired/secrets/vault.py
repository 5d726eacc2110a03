"""Opens the fleet's encrypted files (secrets/*.age) with the operator's keys, and encrypts new ones. In memory only.

`reconciler/cli/loading.py` calls `open_secrets` once a fleet is loaded and hosts are to be asked; what deploys projects asks
the `Vault` itself. Loading and validating need no key: until here a secret is a reference and an encrypted file.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from desired.model import Diagnostic, Fleet, Host, Place, RepositoryError, Resource
from desired.secrets.identities import Identities, find_identities
from desired.secrets.names import ARMOR_MARK, ENCRYPTED_LIMIT, VALUE_LIMIT, secret_name, secret_path
from desired.secrets.recipients import Recipient
from desired.text import listing, visible
from providers.sealed import SealableSpec, Sealed
from providers.secret import Secret

__all__ = ["Vault", "VaultError", "encrypt", "open_secrets", "secret_path"]

_HEADER_LIMIT = 64 << 10


class VaultError(RepositoryError):
    """A secret could not be opened or made. `str` names the file and the reason, `hint` says what to do; neither a value."""


class Vault:
    """What was opened by one run of the program. Keys are looked for when the first file is to be opened."""

    def __init__(self, find: Callable[[], Identities] = find_identities) -> None:
        self._find = find
        self._identities: Identities | None = None
        self._opened: dict[str, Secret | VaultError] = {}
        self.salt = secrets.token_hex(16)
        """Of this run alone: hosts mix it into what they answer about secrets."""

    def open(self, path: str, encrypted: bytes, version: str) -> Secret:
        """The value of the file at `path`, whose blob id is `version`. Raises `VaultError`, the same one every time."""
        known = self._opened.get(version)
        if known is None:
            try:
                known = Secret(self._decrypt(path, encrypted), version, salt=self.salt)
            except VaultError as error:
                known = error
            self._opened[version] = known
        if isinstance(known, VaultError):
            raise known
        return known

    def open_from(self, fleet: Fleet, path: str) -> Secret:
        """The value of one of the encrypted files that `fleet` names somewhere."""
        return self.open(path, fleet.secrets[path], fleet.tree[path])

    def _decrypt(self, path: str, encrypted: bytes) -> bytes:
        import pyrage

        shown = visible(path)
        if len(encrypted) > ENCRYPTED_LIMIT:
            raise VaultError(
                f"{shown} is longer than {ENCRYPTED_LIMIT >> 20} MiB", "a secret is a password, a key or a .env file"
            )
        if self._identities is None:
            self._identities = self._find()
        found = self._identities
        try:
            value: bytes = pyrage.decrypt(encrypted, list(found.keys))
        except pyrage.DecryptError as error:
            raise _unopened(shown, str(error), encrypted, found) from None
        if len(value) > VALUE_LIMIT:
            raise VaultError(f"the secret in {shown} is longer than {VALUE_LIMIT >> 20} MiB")
        if not value:
            raise VaultError(f"the secret in {shown} is empty", f"give it a value: reconcile secret edit {secret_name(shown)}")
        return value


def _unopened(shown: str, reason: str, encrypted: bytes, found: Identities) -> VaultError:
    """Why none of the keys opened the file, in words."""
    refused = "; ".join(f"{path}: {why}" for path, why in found.refused.items())
    if reason != "No matching keys found":
        hint = "take it from an earlier commit (git log says when it changed), or encrypt it anew"
        return VaultError(f"{shown} is damaged, or not an age file: {visible(reason, 200)}", hint)
    sorts = _recipients(encrypted)
    if any("passphrase" in sort for sort in sorts):
        hint = f"encrypt it for keys instead: age -d {shown} | reconcile secret encrypt --replace {secret_name(shown)}"
        return VaultError(f"{shown} is locked with a passphrase, not for a key", hint)
    sealed_for = f" (it is encrypted for {listing(sorts)})" if sorts else ""
    if not found.tried:
        places = listing(list(found.missing), 8)
        message = f"{shown} cannot be opened: this machine has no key that could{sealed_for}"
        return VaultError(message, refused or f"put an age identity or an ssh key where it is looked for: {places}")
    hint = "ask somebody who can open it to run: reconcile secret recipients --add YOUR-PUBLIC-KEY"
    message = f"{shown} cannot be opened with {listing(list(found.tried), 8)}{sealed_for}"
    return VaultError(message, f"{refused}; {hint}" if refused else hint)


_SORTS: Mapping[str, str] = {
    "X25519": "age key",
    "ssh-ed25519": "ssh-ed25519 key",
    "ssh-rsa": "ssh-rsa key",
    "scrypt": "passphrase",
    "mlkem768x25519": "post-quantum age key",
    "piv-p256": "hardware key",
}


def _recipients(encrypted: bytes) -> list[str]:
    """For whom a file is encrypted, as far as it says so itself: `2 age keys`. What we do not know is left out."""
    counts = Counter(_SORTS[sort] for sort in _stanzas(encrypted) if sort in _SORTS)
    return [f"{count} {sort}s" if count > 1 else f"{'an' if sort[0] in 'as' else 'a'} {sort}" for sort, count in counts.items()]


def _stanzas(encrypted: bytes) -> Iterator[str]:
    """The sorts of recipients in the header."""
    head = encrypted[:_HEADER_LIMIT]
    if head.lstrip().startswith(ARMOR_MARK):
        text = b"".join(head.partition(ARMOR_MARK)[2].partition(b"-----END")[0].split())
        try:
            head = base64.b64decode(text[: len(text) // 4 * 4])
        except binascii.Error:
            return
    for line in head.partition(b"\n---")[0].split(b"\n"):
        if line.startswith(b"-> "):
            yield line[3:].split(b" ")[0].decode("ascii", "replace")


def encrypt(value: bytes, recipients: Iterable[Recipient]) -> bytes:
    """An armored age file. Raises `VaultError` where it would be of no use."""
    import pyrage

    keys = [recipient.key for recipient in recipients]
    if not keys:
        raise VaultError("there is nobody to encrypt for", "add yourself: reconcile secret recipients --add PUBLIC-KEY")
    if not value:
        raise VaultError("the value is empty")
    if len(value) > VALUE_LIMIT:
        raise VaultError(f"the value is longer than {VALUE_LIMIT >> 20} MiB", "a secret is a password, a key or a .env file")
    armored: bytes = pyrage.encrypt(value, keys, armored=True)
    return armored


def open_secrets(fleet: Fleet, vault: Vault, names: Collection[str] | None = None) -> Fleet:
    """`fleet` with the contents of its resources opened, on all hosts or on those named. A resource whose secrets cannot be is
    blocked, and the reason stands once among the warnings; the others go on."""
    opener = _Opener(fleet, vault)
    chosen = fleet.hosts.keys() if names is None else names
    hosts = {name: opener.host(host) if name in chosen else host for name, host in fleet.hosts.items()}
    return replace(fleet, hosts=hosts, warnings=(*fleet.warnings, *opener.problems.values())) if opener.any else fleet


class _Opener:
    """One pass over a fleet. Hosts that share a spec share the opened one."""

    def __init__(self, fleet: Fleet, vault: Vault) -> None:
        self._fleet = fleet
        self._vault = vault
        self._done: dict[int, Resource] = {}
        self.any = False
        self.problems: dict[str, Diagnostic] = {}

    def host(self, host: Host) -> Host:
        if not any(_sealed(resource) for resource in host.resources):
            return host
        self.any = True
        return replace(host, resources=tuple(self._resource(resource) for resource in host.resources))

    def _resource(self, resource: Resource) -> Resource:
        sealed = _sealed(resource)
        if sealed is None:
            return resource
        if id(resource) not in self._done:
            self._done[id(resource)] = self._opened(resource, sealed)
        return self._done[id(resource)]

    def _opened(self, resource: Resource, sealed: Sealed) -> Resource:
        assert isinstance(resource.spec, SealableSpec)
        found: dict[str, Secret] = {}
        for reference in sealed.references:
            try:
                found[reference.path] = self._vault.open(reference.path, self._fleet.secrets[reference.path], reference.version)
            except VaultError as error:
                self.problems[reference.path] = Diagnostic(Place(reference.path), str(error), error.hint)
                return self._blocked(resource, sealed, str(error))
        try:
            return replace(resource, spec=resource.spec.with_sealed(sealed.open(found, self._vault.salt)))
        except UnicodeDecodeError:
            names = listing([visible(reference.path) for reference in sealed.references])
            reason = f"what is put into a template has to be text, and {names} holds other bytes"
            self.problems[names] = Diagnostic(
                resource.place, reason, "install it as a file of its own: content: {secret: NAME}"
            )
            return self._blocked(resource, sealed, reason)

    def _blocked(self, resource: Resource, sealed: Sealed, reason: str) -> Resource:
        assert isinstance(resource.spec, SealableSpec)
        return replace(resource, spec=resource.spec.with_sealed(sealed.failed(reason)), blocked=reason)


def _sealed(resource: Resource) -> Sealed | None:
    return resource.spec.sealed if isinstance(resource.spec, SealableSpec) else None
