"""Which host keys count for a git server: the fleet's hosts/known_hosts first, then the operator's own. No I/O.

Called by `desired/sources/remote.py`. libssh2, which makes the connection, compares keys well but reads known_hosts poorly: it
knows no patterns, stops at the first odd line and takes `@revoked` for the name of a host. So we read, and hand it only plain
lines of the keys that count; a revoked key is simply not among them.
"""

from __future__ import annotations

import base64
import fnmatch
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_KINDS = {
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
}
"""Those that libssh2 can check."""
_MARKERS = {"@revoked", "@cert-authority"}


class _Entry(NamedTuple):
    marker: str
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class HostKeys:
    """What is known of one server."""

    place: str
    """How it is written in known_hosts: `git.lan`, `[git.lan]:2222`."""
    keys: tuple[tuple[str, str], ...]
    """Kind and key of those that count."""
    revoked: bool
    """Whether a key that would count was revoked."""
    authority: bool
    """Whether only a certificate authority vouches for it, whose certificates cannot be checked here."""

    @property
    def lines(self) -> str:
        return "".join(f"{self.place} {kind} {key}\n" for kind, key in self.keys)


def host_keys(host: str, place: str, fleet: str, own: str) -> HostKeys:
    """`fleet` is the text of hosts/known_hosts, `own` that of ~/.ssh/known_hosts, which counts where the fleet knows nothing.
    In the operator's own, as for ssh, a name without a port counts for every port."""
    sources = [(fleet, [place]), (own, list(dict.fromkeys((place, host))))]
    entries = [list(_entries(text, names)) for text, names in sources]
    revoked = {entry.key for found in entries for entry in found if entry.marker == "@revoked"}
    for found in entries:
        accepted = [entry for entry in found if entry.marker != "@revoked"]
        plain = [entry for entry in accepted if not entry.marker]
        if accepted:
            keys = tuple(dict.fromkeys((entry.kind, entry.key) for entry in plain if entry.key not in revoked))
            return HostKeys(
                place,
                tuple(one for one in keys if one[0] in _KINDS),
                revoked=any(entry.key in revoked for entry in plain),
                authority=not plain,
            )
    return HostKeys(place, (), revoked=bool(revoked), authority=False)


def _entries(text: str, names: Sequence[str]) -> Iterator[_Entry]:
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0] in _MARKERS else ""
        if len(words) < 3 or words[0].startswith(("#", "@")) or not _base64(words[2]):
            continue
        if any(_names(words[0], name.lower()) for name in names):
            yield _Entry(marker, words[1], words[2])


def _base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def _names(hosts: str, name: str) -> bool:
    """Whether the first field of a line means `name`: a list with patterns, or the salted hash of one name."""
    if hosts.startswith("|1|"):
        return _is_hash(hosts, name)
    patterns = hosts.lower().split(",")
    if any(_fits(pattern[1:], name) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_fits(pattern, name) for pattern in patterns if not pattern.startswith("!"))


def _fits(pattern: str, name: str) -> bool:
    """`*` and `?` are special, brackets are not: they hold a port."""
    return re.match(fnmatch.translate(pattern.replace("[", "[[]")), name) is not None


def _is_hash(hosts: str, name: str) -> bool:
    try:
        _, _, salt, digest = hosts.split("|")
        return hmac.compare_digest(hmac.digest(base64.b64decode(salt), name.encode(), "sha1"), base64.b64decode(digest))
    except ValueError:
        return False
