"""Which host keys are accepted for a host, and what is said when it offers another one.

The fleet's `hosts/known_hosts` comes first; the operator's own files are asked only for hosts of which it says nothing.
Keys are looked up by the names that a person wrote, never by the IP address that a name server answered.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from providers.known_hosts import KnownHosts, Pin, Trust, entry_name, fingerprint, parse_known_hosts, trust
from state.channel import HostKeyError
from state.ssh.options import Settings

_PINNED = "hosts/known_hosts"

# The order in which a host is asked for its key when none is pinned: the cheapest sound one first, nothing with SHA-1.
_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_CERTIFICATE_ALGORITHMS = tuple(f"{name.removesuffix('@openssh.com')}-cert-v01@openssh.com" for name in _KEY_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is accepted from one host, in the shape that asyncssh takes."""

    trust: Trust
    known_hosts: tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]
    algorithms: tuple[str, ...]


def accepted_keys(settings: Settings, pinned: str) -> Accepted:
    """The host keys for one hop, given the fleet's text. Raises `HostKeyError` when what is known cannot be used."""
    found = trust(_sources(settings, pinned))
    keys = _decode(found.keys)
    wanted = {name.decode() for key in keys for name in key.sig_algorithms}
    # The pinned kinds first, so that the host shows one of them if it can; the others too, so that we can say what it shows.
    plain = sorted(_KEY_ALGORITHMS, key=lambda name: name not in wanted)
    algorithms = (*(_CERTIFICATE_ALGORITHMS if found.authorities else ()), *plain)
    revoked = _decode(found.revoked)
    if len(revoked) < len(found.revoked):
        raise HostKeyError(
            f"a @revoked line that concerns {settings.target.name} is not a readable key",
            "mend it in hosts/known_hosts or in your own known_hosts: until then no key of this host can be accepted",
        )
    return Accepted(found, (keys, _decode(found.authorities), revoked), algorithms)


def _decode(pins: Iterable[Pin]) -> list[asyncssh.SSHKey]:
    """The keys that can be read. A pin that cannot still counts as one: its host is then refused, not looked up elsewhere."""
    keys = []
    for pin in pins:
        try:
            keys.append(asyncssh.import_public_key(f"{pin.kind} {pin.key}"))
        except (asyncssh.KeyImportError, UnicodeEncodeError):
            continue
    return keys


def _sources(settings: Settings, pinned: str) -> Iterator[tuple[str, KnownHosts, Iterable[str]]]:
    alias = [settings.host_key_alias] if settings.host_key_alias else []
    hosts = dict.fromkeys((settings.target.host, settings.host))
    full = [entry_name(host, settings.port) for host in hosts]
    # As with OpenSSH, an entry without a port serves where there is none for the port.
    yield _PINNED, parse_known_hosts(pinned), dict.fromkeys((*alias, *full, *hosts, settings.target.name))
    own = alias or dict.fromkeys((entry_name(settings.host, settings.port), settings.host))
    for path in settings.known_hosts_files:
        file = Path(path).expanduser()
        try:
            status = file.stat()
            entries = _read(os.fspath(file), status.st_mtime_ns, status.st_size)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            raise HostKeyError(f"{path} cannot be read, and it may revoke keys: {exc.strerror}") from exc
        yield path, entries, own


@functools.lru_cache(maxsize=16)
def _read(path: str, _changed: int, _size: int) -> KnownHosts:
    return KnownHosts(Path(path).read_text(encoding="utf-8", errors="surrogateescape"))


def refused_key(settings: Settings, accepted: Accepted, offered: asyncssh.SSHKey | None, reason: str) -> HostKeyError:
    """Why the key that the host offered is not taken. `offered` is None when asyncssh refused it by itself, with `reason`."""
    name = settings.target.name
    if offered is None:
        return HostKeyError(
            f"the host key of {name} is refused: {reason}",
            "a revoked key or an expired certificate must be replaced on the host",
        )
    kind, key = offered.export_public_key().decode().split()[:2]
    place = entry_name(settings.target.host, settings.port)
    line = f"{place} {kind} {key}"
    told = f"{kind} {fingerprint(offered.public_data)}"
    compare = f"on the host itself, `ssh-keygen -lf /etc/ssh/ssh_host_{_file_word(kind)}_key.pub` prints its fingerprint"
    known = accepted.trust
    if not known.known:
        return HostKeyError(
            f"the host key of {name} is not known: {place} offers {told}",
            f"{compare}; if it is the same, add this line to {_PINNED}:",
            line=line,
        )
    if not known.keys:
        return HostKeyError(
            f"{place} offers the key {told}, but {known.source} asks for a certificate of {_words(known.authorities)}",
            "renew the host's certificate, or pin its key with a line of its own",
            line=line,
        )
    return HostKeyError(
        f"the host key of {name} has CHANGED: {place} offers {told}, but {known.source} has {_words(known.keys)}",
        f"someone may be in the middle, or the host was installed anew. Find out which before you go on: {compare}; "
        f"if it is the same, replace the line in {known.source} by:",
        line=line,
    )


def refused_authority(settings: Settings, accepted: Accepted, offered: asyncssh.SSHKey) -> HostKeyError:
    """The host shows a certificate, signed by a key that nobody here trusts."""
    known = accepted.trust
    signer = f"{offered.algorithm.decode()} {fingerprint(offered.public_data)}"
    return HostKeyError(
        f"{settings.target.name} shows a certificate signed by {signer}, but {known.source} trusts {_words(known.authorities)}",
        "someone may be in the middle, or the authority was replaced: compare with those who run it",
    )


def _words(pins: Iterable[Pin]) -> str:
    return ", ".join(f"{pin.kind} {pin.fingerprint} (line {pin.line})" for pin in pins)


def _file_word(kind: str) -> str:
    """How OpenSSH names the file of a kind of key: ssh_host_WORD_key."""
    return next((word for word in ("ed25519", "ecdsa", "rsa") if word in kind), "*")
