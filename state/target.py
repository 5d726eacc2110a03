"""Where a channel leads: plain values, so that the state room needs no word of the desired one.

Made by `reconciler/` from a host's manifest; read by `state/connect.py` and what it opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Become: TypeAlias = Literal["none", "sudo", "doas"]


@dataclass(frozen=True, slots=True)
class Target:
    """One host to reach. What is None is decided by the operator's ~/.ssh/config, and then by the usual defaults."""

    name: str
    """What the fleet calls the host: stands in messages, and may stand in `hosts/known_hosts` in place of the address."""
    host: str
    """Host name, address or a name from ~/.ssh/config; "local" is this machine."""
    user: str | None = None
    port: int | None = None
    become: Become = "none"
    jump: tuple[Target, ...] = ()
    """Hosts to go through, in order. Of each only name, host, user, port and identity count."""
    identity: str | None = None
    """Path of a private key on this machine."""

    @property
    def local(self) -> bool:
        return self.host == "local"
