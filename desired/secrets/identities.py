"""The operator's keys that open secrets: age identities and ssh keys, from the usual places of this machine.

Asked by `vault.py` when the first secret is to be opened. A key that cannot be used is no reason to stop as long as another one
opens the file; why it could not be used is told when none does. Nothing here ever says what stands in a key.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desired.text import visible

VARIABLE = "RECONCILER_IDENTITY"
SYSTEM_IDENTITY = "/etc/reconciler/identity"
SIZE_LIMIT = 64 << 10
_SSH_KEYS = ("id_ed25519", "id_rsa")


class BadIdentity(Exception):
    """Why a key file is of no use: half a sentence, which goes behind its path."""


@dataclass(frozen=True, slots=True)
class Identities:
    """What was found on this machine."""

    keys: tuple[Any, ...] = ()
    """pyrage's objects."""
    tried: tuple[str, ...] = ()
    """Paths of the files that hold them."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Path → why the file was of no use."""
    missing: tuple[str, ...] = ()
    """Paths where one could be."""


def find_identities(environment: Mapping[str, str] = os.environ) -> Identities:
    """All keys in the order in which they are tried."""
    keys: list[Any] = []
    tried: list[str] = []
    refused: dict[str, str] = {}
    missing: list[str] = []
    for path, named in _places(environment):
        shown = visible(str(path))
        try:
            keys += read_identity(path)
            tried.append(shown)
        except FileNotFoundError:
            missing.append(shown)
            if named:
                refused[shown] = f"it is not there ({VARIABLE} names it)"
        except OSError as error:
            refused[shown] = f"it cannot be read: {error.strerror}"
        except BadIdentity as error:
            refused[shown] = str(error)
    return Identities(tuple(keys), tuple(tried), refused, tuple(missing))


def _places(environment: Mapping[str, str]) -> Iterator[tuple[Path, bool]]:
    """Where keys may lie, and whether the operator named the place."""
    for path in environment.get(VARIABLE, "").split(os.pathsep):
        if path:
            yield Path(path).expanduser(), True
    home = Path(environment.get("HOME") or "/nonexistent")
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "reconciler", "identity"), False
    yield Path(SYSTEM_IDENTITY), False
    for name in _SSH_KEYS:
        yield home / ".ssh" / name, False


def read_identity(path: Path) -> list[Any]:
    """The keys in one file: age identities, one per line, or one ssh key. Raises `BadIdentity` or `OSError`."""
    data = _read(path)
    if data.lstrip().startswith(b"-----BEGIN AGE ENCRYPTED FILE") or data.startswith(b"age-encryption.org/"):
        raise BadIdentity("it is locked with a passphrase; keep one here that is not, on a disk that is encrypted")
    if data.lstrip().startswith(b"-----BEGIN "):
        return [_ssh_key(data)]
    try:
        lines = [line.strip() for line in data.decode("ascii").splitlines()]
    except UnicodeDecodeError as error:
        raise BadIdentity("it is neither a file of age-keygen nor an ssh key") from error
    keys = [_age_key(line, number) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not keys:
        raise BadIdentity("there is no key in it")
    return keys


def _age_key(line: str, number: int) -> Any:
    from pyrage import IdentityError, x25519

    try:
        return x25519.Identity.from_str(line)
    except IdentityError as error:
        if line.startswith("AGE-PLUGIN-"):
            reason = "is one of an age plugin (a hardware key?), which is not supported; encrypt for an ordinary key as well"
        elif line.startswith("AGE-SECRET-KEY-PQ-"):
            reason = "is a post-quantum one, which is not supported yet; encrypt for one of age-keygen's ordinary keys as well"
        else:
            reason = "is no age identity; age-keygen makes one: AGE-SECRET-KEY-1…"
        raise BadIdentity(f"the key in line {number} {reason}") from error


def _ssh_key(data: bytes) -> Any:
    from pyrage import IdentityError, ssh

    try:
        return ssh.Identity.from_buffer(data)
    except IdentityError as error:
        words = str(error)
    if "decrypted" in words:
        raise BadIdentity(
            "it is locked with a passphrase, and an ssh agent cannot open secrets; "
            f"make a key for this with age-keygen, or name an unlocked one in {VARIABLE}"
        )
    raise BadIdentity("this sort of ssh key cannot open secrets: only ed25519 and rsa can")


def _read(path: Path) -> bytes:
    """A small file that is ours alone, without following a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadIdentity(f"it is a symbolic link, which is not followed; name the file itself in {VARIABLE}") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        _refuse_open(path, os.fstat(descriptor))
        data = file.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise BadIdentity("it is too long for a key")
    return data


def _refuse_open(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BadIdentity("it is no regular file")
    if status.st_uid not in (os.getuid(), 0):
        raise BadIdentity("it belongs to another user")
    # One of root's may be lent to a group; an own one has no other readers, as with ssh.
    closed = 0o077 if status.st_uid == os.getuid() else 0o027
    if status.st_mode & closed:
        shown = visible(str(path))
        raise BadIdentity(f"others can read it (mode {stat.S_IMODE(status.st_mode):04o}); close it: chmod 600 {shown}")
