"""Which host keys count for a git server: the fleet's hosts/known_hosts first, then the operator's own. No I/O.

Called by `desired/sources/remote.py`. libssh2, which makes the connection, compares keys well but reads known_hosts poorly: it
knows no patterns, stops at the first odd line and takes `@revoked` for the name of a host. So we read, by the same rules as
for hosts (`providers/known_hosts.py`), and hand it only plain lines of the keys that count; a revoked key is not among them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from providers.known_hosts import parse_known_hosts, trust

_KINDS = {
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
}
"""Those that libssh2 can check."""


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
    found = trust(
        [
            ("hosts/known_hosts", parse_known_hosts(fleet), [place]),
            ("~/.ssh/known_hosts", parse_known_hosts(own), dict.fromkeys((place, host))),
        ]
    )
    revoked = {pin.key for pin in found.revoked}
    counting = dict.fromkeys((pin.kind, pin.key) for pin in found.keys if pin.key not in revoked and _base64(pin.key))
    return HostKeys(
        place,
        tuple(one for one in counting if one[0] in _KINDS),
        revoked=any(pin.key in revoked for pin in found.keys) if found.known else bool(revoked),
        authority=found.known and not found.keys,
    )


def _base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False
