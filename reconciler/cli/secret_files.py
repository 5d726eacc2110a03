"""The files below secrets/ of a fleet's working tree, for `reconcile secret`: nothing else is ever written.

A file is replaced whole or not at all, and nothing is reached through a symbolic link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from desired.git import FLEET_MARKS, folder_in, open_repository
from desired.secrets.names import ENCRYPTED_LIMIT, ENDING, FOLDER, RECIPIENTS
from desired.text import visible
from desired.whole_file import write_whole
from reconciler.errors import CommandError


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """`root` is the folder of the fleet."""

    root: Path

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Of the fleet that `folder` lies in."""
        repository = open_repository(folder)
        if repository.is_bare:
            raise CommandError("a bare repository has no working tree, in which secrets could be kept", "run this in a clone")
        parts = [part for part in folder_in(repository, folder).split("/") if part]
        top = Path(repository.workdir)
        while parts and not any(top.joinpath(*parts, mark).exists() for mark in FLEET_MARKS):
            parts.pop()
        return cls(top.joinpath(*parts))

    def paths(self) -> list[str]:
        """The encrypted files, as paths of the fleet."""
        found = []
        for folder, folders, names in os.walk(self.root / FOLDER):
            folders.sort()
            inside = Path(folder).relative_to(self.root)
            found += [str(inside / name) for name in sorted(names) if name.endswith(ENDING)]
        return found

    def read(self, path: str) -> bytes | None:
        """None where there is no such file."""
        self._refuse_links(path)
        try:
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(ENCRYPTED_LIMIT + 1)
        if len(data) > ENCRYPTED_LIMIT:
            raise CommandError(f"{visible(path)} is longer than {ENCRYPTED_LIMIT >> 20} MiB")
        return data

    def recipients(self) -> str:
        """The text of secrets/recipients; empty where there is none."""
        try:
            return (self.read(RECIPIENTS) or b"").decode()
        except UnicodeDecodeError as error:
            raise CommandError(f"{RECIPIENTS} is not UTF-8", "write one public key per line") from error

    def write(self, path: str, data: bytes) -> None:
        """Whole or not at all. What is encrypted may be read by whoever may read the repository."""
        self._refuse_links(path)
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, data, 0o644)

    def _refuse_links(self, path: str) -> None:
        for step in (*self._folders(path), self.root / path):
            if step.is_symlink():
                shown = visible(str(step.relative_to(self.root)))
                raise CommandError(f"{shown} is a symbolic link; links are not followed", "put a plain file or folder there")

    def _folders(self, path: str) -> Iterator[Path]:
        parts = path.split("/")[:-1]
        return (self.root.joinpath(*parts[: count + 1]) for count in range(len(parts)))
