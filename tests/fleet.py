"""A fleet repository in a temporary folder and the installed `reconcile` command, as a person would use the two.

Used by the `fleet` fixture of all whole-program tests, on this machine and in the lab. It uses git's own command line and none
of the project's code, so that a test cannot agree with a mistake.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Result:
    """What one command did. Stands in `assert result.code == 0, result`, so that a failure shows everything."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"$ {' '.join(self.command)}\n{self.out}\n{self.err}\nexit status {self.code}"


def reconcile_command() -> str:
    """The console script that belongs to this interpreter: never `python -m`, which would import from the current folder."""
    script = Path(sys.executable).with_name("reconcile")
    if not script.exists():
        raise FileNotFoundError(f"{script} is not installed: `make test` does it, or `pip install --editable .`")
    return str(script)


@dataclass(frozen=True, slots=True)
class Fleet:
    """`root` is the repository. `home` is the operator's home: the test's keys, known hosts and caches."""

    root: Path
    home: Path

    @classmethod
    def create(cls, folder: Path) -> Self:
        fleet = cls(folder / "fleet", folder / "home")
        (fleet.home / ".ssh").mkdir(parents=True, mode=0o700)
        fleet.root.mkdir()
        fleet.git("init", "--quiet", "--initial-branch=main")
        return fleet

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the developer's own settings, agent or language reaches a command."""
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
        }

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Puts files into the working tree; None removes one. Nothing is committed."""
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "a change") -> str:
        """Writes and commits everything; the full id of the commit."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.strip()

    def add_key(self, private_key: Path) -> None:
        """Gives the operator a key, where ssh would look for it."""
        shutil.copy(private_key, self.home / ".ssh" / "id_ed25519")
        (self.home / ".ssh" / "id_ed25519").chmod(0o600)

    def run(self, *arguments: str, timeout: float = 300, env: Mapping[str, str] | None = None, stdin: str = "") -> Result:
        """`reconcile -C REPOSITORY …`, without a terminal, from a folder that is not the repository."""
        command = (reconcile_command(), "-C", str(self.root), *arguments)
        done = subprocess.run(
            command,
            cwd=self.home,
            env=self.environment | dict(env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        return Result(command, done.returncode, done.stdout, done.stderr)

    def plan(self, *arguments: str) -> Result:
        """Exit status 0: nothing to do, 2: changes, 1: an error."""
        return self.run("plan", "--detailed-exitcode", *arguments)

    def apply(self, *arguments: str) -> Result:
        return self.run("apply", "--yes", *arguments)
