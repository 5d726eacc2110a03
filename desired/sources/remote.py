"""One conversation with a git server: what branches and tags it has, fetching them, pushing one.

Called by `desired/sources/resolve.py`. Everything that pygit2 leaves open is closed here: host keys and certificates are
checked, credentials go to the URL's own host and are offered once, redirects are not followed (that is set in the cache's own
configuration, `desired/sources/cache.py`), nothing is waited for without end, and no more is taken than was agreed. What goes
wrong is told as a `SourceProblem`, or as `Damaged` when it is our own cache that failed.
"""

from __future__ import annotations

import binascii
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pygit2
from pygit2.enums import ConfigLevel, CredentialType
from pygit2.remotes import TransferProgress

from desired.sources.home import private_home
from desired.sources.hosts import HostKeys, host_keys
from desired.sources.model import ProblemKind, SourceProblem, Wanted
from desired.sources.url import Location
from desired.text import visible
from providers.secret import Secret, redact

_SILENCE = 30_000
"""Milliseconds without a byte after which a server counts as gone."""
_CONNECT = 10_000
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_MEBIBYTE = 1 << 20

for _level in (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
    pygit2.settings.search_path[_level] = ""


class Damaged(Exception):
    """Our cache could not be read or written as it should; it may be thrown away and fetched again."""


@dataclass(frozen=True)
class Rules:
    """What holds for all conversations of one `Sources`."""

    fleet_hosts: str = ""
    own_hosts: Path = field(default_factory=lambda: Path.home() / ".ssh" / "known_hosts")
    keys: Path = field(default_factory=lambda: Path.home() / ".ssh")
    """Where id_ed25519 and its siblings lie."""
    most_bytes: int = 4 << 30
    deadline: float = 1800.0
    """Seconds that one transfer may take."""
    cancelled: threading.Event = field(default_factory=threading.Event)


def prepare(authority: Path | None, silence: int = _SILENCE, connect: int = _CONNECT) -> None:
    """What libgit2 knows once per process: waiting times in milliseconds, a private certificate authority, the home folder."""
    pygit2.settings.server_timeout = silence
    pygit2.settings.server_connect_timeout = connect
    if authority is not None:
        pygit2.settings.set_ssl_cert_locations(str(authority), None)
    private_home()


class Remote:
    """The server of one project, for one conversation at a time."""

    def __init__(self, repo: pygit2.Repository, location: Location, wanted: Wanted, rules: Rules) -> None:
        self._location = location
        self._wanted = wanted
        self._rules = rules
        self._remote = repo.remotes.create_anonymous(location.url)

    def heads(self) -> dict[str, str]:
        """Full name of each branch and tag, and HEAD → commit or tag object; `NAME^{}` → the commit that a tag stands for."""
        with self._talk() as session:
            return {head.name or "": str(head.oid) for head in self._remote.list_heads(callbacks=session)}

    def fetch(self, refspecs: Sequence[str]) -> None:
        with self._talk() as session:
            self._remote.fetch(list(refspecs), callbacks=session)

    def push(self, refspec: str) -> None:
        with self._talk() as session:
            self._remote.push([refspec], callbacks=session)
        if session.rejection is not None:
            raise SourceProblem(
                "refused",
                f"{self._location.shown} did not take the branch: {visible(redact(session.rejection), 200)}",
                "push to a branch that the server's rules leave free, or ask whoever set them",
            )

    @contextmanager
    def _talk(self) -> Iterator[_Session]:
        keys = None
        if self._location.transport == "ssh":
            keys = host_keys(self._location.host, self._location.place, self._rules.fleet_hosts, _text(self._rules.own_hosts))
            if not keys.keys:
                raise _unpinned(self._location, keys)
        session = _Session(self._location, self._wanted, self._rules)
        try:
            with private_home().knowing(keys) if keys else nullcontext():
                yield session
        except pygit2.GitError as error:
            raise _told(error, self._location) from error
        except (KeyError, ValueError, OSError) as error:
            raise Damaged(visible(redact(str(error)), 200)) from error


class _Session(pygit2.RemoteCallbacks):
    """What libgit2 asks on the way."""

    def __init__(self, location: Location, wanted: Wanted, rules: Rules) -> None:
        super().__init__()
        self._location = location
        self._wanted = wanted
        self._rules = rules
        self._ends = time.monotonic() + rules.deadline
        self._offers = _offers(location, wanted, rules)
        self.rejection: str | None = None

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:  # noqa: FBT001 pygit2's signature
        return valid

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.Username | pygit2.UserPass | pygit2.Keypair:
        self._go_on()
        if not self._location.asks_from(url):
            raise SourceProblem(
                "refused",
                f"{self._location.shown} wanted the login to be sent to another place, {visible(redact(url))}",
                "write the address at which the repository really is",
            )
        if not allowed_types & ~CredentialType.USERNAME:
            return pygit2.Username(self._location.user or self._wanted.username)
        offer = next(self._offers, None)
        if offer is None:
            raise _no_login(self._location, self._wanted)
        return offer

    def sideband_progress(self, string: str) -> None:
        self._go_on()

    def transfer_progress(self, stats: TransferProgress) -> None:
        self._go_on()
        if stats.received_bytes > self._rules.most_bytes:
            raise SourceProblem(
                "unusable",
                f"{self._location.shown} sends more than {self._rules.most_bytes / _MEBIBYTE:,.0f} MiB; the transfer was ended",
                "is this the right repository? its large files may belong elsewhere",
            )

    def push_update_reference(self, refname: str, message: str | None) -> None:
        if message is not None:
            self.rejection = message

    def _go_on(self) -> None:
        if self._rules.cancelled.is_set():
            message = f"the transfer from {self._location.shown} was cancelled"
            raise SourceProblem("unreachable", message, "nothing was changed; the next cycle asks again")
        if time.monotonic() > self._ends:
            raise SourceProblem(
                "unreachable",
                f"the transfer from {self._location.shown} took longer than {self._rules.deadline:,.0f} seconds",
                "try again when the connection is better, or fetch through a mirror nearby",
            )


def _offers(location: Location, wanted: Wanted, rules: Rules) -> Iterator[pygit2.UserPass | pygit2.Keypair]:
    """The logins to try, each once. A token is tried a single time: servers lock out who repeats a wrong one."""
    if location.transport in ("https", "http"):
        if wanted.token is not None:
            yield pygit2.UserPass(wanted.username, _token(wanted.token))
        return
    user = location.user or wanted.username
    agent = bool(os.environ.get("SSH_AUTH_SOCK"))
    if wanted.identity is not None:
        path = Path(wanted.identity).expanduser()
        if not path.is_file():
            message = f"the private key {visible(wanted.identity)} for {location.shown} is not there"
            raise SourceProblem("refused", message, "name a file on the controller: identity: /path")
        if not _locked(path):
            yield pygit2.Keypair(user, None, str(path), "")
        elif agent:
            yield pygit2.KeypairFromAgent(user)
        return
    if agent:
        yield pygit2.KeypairFromAgent(user)
    for path in (rules.keys / name for name in _DEFAULT_KEYS):
        if path.is_file() and not _locked(path):
            yield pygit2.Keypair(user, None, str(path), "")


def _token(token: Secret) -> str:
    try:
        return token.text()
    except UnicodeDecodeError as error:
        message = "the token for this source is not text"
        raise SourceProblem("refused", message, "encrypt the token alone, as it was given out") from error


def _locked(path: Path) -> bool:
    """Whether a private key needs a passphrase, or cannot be read; libssh2 would give up there instead of trying the next."""
    try:
        data = path.read_bytes()
    except OSError:
        return True
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        try:
            body = binascii.a2b_base64(b"".join(data.split(b"-----")[2].split()))
        except (binascii.Error, IndexError):
            return True
        return body[15:23] != b"\0\0\0\4none"
    return b"ENCRYPTED" in data


def _text(path: Path) -> str:
    """The operator's own known_hosts; where it cannot be read it vouches for nobody."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _no_login(location: Location, wanted: Wanted) -> SourceProblem:
    if location.transport == "ssh":
        if wanted.identity and _locked(Path(wanted.identity).expanduser()):
            message = f"the private key {visible(wanted.identity)} for {location.shown} needs a passphrase, or cannot be read"
            return SourceProblem(
                "refused", message, "give it to ssh-agent, or name a key without a passphrase: identity: /path"
            )
        who = wanted.identity or "the agent's keys and those in ~/.ssh"
        return SourceProblem(
            "refused",
            f"{location.shown} accepted no key of ours ({visible(who)})",
            "give the public key read access on the server, or name another private key: identity: /path. One with a "
            "passphrase must be in ssh-agent",
        )
    if wanted.token is None:
        return SourceProblem(
            "refused",
            f"{location.shown} asks for a login, or the repository does not exist",
            "put an access token into secrets/ and name it in the project's file: token: {secret: NAME}",
        )
    return SourceProblem(
        "refused",
        f"{location.shown} did not accept the token for the user {visible(wanted.username)}",
        "check that the token is still valid, may read this repository, and goes with this username",
    )


def _unpinned(location: Location, keys: HostKeys) -> SourceProblem:
    port = "" if location.port == 22 else f" -p {location.port}"
    pin = f"ssh-keyscan{port} {location.host}, compare the fingerprint with what the server's owner says, and add the line"
    if keys.revoked:
        reason = "its known host key is marked @revoked"
    elif keys.authority:
        reason = "only a certificate authority vouches for it, which git sources cannot check"
    else:
        reason = "its host key is not known"
    return SourceProblem(
        "refused", f"the git server {location.place} is not trusted: {reason}", f"pin it: {pin} to hosts/known_hosts"
    )


class _Meaning(NamedTuple):
    """What one of libgit2's errors, told by a piece of its text, means for the reader; @ stands for the source."""

    sign: str
    kind: ProblemKind
    message: str
    hint: str


_CHECK_SOURCE = "check the source in the project's file"
_MEANINGS = (
    _Meaning("redirect", "refused", "@ sends us elsewhere", "write the address at which the repository really is"),
    _Meaning("object format", "unusable", "@ is a SHA-256 repository", "keep the project in git's usual format, SHA-1"),
    _Meaning(
        "not owned by current user",
        "refused",
        "the repository @ belongs to another user, and is therefore not trusted",
        "run as the user who owns it, reach it over ssh, or change its owner",
    ),
    _Meaning(
        "fastforward",
        "refused",
        "the branch at @ has commits that ours lacks; nothing was pushed",
        "push to another branch, or begin again from the newest commit",
    ),
    _Meaning(
        "non-bare",
        "refused",
        "@ has a working tree; only a bare repository takes a push",
        "push to the repository that it was cloned from",
    ),
    _Meaning(
        "does not appear to be a git repository",
        "unreachable",
        "there is no repository at @, or this login may not see it",
        _CHECK_SOURCE,
    ),
    _Meaning("could not find repository", "unreachable", "there is no repository at @", _CHECK_SOURCE),
    _Meaning("status code: 404", "unreachable", "there is no repository at @, or this login may not see it", _CHECK_SOURCE),
    _Meaning("status code: 403", "refused", "@ refuses the login", "check the key or token, and its rights"),
    _Meaning("authenticat", "refused", "@ refuses the login", "check the key or token, and its rights"),
)


def _told(error: pygit2.GitError, location: Location) -> SourceProblem | Damaged:
    """libgit2's error in plain words."""
    text = visible(redact(str(error)).strip(), 200)
    lowered = text.lower()
    if isinstance(error, pygit2.CertificateError) or "certificate" in lowered or "exchange encryption keys" in lowered:
        return _untrusted(location)
    for meaning in _MEANINGS:
        if meaning.sign in lowered:
            return SourceProblem(meaning.kind, f"{meaning.message.replace('@', location.shown)} ({text})", meaning.hint)
    if _ours(error, lowered):
        return Damaged(text)
    if location.transport == "path":
        return SourceProblem("unreachable", f"the repository {location.shown} cannot be read: {text}", _CHECK_SOURCE)
    return SourceProblem(
        "unreachable",
        f"{location.shown} cannot be reached: {text}",
        "check the name and the network; names from ~/.ssh/config are not known here",
    )


def _ours(error: pygit2.GitError, text: str) -> bool:
    """Whether it was our side that failed: libgit2's classes for the object database, references, indexes and files."""
    if any(sign in text for sign in ("no space left", "quota", "read-only file system", "failed to lock", "file too large")):
        return True
    return isinstance(error, pygit2.NotFoundError) or getattr(error, "error_class", 0) in {4, 5, 9, 10, 11, 14, 15, 30}


def _untrusted(location: Location) -> SourceProblem:
    if location.transport == "ssh":
        return SourceProblem(
            "refused",
            f"the git server {location.place} shows another host key than the one that is pinned; nothing was sent to it",
            "either somebody stands in between, or the server was set up anew: ask its owner for the new fingerprint, then "
            "change its line in hosts/known_hosts",
        )
    return SourceProblem(
        "refused",
        f"the certificate of {location.host} is not trusted: nobody known here signed it for this name, or it has expired",
        "a private certificate authority is trusted when SSL_CERT_FILE names its certificate",
    )
