"""Reads host keys in OpenSSH's known_hosts format and says which of them count for a host. No I/O.

Called by `state/ssh/host_keys.py` for hosts and by `desired/sources/hosts.py` for git servers, with the fleet's
`hosts/known_hosts` and the operator's own files: what is trusted is decided in one place. A text is split once and kept; a
key is decoded only when its line is the one that counts, so a thousand lines cost a thousand hosts next to nothing.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

Marker: TypeAlias = Literal["", "@cert-authority", "@revoked"]

_MARKERS: dict[str, Marker] = {"@cert-authority": "@cert-authority", "@revoked": "@revoked"}
_SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Pin:
    """One line: a key, and what it says about the key."""

    marker: Marker
    kind: str
    """The type of key as it stands in the line: ssh-ed25519."""
    key: str
    """The key in base64."""
    line: int

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it: SHA256:…"""
        try:
            return fingerprint(base64.b64decode(self.key, validate=True))
        except ValueError:
            return "an unreadable key"


def fingerprint(key: bytes) -> str:
    """Of a key in the encoding of the wire."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def entry_name(host: str, port: int) -> str:
    """How a host is written in known_hosts: `nas.lan`, or `[nas.lan]:2222` when the port is not 22."""
    return host if port == _SSH_PORT else f"[{host}]:{port}"


class KnownHosts:
    """The entries of one text. Lines that are not entries are passed over, as OpenSSH does."""

    def __init__(self, text: str) -> None:
        self._accepted = _Entries()
        self._revoked = _Entries()
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            marker: Marker = ""
            if words and words[0] in _MARKERS:
                marker = _MARKERS[words.pop(0)]
            if len(words) >= 3 and not words[0].startswith(("#", "@")):
                entries = self._revoked if marker == "@revoked" else self._accepted
                entries.add(words[0], Pin(marker, words[1], words[2], number))

    def match(self, name: str) -> tuple[Pin, ...]:
        """The keys and authorities for `name`, written as in the text, in the order of the lines."""
        return self._accepted.match(name)

    def revoked(self, name: str) -> tuple[Pin, ...]:
        return self._revoked.match(name)


class _Entries:
    """Pins by host, in the three ways in which a line may name hosts."""

    def __init__(self) -> None:
        self._exact: dict[str, list[Pin]] = {}
        self._patterns: list[tuple[re.Pattern[str], re.Pattern[str] | None, Pin]] = []
        self._hashed: list[tuple[bytes, bytes, Pin]] = []

    def add(self, hosts: str, pin: Pin) -> None:
        if hosts.startswith("|"):
            self._add_hashed(hosts, pin)
        elif any(special in hosts for special in "*?!"):
            self._add_patterns(hosts.lower().split(","), pin)
        else:
            for name in hosts.lower().split(","):
                self._exact.setdefault(name, []).append(pin)

    def _add_hashed(self, hosts: str, pin: Pin) -> None:
        try:
            _, scheme, salt, digest = hosts.split("|")
            if scheme == "1":
                self._hashed.append((base64.b64decode(salt), base64.b64decode(digest), pin))
        except ValueError:
            return

    def _add_patterns(self, names: list[str], pin: Pin) -> None:
        wanted = _any_of(name for name in names if not name.startswith("!"))
        refused = _any_of(name[1:] for name in names if name.startswith("!"))
        if wanted:
            self._patterns.append((wanted, refused, pin))

    def match(self, name: str) -> tuple[Pin, ...]:
        name = name.lower()
        pins = list(self._exact.get(name, ()))
        pins += [pin for yes, no, pin in self._patterns if yes.fullmatch(name) and not (no and no.fullmatch(name))]
        text = name.encode("utf-8", "surrogatepass")
        pins += [pin for salt, digest, pin in self._hashed if hmac.digest(salt, text, "sha1") == digest]
        return tuple(sorted(pins, key=lambda pin: pin.line))


def _any_of(names: Iterable[str]) -> re.Pattern[str] | None:
    """One expression for all `names`, in which `*` and `?` are special and nothing else is (brackets hold a port)."""
    parts = [fnmatch.translate(name.replace("[", "[[]")) for name in names]
    return re.compile("|".join(parts)) if parts else None


@lru_cache(maxsize=16)
def parse_known_hosts(text: str) -> KnownHosts:
    """The entries of `text`; the same text is split only once."""
    return KnownHosts(text)


@dataclass(frozen=True, slots=True)
class Trust:
    """What counts for one host."""

    keys: tuple[Pin, ...] = ()
    authorities: tuple[Pin, ...] = ()
    revoked: tuple[Pin, ...] = ()
    source: str = ""
    """Which text decided: `hosts/known_hosts`, `~/.ssh/known_hosts`. Empty: none knows the host."""

    @property
    def known(self) -> bool:
        return bool(self.keys or self.authorities)


def trust(sources: Iterable[tuple[str, KnownHosts, Iterable[str]]]) -> Trust:
    """Of several sources, each with its label and the names to look for, the first that has an entry decides, by the first
    name that has one: what is pinned in the fleet is never widened by somebody's own known_hosts. A revoked key is
    revoked whichever source says so."""
    found = Trust()
    revoked: list[Pin] = []
    for label, entries, names in sources:
        for name in names:
            revoked += [pin for pin in entries.revoked(name) if pin not in revoked]
            if not found.known:
                pins = entries.match(name)
                found = Trust(
                    keys=tuple(pin for pin in pins if not pin.marker),
                    authorities=tuple(pin for pin in pins if pin.marker),
                    source=label,
                )
    return Trust(found.keys, found.authorities, tuple(revoked), found.source if found.known else "")
