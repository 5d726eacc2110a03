"""Which source URLs we speak to, and which not: an allow-list, for a URL stands in a repository that many may write to.

Called by `desired/sources/resolve.py` before anything else is done with a URL. What is not ssh, https or a path of the
controller is refused, because libgit2 would take `file://`, `git://` and more, and because a word that begins with a dash is
an option to some program sooner or later.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from desired.sources.model import SourceProblem
from desired.text import visible

_ALLOWED = "write ssh://user@host/path, user@host:path, https://host/path, or an absolute path on the controller"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_SCP = re.compile(r"(?P<user>[^@/:]+)@(?P<host>\[[^\]/]+\]|[^:@/\[\]]+):(?P<path>[^/:~-].*|/.+|~.*)", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?=/|:)")
_PORTS = {"ssh": 22, "https": 443, "http": 80}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Location:
    """A URL that was let through."""

    transport: Literal["ssh", "https", "http", "path"]
    url: str
    """As it is given to libgit2: without a password, and for a path absolute."""
    host: str = ""
    port: int = 0
    user: str = ""

    @property
    def digest(self) -> str:
        """The name of its cache."""
        return hashlib.sha256(self.url.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    @property
    def shown(self) -> str:
        return visible(self.url)

    @property
    def place(self) -> str:
        """How known_hosts writes the host."""
        return self.host if self.port == _PORTS["ssh"] else f"[{self.host}]:{self.port}"

    def asks_from(self, url: str) -> bool:
        """Whether who asks for credentials at `url` is the server that was meant."""
        try:
            other = parse_location(url, loopback_http=True)
        except SourceProblem:
            return False
        mine = (self.transport, self.host.lower(), self.port)
        return mine == (other.transport, other.host.lower(), other.port)


def parse_location(text: str, *, loopback_http: bool = False) -> Location:
    """The location that a project's `source` names; `SourceProblem` (refused) with the reason otherwise."""
    if not text.isprintable() or not unquote(text, errors="surrogateescape").isprintable():
        raise _refused(text, "it holds control or invisible characters")
    if not text.strip():
        raise SourceProblem("refused", "the source is empty", _ALLOWED)
    if text.startswith("-"):
        raise _refused(text, "it begins with a dash")
    if text.startswith(("/", "~/")):
        return Location("path", os.path.normpath(Path(text).expanduser()))
    if scheme := _SCHEME.match(text):
        return _with_scheme(text, scheme[0][:-1].lower(), loopback_http=loopback_http)
    if parts := _SCP.fullmatch(text):
        host = _host(text, parts["host"])
        return Location("ssh", f"{_user(text, parts['user'])}@{parts['host']}:{parts['path']}", host, 22, parts["user"])
    raise _refused(text, "it is neither a URL that we speak nor an absolute path")


def _with_scheme(text: str, scheme: str, *, loopback_http: bool) -> Location:
    if scheme not in _PORTS:
        raise _refused(text, f"{visible(scheme)} is not spoken")
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS[scheme]
    except ValueError as error:
        raise _refused(text, "it is not a well-formed URL") from error
    if parts.password is not None or (scheme != "ssh" and "@" in parts.netloc):
        raise SourceProblem(
            "refused",
            f"the source on host {visible(parts.hostname or '')} has a login in its URL, where everybody could read it",
            "take it out of the URL; put the token into secrets/ and name it: token: {secret: NAME}, username: NAME",
        )
    if parts.port == 0:
        raise _refused(text, "there is no port 0")
    host = _host(text, parts.netloc.rpartition("@")[2].removesuffix(f":{parts.port}"))
    if scheme == "http" and not (loopback_http and host in _LOOPBACK):
        raise _refused(text, "http is not encrypted")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise _refused(text, "it has a query or a fragment")
    if parts.path.strip("/") == "":
        raise _refused(text, "it names no repository on the host")
    user = _user(text, parts.username) if parts.username is not None else ""
    netloc = (f"{user}@" if user else "") + (f"[{host}]" if ":" in host else host)
    netloc += f":{port}" if port != _PORTS[scheme] else ""
    transport: Literal["ssh", "https", "http"] = "ssh" if scheme == "ssh" else "https" if scheme == "https" else "http"
    return Location(transport, f"{scheme}://{netloc}{parts.path}", host, port, user)


def _host(text: str, host: str) -> str:
    if not _HOST.fullmatch(host):
        raise _refused(text, f"{visible(host, 60)} is not a host name" if host else "it names no host")
    return host.strip("[]").lower()


def _user(text: str, user: str) -> str:
    if not _USER.fullmatch(user):
        raise _refused(text, "its user name has characters that do not belong in one")
    return user


def _refused(text: str, reason: str) -> SourceProblem:
    # What stands before an @ may be a login, and is not repeated.
    login, at, behind = text.rpartition("@")
    scheme = login[: login.find("://") + 3] if "://" in login else ""
    shown = f"{scheme}…@{behind}" if at else text
    return SourceProblem("refused", f"the source {visible(shown)} is refused: {reason}", _ALLOWED)
