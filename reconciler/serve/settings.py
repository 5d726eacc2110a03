"""Where the pages are served, and who may ask: what `--listen`, `--token-file` and `--hook-secret-file` say, checked before the
loop begins.

Loopback needs no token; anything else does, because a page tells an attacker which machine lacks which update.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from providers.secret import Secret
from reconciler.errors import CommandError, Refused
from reconciler.text import visible

PORT = 9276
DEFAULT = f"127.0.0.1:{PORT}"
SHORTEST = 16
"""Characters of a token or a hook's secret: less could be guessed."""
LONGEST = 4096
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")


@dataclass(frozen=True, slots=True)
class Listen:
    """An address and a port; an empty address means all of this machine's."""

    address: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """`127.0.0.1:9276`, `[::1]:9276`, `localhost:9276`, `:9276` (everywhere), or a port on loopback."""
        address, colon, port = text.strip().rpartition(":")
        if not colon:
            address = "127.0.0.1"
        elif address.startswith("[") and address.endswith("]"):
            address = address[1:-1]
            if not _is_ip(address, 6):
                raise _bad_listen(text)
        elif address and not _is_ip(address, 4) and not _NAME.fullmatch(address):
            raise _bad_listen(text)
        if not port.isascii() or not port.isdigit() or int(port[:6]) > 65535:
            raise _bad_listen(text)
        return cls(address, int(port))

    @property
    def loopback(self) -> bool:
        if self.address.lower() == "localhost":
            return True
        return _is_ip(self.address) and ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def _is_ip(text: str, version: int | None = None) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return version in (None, found.version)


def _bad_listen(text: str) -> CommandError:
    return CommandError(
        f"--listen: {visible(text[:80])} is no address with a port", f"Write it as {DEFAULT}, [::1]:{PORT} or 192.0.2.7:{PORT}."
    )


@dataclass(frozen=True, slots=True)
class Key:
    """A token or a hook's secret. Compared as a whole and in constant time."""

    value: Secret = field(repr=False)

    @classmethod
    def read(cls, option: str, path: Path) -> Key:
        """The first line of a file that others can neither read nor change."""
        shown = visible(str(path))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                data = file.read(LONGEST + 1)
        except OSError as error:
            raise CommandError(f"{option}: {shown} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            raise CommandError(f"{option}: {shown} is no regular file")
        # A group may be lent it to read: so do Kubernetes and systemd's credentials.
        if status.st_mode & 0o037 or status.st_uid not in (os.getuid(), 0):
            raise Refused(
                f"{option}: others can read or change {shown} (mode {stat.S_IMODE(status.st_mode):04o}, user {status.st_uid})",
                "Close it: chmod 600, and let it belong to the user that runs the loop.",
            )
        value = data.partition(b"\n")[0].strip()
        if len(data) > LONGEST or len(value) < SHORTEST:
            raise CommandError(
                f"{option}: the first line of {shown} is no secret of {SHORTEST} to {LONGEST} characters",
                f"Make one: head -c 32 /dev/urandom | base64 > {shown}",
            )
        return cls(Secret(value, str(path)))

    def equals(self, offered: bytes) -> bool:
        return hmac.compare_digest(self.value.reveal(), offered)

    def signature(self, body: bytes) -> bytes:
        """HMAC-SHA-256 in hexadecimal digits, as forges write it."""
        return hmac.new(self.value.reveal(), body, "sha256").hexdigest().encode()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of this program's time and places others may take."""

    places: int = 64
    """Connections at once."""
    patience: float = 10.0
    """Seconds that a connection may wait for the rest of a header, for its answer to be taken, or for another request."""
    seconds: float = 10.0
    """What a request may take from its header to its answer, its body included."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`listen` None: no pages at all."""

    listen: Listen | None = field(default_factory=lambda: Listen.parse(DEFAULT))
    token: Key | None = None
    hook: Key | None = None
    limits: Limits = Limits()

    @classmethod
    def read(cls, listen: str | None, token_file: Path | None, hook_secret_file: Path | None) -> Settings:
        """Raises `CommandError` with what to do."""
        settings = cls(
            Listen.parse(listen) if listen is not None else None,
            Key.read("--token-file", token_file) if token_file is not None else None,
            Key.read("--hook-secret-file", hook_secret_file) if hook_secret_file is not None else None,
        )
        where = settings.listen
        if where is not None and not where.loopback and settings.token is None:
            raise Refused(
                f"--listen {where} can be reached from other machines, and there is no token",
                "Name a file with one (--token-file FILE), or listen on loopback and put a proxy in front.",
            )
        return settings


def own_name(host: str, extra: Iterable[str] = ()) -> bool:
    """Whether a request's Host header names this machine itself. A page of somebody else's that a browser was led to by a
    changed DNS answer still carries its own name there."""
    name = host.rpartition(":")[0] if re.search(r":\d{1,5}$", host) else host
    name = name.removeprefix("[").removesuffix("]").lower()
    return name in ("localhost", *extra) or (_is_ip(name) and ipaddress.ip_address(name).is_loopback)
