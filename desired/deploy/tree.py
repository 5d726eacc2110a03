"""The tree of files that a project puts on its hosts: those of the commit, the commit's id, `.env`, and files with secrets.

Called by `desired/deploy/expand.py`. Nothing is read from the repository before a plan is applied: the list of files comes with
the digests of their contents. What must not be deployed as it stands is told by `Blocked`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from desired.deploy import dotenv
from desired.model import Diagnostic
from desired.project import ProjectSettings
from desired.sources.model import SourceFile
from desired.text import listing, show, visible
from providers.secret import Secret
from providers.tree import SENTINEL, FileMode, Tree, TreeFile, tree_of

ENV = ".env"


class Blocked(Exception):
    """Why a project cannot be deployed as it is asked for. `str` is a sentence, `hint` says what to do."""

    def __init__(
        self, message: str, hint: str = "", told: tuple[Diagnostic, ...] = (), *, at: tuple[str, ...] = ("revision",)
    ) -> None:
        """`told`: what else is to be known of it, each at its own place. `at`: the value of the project's file that it is
        about; what stands in a commit is about the revision that names it."""
        super().__init__(message)
        self.hint = hint
        self.told = told
        self.at = at

    def told_again(self) -> Blocked:
        """The same without the way on which it came, and all that stands on it."""
        return Blocked(str(self), self.hint, self.told, at=self.at)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a project's secrets are, by the path of the encrypted file in the fleet."""

    versions: Mapping[str, str]
    """Blob ids."""
    opened: Mapping[str, Secret]
    """Those that are opened on the controller."""
    sealed: Mapping[str, bytes]
    """Those that travel as they are."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that stands in no commit."""

    file: TreeFile
    content: bytes | Callable[[], bytes]


def tree_for(
    settings: ProjectSettings, commit: str, files: Mapping[str, SourceFile], secrets: Contents, read: Callable[[str], bytes]
) -> Tree:
    """The tree of one project, from the files of its commit. `read` yields a blob by its id. Raises `Blocked`."""
    made = {one.file.path: one for one in _made(settings, commit, secrets)}
    for path in made:
        _refuse_both(path, files)
    blobs = {path: file.blob for path, file in files.items()}

    def content(path: str) -> bytes:
        one = made.get(path)
        if one is None:
            return read(blobs[path])
        return one.content if isinstance(one.content, bytes) else one.content()

    plain = (TreeFile(path, file.mode, file.sha256, file.size) for path, file in files.items())
    return tree_of(commit, (*plain, *(one.file for one in made.values())), content)


def _refuse_both(path: str, files: Mapping[str, object]) -> None:
    """The project itself must not carry what is made for it; whose would it be?"""
    if path in files:
        what = "env: and secrets: make one" if path == ENV else "one is made for the host"
        hint = f"delete it from the project, or leave it out: exclude: [/{visible(path, 60)}]"
        raise Blocked(f"the project carries a file {visible(path, 60)} of its own, and {what}", hint)
    if inside := next((one for one in files if one.startswith(f"{path}/")), None):
        raise Blocked(f"{visible(path, 60)} is to be made, and is a folder in the project: it holds {visible(inside, 60)}")
    if above := next((one for one in files if path.startswith(f"{one}/")), None):
        raise Blocked(f"{visible(path, 60)} is to be made, and {visible(above, 60)} is no folder in the project")


def _made(settings: ProjectSettings, commit: str, secrets: Contents) -> list[_Made]:
    made = []
    if settings.strategy != "checkout":
        made.append(_plain(SENTINEL, f"{commit}\n".encode(), "0644"))
    if settings.env and ENV not in settings.secrets:
        made.append(_plain(ENV, dotenv.text(settings.env).encode(), "0600"))
    for path, secret in settings.secrets.items():
        if secret.sealed:
            made.append(_plain(path, secrets.sealed[secret.file], "0600"))
        else:
            lines = dotenv.text(settings.env).encode() if path == ENV else b""
            made.append(_secret(path, lines, secrets.opened[secret.file], secrets.versions[secret.file]))
    return made


def _plain(path: str, content: bytes, mode: FileMode) -> _Made:
    return _Made(TreeFile(path, mode, hashlib.sha256(content).hexdigest(), len(content)), content)


def _secret(path: str, before: bytes, secret: Secret, version: str) -> _Made:
    """A file with a secret. Its digest is made from the version of the encrypted file, never from the value."""
    digest = hashlib.sha256(version.encode() + b"\n" + before).hexdigest()[:16]

    def content() -> bytes:
        value = secret.reveal()
        return before + value + (b"" if value.endswith(b"\n") or path != ENV else b"\n")

    return _Made(TreeFile(path, "0600", f"sealed:{digest}", len(content())), content)


def check_values(settings: ProjectSettings, opened: Mapping[str, Secret]) -> None:
    """Whether `.env` will say what is expected; `Blocked` names the keys, and a value only where it is no secret."""
    secret = settings.secrets.get(ENV)
    hidden: dict[str, str] = {}
    if secret is not None and not secret.sealed:
        try:
            hidden = dotenv.read(opened[secret.file].text())
        except UnicodeDecodeError:
            raise Blocked(f"{visible(secret.file, 60)} is not UTF-8, and {ENV} is text", at=("secrets", ENV)) from None
        if both := sorted(settings.env.keys() & hidden.keys()):
            message = f"{listing(both)} stands in env: and in {visible(secret.file, 60)}"
            raise Blocked(message, "say it once: which of the two counts is not to be guessed", at=("env",))
    wrong = [
        _wrong(name, wanted, settings, hidden)
        for name, wanted in settings.expect.items()
        if {**settings.env, **hidden}.get(name) != wanted
    ]
    if wrong:
        raise Blocked(f"expect: {'; '.join(wrong)}", "mend env: or the secret, or what is expected of them", at=("expect",))


def _wrong(name: str, wanted: str, settings: ProjectSettings, hidden: Mapping[str, str]) -> str:
    if name in hidden:
        found = "the secret has another value"
    else:
        found = f"env: says {show(settings.env[name])}" if name in settings.env else "nothing sets it"
    return f"{visible(name, 60)} is to be {show(wanted)}, and {found}"
