"""An application's repository, deployed to one real host, and an oracle that knows none of the project's code.

What a host should hold is asked of git's own command line; what it does hold of `find` and `sha256sum` there.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.fleet import Fleet, Result
from tests.lab.hosts import LabHost
from tests.lab.trial import Trial

PATH = "/srv/site"
MEMORY = "/var/lib/reconciler"


@dataclass(frozen=True, slots=True)
class Program:
    """An executable file."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


Content: TypeAlias = str | bytes | Program | Link | None
Tree: TypeAlias = Mapping[str, Content]


@dataclass
class Site:
    """The application `site`, its fleet and its host."""

    fleet: Fleet
    host: LabHost
    strategy: str = "mirror"
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trial = Trial(self.fleet, self.host)
        self.source.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        # Git's own idea of a work tree must not be bent by odd names.
        self.git("config", "core.quotePath", "false")

    @property
    def source(self) -> Path:
        return self.fleet.home / "site"

    def git(self, *arguments: str) -> str:
        return self._git(*arguments).decode(errors="surrogateescape").strip()

    def _git(self, *arguments: str) -> bytes:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=self.source, env=self.fleet.environment, stdout=subprocess.PIPE, check=True).stdout

    def commit(self, tree: Tree, message: str = "a revision") -> str:
        """What changes: a path → its content; None removes what is there. The full id of the commit."""
        for name, content in tree.items():
            path = self.source / name
            if path.is_symlink() or path.exists():
                subprocess.run(["rm", "-rf", "--", str(path)], check=True)
            if content is None:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                path.symlink_to(content.target)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content.text if isinstance(content, Program) else content)
                path.chmod(0o755 if isinstance(content, Program) else 0o644)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def declare(self, revision: str, **changes: Any) -> str:
        """The fleet asks for a revision. JSON is YAML."""
        asked = {
            "source": str(self.source),
            "revision": revision,
            "deploy": [{"host": self.host.name, "path": PATH}],
            "strategy": self.strategy,
            "runtime": "none",
        }
        text = json.dumps({**asked, **self.settings, **changes}, indent=1)
        return self.trial.declare({}, {"projects/site.yaml": text})

    def deploy(self, tree: Tree, **changes: Any) -> str:
        """A revision is committed, asked for and applied. The commit."""
        revision = self.commit(tree)
        self.declare(revision, **changes)
        self.apply()
        return revision

    def roll_back(self) -> Result:
        """To what served before, now."""
        return self.fleet.run("rollback", "site", "--apply", "--yes")

    def withdraw(self) -> None:
        """The project leaves the fleet, and nothing is left to do."""
        self.trial.declare({}, {"projects/site.yaml": None})
        self.apply()
        self.idle()

    def idle(self) -> None:
        """Nothing is left to do."""
        plan = self.fleet.plan()
        assert plan.code == 0, plan

    def apply(self, code: int = 0) -> Result:
        result = self.fleet.apply()
        assert result.code == code, result
        return result

    # What git says, and what the host has.

    def wanted(self, revision: str) -> dict[str, str]:
        """Path → `l TARGET`, or the mode and the digest of a file, as the commit has it."""
        found = {}
        for line in self._git("ls-tree", "-r", "-z", revision).split(b"\0")[:-1]:
            facts, _, raw = line.partition(b"\t")
            mode, _, blob = facts.split()
            content = self._git("cat-file", "blob", blob.decode())
            path = raw.decode(errors="surrogateescape")
            if mode == b"120000":
                found[path] = f"l {content.decode()}"
            else:
                found[path] = f"{mode[-3:].decode()} {hashlib.sha256(content).hexdigest()}"
        return found

    def found(self, path: str = PATH, *but: str) -> dict[str, str]:
        """The same of what lies at a path of the host, but for some names at its top."""
        pruned = " ".join(f"-path './{name}' -prune -o" for name in ("*.sync_rev", ".git", *but))
        script = f"""cd {path} && find . {pruned} -type l -printf '%P\\0l %l\\0' -o -type f -printf '%P\\0%m ' \
            -exec sh -c 'printf "%s\\0" "$(sha256sum <"$1")"' - {{}} ';'"""
        words = self.host.sh(script).split("\0")[:-1]
        return {name: says.removesuffix("  -") for name, says in zip(words[::2], words[1::2], strict=True)}

    def inodes(self, path: str = PATH) -> dict[str, str]:
        """Path → inode and time of change, of all that lies there."""
        lines = self.host.sh(f"find {path} -printf '%p\\t%i %C@\\0'").split("\0")[:-1]
        return dict(line.split("\t") for line in lines)

    def notes(self, result: Result, ref: str) -> str:
        """What a plan says of one resource, in one text."""
        (host,) = result.json()["hosts"]
        return "\n".join(json.dumps(action, ensure_ascii=False) for action in host["actions"] if action["ref"] == ref)

    def kill(self, times: int, seed: int) -> None:
        """Starts to apply and kills the controller somewhere on the way, again and again."""
        chance = random.Random(seed)
        for _ in range(times):
            with self.trial.applying() as running:
                time.sleep(chance.uniform(0.3, 1.6))
                running.kill()

    def litter(self) -> list[str]:
        """Files of ours that should have gone with the run that made them."""
        known = r"^(inventory|lock|projects)$"
        left = [name for name in self.host.sh(f"ls -A {MEMORY}").split() if not re.match(known, name)]
        return left + self.host.sh(f"find {PATH} {MEMORY} -name '.*reconciler-*' -o -name '*.new'").split()


def sent(result: Result) -> Sequence[str]:
    """The steps that sent content."""
    return [line for line in result.err.splitlines() if re.search(r"[✓✗] send ", line)]
