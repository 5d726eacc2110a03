"""A project's tree on this machine: the kind `release` run by a real shell, with this user's rights and a memory of its own."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from providers.base import Change, Facts, Spec, Step, Unknown
from providers.releases.kind import ReleaseProvider, ReleaseSpec, ReleaseState
from providers.shell import Sh
from providers.tree import FileMode, Tree, TreeFile, tree_of
from tests.unit.providers.here import Here

Content = str | tuple[FileMode, str]
FIRST, SECOND = "a" * 40, "b" * 40


def tree(files: Mapping[str, Content], commit: str = FIRST, *, sentinel: bool = True) -> Tree:
    """A tree from path → text, or path → mode and text. A file with mode 0600 holds a secret."""
    made: dict[str, Content] = {**files, **({".sync_rev": f"{commit}\n"} if sentinel else {})}
    contents: dict[str, bytes] = {}
    listed = []
    for path, value in made.items():
        mode, text = value if isinstance(value, tuple) else ("0644", value)
        contents[path] = data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        listed.append(TreeFile(path, mode, f"sealed:{digest[:16]}" if mode == "0600" else digest, len(data)))
    return tree_of(commit, listed, contents.__getitem__)


class Site(Here):
    """The path of a project, and what we remember of it."""

    def __init__(self, shell: Sequence[str], folder: Path) -> None:
        super().__init__(ReleaseProvider(), shell)
        self.root = folder / "srv" / "site"
        self.memory = folder / "memory"
        self.root.parent.mkdir()
        self.memory.mkdir()
        self.parcels = folder / "parcels"

    def spec(
        self, files: Tree | Mapping[str, Content], neighbours: Mapping[str, str] | None = None, **fields: Any
    ) -> ReleaseSpec:
        asked = {"name": "site", "strategy": "mirror", "path": str(self.root), **fields}
        spec = ReleaseSpec.model_validate(asked).with_tree(files if isinstance(files, Tree) else tree(files))
        return spec.beside(neighbours or {})

    def run(self, body: Sh, **variables: str) -> subprocess.CompletedProcess[bytes]:
        remembered = {"folder": str(self.memory), "parcels": str(self.parcels), "litter": "", **variables}
        return super().run(body, **remembered)

    def changes(self, specs: Sequence[Spec]) -> list[Change[Any, Any]]:
        """As a plan would hold them, with what the closer look saw."""
        found = super().changes(specs)
        look = self.provider.look(found)
        done = self.run(look) if look is not None else None
        assert done is None or done.returncode == 0, done.stderr
        details = self.provider.seen(done.stdout if done is not None else b"", found)
        return [replace(change, detail=details.get(change.spec.ref)) for change in found]

    def steps(self, spec: ReleaseSpec) -> list[Step]:
        return list(self.provider.steps(self.changes([spec]), Facts()))

    def act(self, step: Step) -> subprocess.CompletedProcess[bytes]:
        self.parcels.mkdir(exist_ok=True)
        for number, make in enumerate(step.parcels, 1):
            (self.parcels / str(number)).write_bytes(make())
        return super().act(step)

    def state(self, spec: ReleaseSpec) -> ReleaseState:
        answer = self.ask([spec])[spec.name]
        assert isinstance(answer, ReleaseState), answer
        return answer

    def doubt(self, spec: ReleaseSpec) -> str:
        answer = self.ask([spec])[spec.name]
        assert isinstance(answer, Unknown), answer
        return answer.reason

    def gone(self, spec: ReleaseSpec) -> ReleaseSpec:
        """The same when it has left the repository: all that is known is what the inventory kept."""
        return ReleaseSpec.model_validate(spec.record() | {"name": spec.name, "ensure": "absent"})

    def notices(self, spec: ReleaseSpec) -> str:
        return "; ".join(self.provider.notices(spec, self.state(spec)))

    def files(self) -> dict[str, str]:
        """Path → content, or the target of a link after an arrow."""
        return {str(path.relative_to(self.root)): _content(path) for path in sorted(self.root.rglob("*")) if _is_leaf(path)}

    def release(self) -> Path:
        """The newest release."""
        return max((self.root / "releases").iterdir())


def _is_leaf(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _content(path: Path) -> str:
    return f"→ {path.readlink()}" if path.is_symlink() else path.read_text()
