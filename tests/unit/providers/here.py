"""This machine as a host: probes and steps of one kind, run by a real shell with this user's rights."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from providers.base import Change, Facts, Provider, Spec, State, Step, Unknown
from providers.shell import Sh, sh

COMMANDS = (["dash"], ["bash"], ["busybox", "sh"], ["mksh"], ["yash"])
SHELLS = [command for command in COMMANDS if shutil.which(command[0])] or [["/bin/sh"]]
AnyProvider = Provider[Any, Any]


def name_of(shell: Sequence[str]) -> str:
    return shell[0]


class Here:
    """One kind on this machine."""

    def __init__(self, provider: AnyProvider, shell: Sequence[str] = ("sh",)) -> None:
        self.provider = provider
        self.shell = shell

    def run(self, body: Sh, **variables: str) -> subprocess.CompletedProcess[bytes]:
        settings = [sh("@name@=@value@", name=name, value=value) for name, value in variables.items()]
        script = sh(
            "LC_ALL=C; export LC_ALL; unset IFS; umask 077; cd /\n@settings@\nmain() {\n@body@\n}\n(main) </dev/null\n",
            settings=Sh("\n".join(setting.text for setting in settings)),
            body=body,
        )
        return subprocess.run([*self.shell, "-s"], input=script.encode(), capture_output=True, timeout=60, check=False)

    def ask(self, specs: Sequence[Spec]) -> Mapping[str, Any]:
        """The answers of one probe, which must run without a word on stderr."""
        done = self.run(self.provider.probe(specs))
        assert done.returncode == 0, done.stderr
        return self.provider.parse(done.stdout, specs)

    def changes(self, specs: Sequence[Spec]) -> list[Change[Any, Any]]:
        """What a plan would hold."""
        answers = self.ask(specs)
        found = (self._change(spec, answers[spec.name]) for spec in specs)
        return [change for change in found if change is not None]

    def _change(self, spec: Spec, before: State | Unknown | None) -> Change[Any, Any] | None:
        assert not isinstance(before, Unknown), before.reason
        after: State | None = self.provider.want(spec)
        if before is None or after is None:
            return None if before is after else Change(spec, before, after, frozenset())
        asked = after.model_dump(exclude_none=True)
        fields = frozenset(name for name, value in asked.items() if getattr(before, name) != value)
        return Change(spec, before, after, fields) if fields else None

    def act(self, step: Step) -> subprocess.CompletedProcess[bytes]:
        with tempfile.TemporaryDirectory() as stage:
            blob = Path(stage) / "blob"
            blob.write_bytes(step.blob or b"")
            body = sh("@library@\n@run@", library=self.provider.library, run=step.run)
            return self.run(body, blob=str(blob), stage=stage)

    def converge(self, *specs: Spec) -> None:
        """Applies what a plan holds; a second plan must be empty."""
        for step in self.provider.steps(self.changes(specs), Facts()):
            done = self.act(step)
            assert done.returncode == 0, f"{step.title}: {done.stdout!r} {done.stderr!r}"
        assert not self.changes(specs)

    def refusal(self, *specs: Spec) -> str:
        """Applies what cannot be applied; returns what the host said."""
        [step] = self.provider.steps(self.changes(specs), Facts())
        done = self.act(step)
        assert done.returncode != 0, step.title
        return done.stderr.decode("utf-8", "replace")
