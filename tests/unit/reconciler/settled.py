"""A host, reached through a real sshd, on which somebody has put a project by hand; the project's source; and the fleet.

Used by the tests of `reconcile adopt` and `reconcile pull`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fleet import Fleet, Result
from tests.sshd import USER, Sshd, make_key
from tests.unit.cli.console import Console

SITE = """\
source: @source
revision: main
deploy: [{host: nas, path: @path}]
shared: [data/]
runtime: none
"""
IDENTITY = {f"GIT_{role}_{word}": "Grace" for role in ("AUTHOR", "COMMITTER") for word in ("NAME", "EMAIL")}


def git(folder: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"} | IDENTITY
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_source(folder: Path) -> Path:
    """A working copy, and beside it the bare repository `origin.git` that it pushes to. Three commits: v1, v2, v3; the last one
    changes the configuration and removes a file."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    git(folder, "remote", "add", "origin", "../origin.git")
    for name, text in {"index.html": "one\n", "bin/run": "echo hi\n", "conf/app.yaml": "a: 1\n", "old.txt": "old\n"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "bin/run").chmod(0o755)
    (folder / "start.html").symlink_to("index.html")
    save(folder, "Begin", "v1")
    (folder / "index.html").write_text("two\n")
    save(folder, "Second page", "v2")
    (folder / "conf/app.yaml").write_text("a: 2\n")
    (folder / "old.txt").unlink()
    save(folder, "Mend the app", "v3")
    return folder


def save(folder: Path, message: str, tag: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    git(folder, "tag", tag)
    git(folder, "push", "--quiet", "--all", "origin")


def put(source: Path, revision: str, folder: Path) -> None:
    """Copies a commit by hand, as people do."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "-c", "tar.umask=0022", "archive", revision], cwd=source, check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-xpf", "-"], cwd=folder, input=archive, check=True)


@dataclass(frozen=True, slots=True)
class Settled:
    """`path` is the project's folder on the host, which is a folder of this machine."""

    fleet: Fleet
    console: Console
    work: Path
    """A working copy of the project."""
    host: Path

    @property
    def source(self) -> Path:
        """The project's source: a bare repository."""
        return self.work.with_name("origin.git")

    @property
    def path(self) -> Path:
        return self.host / "site"

    def __call__(self, *words: str) -> Result:
        return self.console(*words)

    def project(self, text: str = SITE, **more: str) -> None:
        """Commits the project's file; `more` are further lines of it."""
        text += "".join(f"{name}: {value}\n" for name, value in more.items())
        filled = text.replace("@source", str(self.source)).replace("@path", str(self.path))
        self.fleet.commit({"projects/site.yaml": filled}, "the project")

    def commit_of(self, revision: str) -> str:
        return git(self.work, "rev-parse", f"{revision}^{{commit}}")

    def commit(self, message: str, files: Mapping[str, str]) -> None:
        """A further commit on the branch that is checked out, pushed."""
        for name, text in files.items():
            (self.work / name).write_text(text)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--message", message)
        git(self.work, "push", "--quiet", "--all", "origin")

    def copies(self) -> list[Path]:
        """What was set aside or copied."""
        return sorted(self.host.glob("site.before-adopt-*"))

    def files(self, folder: Path | None = None) -> Mapping[str, tuple[int, int, bytes]]:
        """Path → inode, time and content of every file there."""
        top = folder or self.path
        found = sorted(path for path in top.rglob("*") if path.is_file() and not path.is_symlink() and ".git" not in path.parts)
        return {str(path.relative_to(top)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    def contents(self, folder: Path | None = None) -> dict[str, bytes]:
        return {name: content for name, (_, _, content) in self.files(folder).items()}

    def state(self) -> tuple[object, ...]:
        """All that a mere look must leave as it was."""
        return (self.files(), self.copies(), sorted(self.host.rglob("*")), git(self.source, "for-each-ref"))


@contextmanager
def settled(fleet: Fleet, folder: Path) -> Iterator[Settled]:
    work, host = make_source(folder / "work"), folder / "host"
    host.mkdir()
    key = make_key(folder / "key")
    server = Sshd(folder / "sshd", key)
    server.start()
    try:
        nas = f"address: {USER}@127.0.0.1:{server.port}\nidentity: {key}\ninventory: {host}/inventory\n"
        fleet.commit({"fleet.yaml": "", "hosts/nas.yaml": nas, "hosts/known_hosts": server.pin}, "begin")
        yield Settled(fleet, Console(fleet), work, host)
    finally:
        server.stop()
