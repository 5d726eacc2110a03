"""This machine as a host of a project: a release folder, what the host notes of it, and commands that really run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from providers.base import Change, Facts, Provider, Spec, Step, Unknown
from providers.runners.models import CommandRunner
from providers.shell import Sh
from providers.tree import Tree, TreeFile, tree_of
from reconciler.wording import changed_fields
from tests.unit.providers.here import Here

START = """[ ! -e broken ] || exit 3
[ ! -e pid ] || kill "$(cat pid)" 2>/dev/null
sleep 600 </dev/null >/dev/null 2>&1 &
echo $! >pid
echo "$SLOT$WORD" >>started"""
SERVER = CommandRunner(
    start=START,
    stop='kill "$(cat pid)" && rm pid',
    status='grep -q sleep "/proc/$(cat pid)/cmdline"',
    env={"WORD": "it's $(id)"},
    timeout=20,
)


def trees(*names: str) -> dict[str, Tree]:
    """Trees that differ in one file."""
    return {name: tree_of(name[0] * 40, [TreeFile("name", "0644", name[0] * 64, 1)], str.encode) for name in names}


def passed(_: Step) -> bool:
    return True


class ProjectHere(Here):
    """One kind, with a project that lies below `root`."""

    def __init__(self, provider: Provider[Any, Any], root: Path, shell: Sequence[str] = ("sh",)) -> None:
        super().__init__(provider, shell)
        self.root = root.resolve()
        self.home = self.root / "it's home"
        self.notes = self.root / "inventory" / "projects" / "shop"

    def run(self, body: Sh, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return super().run(body, folder=str(self.root / "inventory"), litter=str(self.root / "litter"), **variables)

    def install(self, tree: Tree, *, broken: bool = False, number: int = 1) -> Path:
        """A release as `release:shop` would leave it."""
        name = f"20261120T10000{number}Z-{tree.commit[:7]}"
        release = self.home / "releases" / name
        release.mkdir(parents=True)
        if broken:
            (release / "broken").touch()
        self.notes.joinpath("releases").mkdir(parents=True, exist_ok=True)
        self.notes.joinpath("releases", f"{name}.index").write_text(tree.index)
        return release

    def plan(self, specs: Sequence[Spec], **others: object) -> list[Change[Any, Any]]:
        """As a cycle plans: what is asked for in view of what the host is. A doubt is no change."""
        found = self.ask(specs)
        answers = {spec.ref: found[spec.name] for spec in specs} | {
            ref.replace("_", ":"): state for ref, state in others.items()
        }
        changes = []
        for spec in specs:
            aimed, before = self.provider.aim(spec, answers), answers[spec.ref]
            if isinstance(aimed, Unknown) or isinstance(before, Unknown):
                continue
            after = self.provider.want(aimed)
            fields = changed_fields(before, after) if before is not None and after is not None else frozenset[str]()
            if fields or (before is None) != (after is None):
                changes.append(Change(aimed, before, after, fields))
        return changes

    def carry_out(self, steps: Iterable[Step], check: Callable[[Step], bool] = passed) -> list[str]:
        """Runs steps as a cycle does: what follows a failure is left out, and what rescues is done. The titles."""
        done, failed = [], False
        for step in steps:
            if step.rescues != failed:
                continue
            done.append(step.title)
            failed = not check(step) if step.check is not None else self.act(step).returncode != 0 or failed
        return done

    def deploy(self, *specs: Spec, check: Callable[[Step], bool] = passed, **others: object) -> list[str]:
        return self.carry_out(self.provider.steps(self.plan(specs, **others), Facts()), check)

    def tidy(self) -> None:
        for pid in self.root.rglob("pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGKILL)
