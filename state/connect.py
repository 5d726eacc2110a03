"""Opens the way to a host: the one door into this room for everything that sends scripts.

Called by `reconciler/fleet_run.py`. asyncssh takes 0.15 s to import, so it is loaded only
when the first host that is not local is asked for.
"""

from __future__ import annotations

from state.channel import Channel
from state.local import LocalChannel
from state.target import Target


async def connect(
    target: Target,
    *,
    known_hosts: str = "",
    connect_timeout: float = 10.0,
    login_timeout: float = 20.0,
    keepalive: float = 15.0,
) -> Channel:
    """An open channel to `target`, or a `HostError` that says in a sentence why not.

    `known_hosts` is the text of the fleet's pinned host keys. `connect_timeout` bounds the way to the port and `login_timeout`
    what follows, for each hop. A silent host is asked for a sign of life every `keepalive` seconds; when three stay unanswered,
    the connection counts as broken.
    """
    if target.local:
        return LocalChannel(target)
    from state.ssh.login import log_in

    return await log_in(
        target, known_hosts=known_hosts, connect_timeout=connect_timeout, login_timeout=login_timeout, keepalive=keepalive
    )
