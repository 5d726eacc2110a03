"""One host under one manifest, through the installed `reconcile` command: `Trial` holds at every step what must always be true.

- A plan writes nothing on the host.
- What `apply` does is what `plan` showed just before: the same actions, and all of them.
- After a success nothing is left to do, and to be told so costs the host not one changed inode.

What a host is like is asked past all of the project's code (`host.sh`, and `look` in here).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tests.fleet import Fleet, Result, reconcile_command
from tests.lab.hosts import LabHost

Manifest: TypeAlias = Mapping[str, Any]

WATCHED = "/etc /home /opt /srv /usr/local /var/lib/reconciler"
"""Folders in which everything is compared before and after a command that must not write."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at a path. `times` change with every write, and with every entry that comes to or goes from a folder."""

    kind: str
    inode: str
    mode: str
    owner: str
    target: str
    times: str


Snapshot: TypeAlias = Mapping[str, Entry]


def lasting(snapshot: Snapshot) -> Snapshot:
    """Without the times of folders, which only tell that something in them was touched."""
    return {path: replace(entry, times="") if entry.kind == "d" else entry for path, entry in snapshot.items()}


def differing(before: Snapshot, after: Snapshot) -> set[str]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


@dataclass(frozen=True, slots=True)
class Planned:
    """What `reconcile plan --json` said about the host."""

    result: Result

    @property
    def host(self) -> dict[str, Any]:
        (host,) = self.result.json()["hosts"]
        return dict(host)

    @property
    def actions(self) -> dict[str, dict[str, Any]]:
        """By the name under which an outcome speaks of them: the reference, or `refresh` and the reference."""
        return {work(action): action for action in self.host["actions"]}

    @property
    def signs(self) -> dict[str, str]:
        """Reference → create, change, delete; `refresh REFERENCE` → restart, reload, run."""
        return {name: action["verb"] or action["action"] for name, action in self.actions.items()}

    @property
    def unknown(self) -> dict[str, str]:
        return {item["ref"]: item["reason"] for item in self.host["unknown"]}

    @property
    def released(self) -> dict[str, str]:
        return dict(self.host["released"])

    def fields(self, ref: str) -> dict[str, tuple[str, str]]:
        """What differs: field → before, after."""
        return {field["field"]: (field["before"], field["after"]) for field in self.actions[ref]["fields"]}


@dataclass(frozen=True, slots=True)
class Applied:
    """What `reconcile apply --json` did, with the plan that was made just before."""

    planned: Planned
    result: Result
    before: Snapshot
    after: Snapshot

    @property
    def outcome(self) -> dict[str, Any]:
        (outcome,) = self.result.json()["outcomes"].values()
        return dict(outcome)

    @property
    def fates(self) -> dict[str, str]:
        return dict(self.outcome["fates"])

    @property
    def said(self) -> dict[str, str]:
        """What failed → the host's last words about it."""
        return {failure["name"]: failure["output"] for failure in self.outcome["failures"]}

    @property
    def touched(self) -> set[str]:
        """Every path in the watched folders that came, went or changed; our own memory apart."""
        return {
            path for path in differing(lasting(self.before), lasting(self.after)) if not path.startswith("/var/lib/reconciler")
        }


def work(action: Mapping[str, Any]) -> str:
    return f"refresh {action['ref']}" if action["action"] == "refresh" else str(action["ref"])


class Trial:
    """`declare` what should be, then `converge`, or `fail` where the host cannot or must not be brought there."""

    def __init__(self, fleet: Fleet, host: LabHost, *, user: str = "root", become: str = "none", settings: str = "") -> None:
        self.fleet = fleet
        self.host = host
        self._head = {"address": f"{user}@{host.address}", "become": become}
        fleet.write({"fleet.yaml": settings})

    def declare(self, manifest: Manifest, files: Mapping[str, str | bytes | None] | None = None) -> str:
        """Commits the whole manifest of the host, and files of the repository that come or change with it."""
        # JSON is YAML, and it takes any name.
        text = json.dumps({**self._head, **manifest}, indent=1)
        return self.fleet.commit({**(files or {}), f"hosts/{self.host.name}.yaml": text})

    def look(self) -> Snapshot:
        found = self.host.sh(f"find {WATCHED} -printf '%y %i %m %U:%G %T@,%C@ %l\\t%p\\0' 2>/dev/null; true")
        entries = {}
        for line in found.split("\0")[:-1]:
            facts, _, path = line.partition("\t")
            kind, inode, mode, owner, times, target = facts.split(" ", 5)
            entries[path] = Entry(kind, inode, mode, owner, target, times)
        return entries

    def plan(self) -> Planned:
        """The plan; making it changes nothing on the host."""
        before = self.look()
        result = self.fleet.plan("--json")
        assert result.out, result
        planned = Planned(result)
        assert result.code == (1 if planned.unknown else 2 if planned.signs else 0), result
        assert not planned.host["problem"], result
        assert self.look() == before, "a plan changed the host"
        return planned

    def converge(self, *options: str) -> Applied:
        """Plan, apply, and nothing left to do."""
        applied = self._apply(*options)
        assert not applied.planned.unknown, applied.planned.result
        assert applied.result.code == 0, applied.result
        assert set(applied.fates.values()) <= {"done"}, applied.result
        self.settle()
        return applied

    def fail(self, *options: str) -> Applied:
        """Plan and apply where not everything can be done: exit status 3."""
        applied = self._apply(*options)
        assert applied.result.code == 3, applied.result
        assert applied.outcome["status"] == "failed", applied.result
        return applied

    def heal(self, edit: str) -> dict[str, str]:
        """Changes the host by hand and applies, without the other questions; what was done, as `Planned.signs` says it."""
        self.host.sh(edit)
        result = self.fleet.apply("--json")
        assert result.code == 0, f"after {edit}: {result}"
        (host,) = result.json()["plan"]["hosts"]
        return {work(action): action["verb"] or action["action"] for action in host["actions"]}

    @contextlib.contextmanager
    def applying(self) -> Iterator[subprocess.Popen[bytes]]:
        """`reconcile apply` in the background, to be killed or waited for."""
        command = [reconcile_command(), "-C", str(self.fleet.root), "apply", "--yes"]
        with subprocess.Popen(
            command, cwd=self.fleet.home, env=self.fleet.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as running:
            try:
                yield running
            finally:
                running.kill()

    def kill_script(self) -> None:
        """Kills the shell on the host that runs the steps of `applying`; the step that it is at is left to itself."""
        self.host.sh("kill -9 $(pgrep -o -x -f '/bin/sh -s')")

    def settle(self) -> None:
        """Nothing to do, for a plan and for an apply, and both leave the host alone to the last inode."""
        before = self.look()
        plan = self.fleet.plan("--json")
        assert plan.out, plan
        assert (plan.code, Planned(plan).signs, Planned(plan).unknown) == (0, {}, {}), plan
        again = self.fleet.apply("--json")
        assert again.code == 0, again
        after = self.look()
        assert after == before, f"doing nothing changed {sorted(differing(before, after))}"

    def _apply(self, *options: str) -> Applied:
        planned = self.plan()
        before = self.look()
        result = self.fleet.apply("--json", *options)
        assert result.code in {0, 3}, result
        shown, (done,) = planned.host, result.json()["plan"]["hosts"]
        assert done == shown, f"what was applied is not what was planned:\n{planned.result}\n{result}"
        applied = Applied(planned, result, before, self.look())
        held = {name for name, action in planned.actions.items() if action["held"]}
        assert applied.fates.keys() == planned.actions.keys() - held, result
        return applied
