"""From what asyncssh and the operating system raise to a sentence for the person who runs the fleet.

Never the `str` of an exception that could hold a command or a script: those of a login hold neither.
"""

from __future__ import annotations

import errno
import os
import re
import socket

import asyncssh

from state.channel import HostError, LoginError, Unreachable
from state.ssh.keys import Offers
from state.ssh.options import Settings

_NO_ROUTE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


def way_error(settings: Settings, exc: OSError) -> HostError:
    """The port could not be reached at all."""
    name, where = settings.target.name, settings.where
    if isinstance(exc, socket.gaierror):
        return Unreachable(
            f"the name {settings.host} cannot be resolved: {exc.strerror}",
            f"check the address of {name}, and the network of this machine",
        )
    # Of a name with several addresses asyncio reports all failures in one text, without a number of its own.
    numbers = {exc.errno} if exc.errno else {int(number) for number in re.findall(r"\[Errno (\d+)]", str(exc))}
    if settings.proxied:
        return Unreachable(f"the ProxyCommand for {name} cannot be run: {exc.strerror or exc}", "see ~/.ssh/config")
    if errno.ECONNREFUSED in numbers:
        return Unreachable(f"{where} refuses the connection", "is sshd running there, and is the port right?")
    if numbers & set(_NO_ROUTE):
        return Unreachable(f"there is no route to {where}", "is the host switched on, and this machine in the right network?")
    if errno.ETIMEDOUT in numbers:
        return Unreachable(f"{where} does not answer")
    reason = ", ".join(os.strerror(number) for number in sorted(numbers)) or type(exc).__name__
    return Unreachable(f"{where} cannot be reached: {reason}")


def tunnel_error(settings: Settings, through: Settings, exc: asyncssh.ChannelOpenError) -> HostError:
    """The jump host did not open the way to the next one."""
    jump = through.target.name
    if exc.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return LoginError(
            f"the jump host {jump} does not pass connections on", f"set AllowTcpForwarding for {through.user} there"
        )
    return Unreachable(f"the jump host {jump} cannot reach {settings.where}: {exc.reason}")


def login_error(settings: Settings, offered: Offers, exc: asyncssh.Error) -> HostError:
    """The host answers, but we are not let in. Refused host keys are told in `host_keys.py`."""
    name, where, user = settings.target.name, settings.where, settings.user
    notes = "; ".join(offered.notes)
    if isinstance(exc, asyncssh.PermissionDenied) or "too many authentication failures" in str(exc).lower():
        if not offered.keys:
            return LoginError(
                f"there is no key to log in with as {user}@{name}" + (f": {notes}" if notes else ""),
                "load one into ssh-agent, or name one with `identity` or in ~/.ssh/config",
            )
        hint = f"is the public key in ~{user}/.ssh/authorized_keys on {name}, and is {user} the right user?"
        if not isinstance(exc, asyncssh.PermissionDenied):
            hint = "the host stops listening after a few wrong keys: name the right one with `identity`"
        refused = f"no key was accepted for {user}@{name}: offered {offered.words}"
        return LoginError(f"{refused} ({notes})" if notes else refused, hint)
    if isinstance(exc, asyncssh.KeyExchangeFailed):
        return LoginError(f"{where} and this machine share no method: {exc.reason}", "is the SSH server there very old?")
    if isinstance(exc, asyncssh.ConnectionLost):
        return Unreachable(
            f"{where} closed the connection before the login was done",
            "its log says why: too many logins at once (MaxStartups), an address it does not like, or no cipher in common",
        )
    if isinstance(exc, asyncssh.DisconnectError):
        return Unreachable(f"{where} ended the login: {exc.reason}", "does an SSH server answer at this port?")
    return Unreachable(f"{where} cannot be logged in to: {type(exc).__name__}")
