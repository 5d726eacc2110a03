"""Where the fleet's repository is: a clone on this machine, or a branch at a git server that is fetched into the cache.

Called by `reconciler/loop/following.py`. A place says what its newest commit is, and hands out the repository to read it from;
whether that commit may be followed is judged elsewhere. What git, servers and files can do is a `PlaceProblem`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from desired.git import Repository, folder_in, open_repository
from desired.git_history import head, head_name
from desired.model import RepositoryError
from desired.sources.model import SourceProblem, Wanted
from desired.sources.resolve import Sources
from desired.sources.url import parse_location
from desired.text import visible
from providers.secret import Secret

PlaceKind: TypeAlias = Literal["unreachable", "vanished", "refused"]
GetSources: TypeAlias = Callable[[], Sources]
"""Makes the fetching machinery when it is first needed. Raises `SourceProblem`."""

TOKEN = "RECONCILER_GIT_TOKEN"  # noqa: S105 the name of a variable
_NAME = "the fleet itself"
"""Under which the cache remembers the fleet's own branch. No project can have a name with blanks."""
_SALT = secrets.token_bytes(16)


class PlaceProblem(Exception):
    """Why the newest commit cannot be told."""

    def __init__(self, kind: PlaceKind, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind: PlaceKind = kind
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Clone:
    """A repository to read commits from, and where in it the fleet lies."""

    repository: Repository
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Newest:
    """What a place answered."""

    clone: Clone
    commit: str
    branch: str


class Place(ABC):
    """One place. For one thread at a time."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Under which the last good commit of this place is remembered."""

    @property
    @abstractmethod
    def url(self) -> str:
        """For people; without credentials."""

    @property
    @abstractmethod
    def branch(self) -> str: ...

    @property
    def described(self) -> str:
        """What is followed, for the first line of the log."""
        return f"{self.url}, branch {self.branch}"

    @abstractmethod
    def ask(self, sources: GetSources) -> Newest:
        """The newest commit, now. Raises `PlaceProblem`."""

    @abstractmethod
    def clone(self, sources: GetSources) -> Clone:
        """What is on this machine, without asking anybody. Raises `PlaceProblem`."""


class LocalPlace(Place):
    """A repository on this machine. Its checked-out branch is followed, whoever moves it; nothing is fetched."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 links stay as they were written
        self._branch = ""

    @property
    def key(self) -> str:
        return str(self._folder)

    @property
    def url(self) -> str:
        return visible(str(self._folder), 500)

    @property
    def branch(self) -> str:
        return self._branch

    @property
    def described(self) -> str:
        try:
            repository = open_repository(self._folder)
            found = head(repository)
            branch = visible(head_name(repository)) if found is None else found.branch
        except (RepositoryError, OSError):
            branch = ""
        return f"{self.url}, the branch that is checked out" + (f" ({branch})" if branch else "")

    def ask(self, sources: GetSources) -> Newest:
        clone = self.clone(sources)
        try:
            found = head(clone.repository)
            if found is None:
                branch = visible(head_name(clone.repository))
                raise PlaceProblem(
                    "vanished",
                    f"the branch {branch}, which is checked out in {self.url}, has no commit or is gone",
                    f"check out the branch that holds the fleet: git -C {self.url} checkout BRANCH",
                )
        except RepositoryError as error:
            raise PlaceProblem("unreachable", str(error), error.hint) from error
        self._branch = found.branch
        return Newest(clone, found.commit, found.branch)

    def clone(self, sources: GetSources) -> Clone:
        """Opened anew each time: somebody may have put another clone in its place."""
        try:
            repository = open_repository(self._folder)
            return Clone(repository, folder_in(repository, self._folder))
        except RepositoryError as error:
            kind: PlaceKind = "refused" if "another user" in str(error) else "unreachable"
            raise PlaceProblem(kind, str(error), error.hint) from error
        except OSError as error:
            raise PlaceProblem("unreachable", f"{self.url} cannot be read: {error.strerror}", "mend its rights") from error


class RemotePlace(Place):
    """A branch at a git server, fetched into the cache that projects are fetched into, by the same rules."""

    def __init__(
        self,
        url: str,
        branch: str = "main",
        *,
        token_file: Path | None = None,
        identity: str | None = None,
        username: str = "git",
        inside: str = "",
    ) -> None:
        """`token_file`: holds the token for https; without it $RECONCILER_GIT_TOKEN does. `identity`: a private key for ssh.
        `inside`: the folder of the fleet in the repository."""
        self._source = url
        self._branch = branch
        self._token_file = token_file
        self._identity = identity
        self._username = username
        self._inside = inside.strip("/")
        self._location = _shown(url)

    @property
    def key(self) -> str:
        return f"{self._location} {self._branch}" + (f" {self._inside}" if self._inside else "")

    @property
    def url(self) -> str:
        return self._location

    @property
    def branch(self) -> str:
        return self._branch

    def ask(self, sources: GetSources) -> Newest:
        try:
            found = sources().resolve(self._wanted())
            return Newest(Clone(open_repository(found.repository.folder), self._inside), found.commit, self._branch)
        except SourceProblem as problem:
            raise self._problem(problem) from problem
        except RepositoryError as error:
            raise PlaceProblem("unreachable", str(error), "the cache is fetched again at the next look") from error

    def clone(self, sources: GetSources) -> Clone:
        try:
            return Clone(open_repository(sources().repository(self._source).folder), self._inside)
        except SourceProblem as problem:
            raise self._problem(problem) from problem
        except RepositoryError as error:
            raise PlaceProblem("unreachable", str(error), "the cache is fetched again at the next look") from error

    def _wanted(self) -> Wanted:
        """Whether the history was rewritten is held against the commit in force, not against what was seen last."""
        secure = self._source.lower().startswith("http")
        token = self._token() if secure else None
        ref = f"refs/heads/{self._branch}"
        return Wanted(_NAME, self._source, ref, token, self._username, self._identity, rewritten="allow")

    def _token(self) -> Secret | None:
        """Read again at each look, so that a new one needs no restart."""
        if self._token_file is None:
            value = os.environ.get(TOKEN, "").encode("utf-8", "surrogateescape")
        else:
            try:
                value = self._token_file.read_bytes()
            except OSError as error:
                message = f"the token file {visible(str(self._token_file))} cannot be read: {error.strerror}"
                raise PlaceProblem("refused", message, "name a file that the loop may read: --git-token-file FILE") from error
        value = value.strip()
        return Secret(value, hashlib.sha256(_SALT + value).hexdigest()) if value else None

    def _problem(self, problem: SourceProblem) -> PlaceProblem:
        """In words for the one who runs the loop: what a project's file could say is said on the command line."""
        message, branch = str(problem), visible(self._branch)
        match problem.kind:
            case "vanished":
                return PlaceProblem(
                    "vanished",
                    f"the branch {branch} is gone from {self.url}",
                    f"push it again, or follow another one: reconcile run --source {self.url} --branch BRANCH",
                )
            case "unknown-revision":
                return PlaceProblem(
                    "vanished",
                    f"there is no branch {branch} at {self.url}",
                    f"push it, or follow another one: reconcile run --source {self.url} --branch BRANCH",
                )
            case "refused":
                return PlaceProblem("refused", message, _refused_hint(problem))
            case "unusable":
                return PlaceProblem("unreachable", message, problem.hint)
        hint = "it is asked again at the next look; check the address, the network, and whether this login may see it"
        return PlaceProblem("unreachable", message, hint)


def _refused_hint(problem: SourceProblem) -> str:
    if "known_hosts" in problem.hint:
        return problem.hint.replace("hosts/known_hosts", "~/.ssh/known_hosts of the user who runs the loop")
    if "project's file" in problem.hint or "identity:" in problem.hint:
        return (
            f"for https, give a token that may read it: --git-token-file FILE, or ${TOKEN}; for ssh, give the public key of "
            "the user who runs the loop read access on the server (keys with a passphrase must be in ssh-agent)"
        )
    return problem.hint


def _shown(url: str) -> str:
    """The URL without what may be a login."""
    try:
        return parse_location(url).shown
    except SourceProblem:
        return visible(url.rpartition("@")[2], 200)
