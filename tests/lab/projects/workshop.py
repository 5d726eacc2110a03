"""What the stories of deployed projects have in common: a project's own repository, and an example set up as a fleet.

Git is used by its own command line, and none of the program's code.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.fleet import Fleet, Result
from tests.lab.hosts import LabHost
from tests.lab.load import Tally, under_load
from tests.unit.docs.documents import ROOT

BASE_IMAGE = "busybox:1.37"
"""What the examples' applications are built from and run. No registry is asked: `make_base_image` puts it on a host."""


@dataclass(frozen=True, slots=True)
class Project:
    """The repository of an application: a working copy on somebody's laptop, pushed to `remote`."""

    root: Path
    fleet: Fleet

    @classmethod
    def of(cls, example: str, fleet: Fleet, remote: str) -> Self:
        """The example's `app` folder as the first commit. `remote`: where git pushes to; a local path is created."""
        root = fleet.home / "laptop" / example
        shutil.copytree(ROOT / "examples" / example / "app", root)
        project = cls(root, fleet)
        project.git("init", "--quiet", "--initial-branch=main")
        project.git("remote", "add", "origin", remote)
        if remote.startswith("/"):
            project.git("init", "--quiet", "--bare", "--initial-branch=main", remote)
        project.commit({}, "Begin")
        return project

    def git(self, *arguments: str) -> str:
        environment = self.fleet.environment | {"GIT_SSH_COMMAND": f"ssh -F {self.fleet.home}/.ssh/config"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | None], message: str) -> str:
        """Writes, commits and pushes; None removes a file. The full id of the commit."""
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def pulled(self) -> str:
        """What the one branch that `reconcile pull` pushed brings, as a diff."""
        self.git("fetch", "--quiet", "--prune", "origin")
        return self.git("diff", "main", self._pulled_branch())

    def merge_pulled(self) -> None:
        """Merges that branch, and pushes."""
        self.git("merge", "--quiet", "--ff-only", self._pulled_branch())
        self.git("push", "--quiet", "origin", "main")

    def _pulled_branch(self) -> str:
        (branch,) = self.git("branch", "--remotes", "--list", "origin/reconcile/*").split()
        return branch

    def read(self, name: str) -> str:
        return (self.root / name).read_text()


def use(example: str, fleet: Fleet, hosts: Mapping[str, LabHost], changes: Mapping[str, str]) -> None:
    """The example as it stands, committed. `hosts` says which real host answers for which of its addresses; `changes` is what
    else is another here: text of its YAML files → text."""
    shutil.copytree(ROOT / "examples" / example, fleet.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("app"))
    for path in fleet.root.rglob("*.yaml"):
        text = path.read_text()
        for old, new in changes.items():
            text = text.replace(old, new)
        path.write_text(text)
    pins = fleet.root / "hosts" / "known_hosts"
    known = pins.read_text()
    for name, host in hosts.items():
        known += next(line for line in known.splitlines(keepends=True) if line.startswith(f"{host.address} ")).replace(
            host.address, name
        )
    pins.write_text(known)
    ssh = fleet.home / ".ssh"
    (ssh / "config").write_text(
        "".join(f"Host {name}\n  HostName {host.address}\n  HostKeyAlias {name}\n" for name, host in hosts.items())
        + f"Host *\n  IdentityFile {ssh}/id_ed25519\n  UserKnownHostsFile {pins}\n"
    )
    fleet.commit({})


def make_base_image(host: LabHost) -> None:
    """The image that the examples are built from, made of the host's own busybox and imported under the public one's name."""
    host.sh(f"""
        set -e
        root=$(mktemp -d)
        mkdir "$root/bin" "$root/tmp" "$root/etc"
        cp /bin/busybox "$root/bin"
        for applet in $(busybox --list | grep -vx busybox); do ln -sf busybox "$root/bin/$applet"; done
        tar -C "$root" -c . | docker import - {BASE_IMAGE} >/dev/null
    """)


def applied(fleet: Fleet, *hosts: str) -> Result:
    """Apply, and nothing is left to do."""
    result = fleet.apply(*hosts)
    assert result.code == 0, result
    again = fleet.plan(*hosts)
    assert again.code == 0, f"{result}\n{again}"
    return result


def checked(fleet: Fleet, *options: str) -> dict[str, dict[str, Any]]:
    """What `reconcile project check` says of each host."""
    return {one["host"]: one for one in fleet.run("project", "check", "--json", *options).json()["projects"]}


@contextlib.contextmanager
def visitors(host: LabHost, port: int, site: str) -> Iterator[Tally]:
    """Requests without a pause, from here to the end of the block. None of them is turned away, and each gets an answer."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    command = ["docker", "inspect", "--format", form, host.container]
    address = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    with under_load(address, port, site) as tally:
        yield tally
    assert tally.answers > 100, tally
    assert not tally.failures, tally
