"""The few constant commands by which a script enters a host, and what a refusal of sudo or doas means.

Everything that varies travels on stdin, so nothing stands in an argument list, and no quoting rule of a remote login shell
(which may be fish or csh) matters: those commands are plain words, and the one program among them is free of what such
shells treat specially inside single quotes (backslash, exclamation mark, newline).

Used by `script_channel.py`, over SSH and locally alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from state.channel import BecomeError
from state.target import Become, Target

_PREFIX: Mapping[Become, tuple[str, ...]] = MappingProxyType(
    {"none": (), "sudo": ("sudo", "-n", "--"), "doas": ("doas", "-n", "--")}
)

_RECEIVE = (
    # Reads three lines (folder, name, sha256) and then the content. `read` takes single bytes from a pipe, so that `cat`
    # finds the content where the lines end. The file is made with O_EXCL (set -C), and gets its name by a rename.
    "umask 077; set -C; IFS= read -r folder; IFS= read -r name; IFS= read -r sum; "
    'mkdir -p -- "$folder" || exit 1; new=$folder/.$name.$$; '
    'cat >"$new" && case $(sha256sum <"$new") in "$sum "*) mv -f -- "$new" "$folder/$name" && exit 0 ;; esac; '
    'rm -f -- "$new"; echo "the content did not arrive whole" >&2; exit 1'
)


def script_command(become: Become) -> tuple[str, ...]:
    """Runs the script that comes on stdin."""
    return (*_PREFIX[become], "/bin/sh", "-s")


def receive_command(become: Become) -> tuple[str, ...]:
    """Stores what comes on stdin in a file: see `_RECEIVE`."""
    return (*_PREFIX[become], "/bin/sh", "-c", _RECEIVE)


def question(become: Become) -> tuple[str, ...]:
    """The command of a script, with messages in English: asked with an empty script when a script has failed."""
    return ("env", "LC_ALL=C", *script_command(become))


def become_error(target: Target, user: str, status: int, stderr: bytes) -> BecomeError:
    """What a failed `question` means for the person who runs the fleet."""
    tool, name = target.become, target.name
    text = stderr.decode("utf-8", "replace")
    rule = (
        f"permit nopass {user} as root cmd /bin/sh, in /etc/doas.conf"
        if tool == "doas"
        else f"{user} ALL=(root) NOPASSWD: /bin/sh, in a file in /etc/sudoers.d"
    )
    hint = f"give {user} a rule without a password: {rule}; or log in as root and use become: none"
    if status in (126, 127):
        other = "sudo" if tool == "doas" else "doas"
        return BecomeError(
            f"there is no {tool} on {name}", f"install it, use become: {other}, or log in as root and use become: none"
        )
    if "must have a tty" in text:
        return BecomeError(f"{tool} on {name} asks for a terminal", f"add the line Defaults:{user} !requiretty to its sudoers")
    if "password is required" in text or "Authentication required" in text or "Authorization required" in text:
        return BecomeError(f"{tool} on {name} asks {user} for a password", hint)
    if "not in the sudoers" in text or "not allowed to execute" in text or "Operation not permitted" in text:
        return BecomeError(f"{user} may not use {tool} on {name}", hint)
    said = next((line.strip() for line in text.splitlines() if line.strip()), f"exit status {status}")
    return BecomeError(f"{tool} on {name} refused: {said[:200]}", hint)
