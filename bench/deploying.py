"""Deploying a tree of 500 files (3 MB) against rsync, each over connections that are open already.

    revision   another commit with 5 changed files: probe, plan, send, prove and record, against `rsync -a --delete`
    nothing    the same commit again

rsync compares with a folder that lies ready; fetching from git and building the tree are therefore not part of it on our side
either, and are told apart.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from desired.deploy.expand import Cache, expand
from desired.git import commit_source, open_repository
from desired.load import load
from desired.model import Fleet
from desired.scan.scanner import Scanner
from desired.secrets.vault import Vault
from desired.sources.resolve import Sources
from reconciler.cycle import Session
from reconciler.fleet_run import FleetRun
from state.channel import Channel

FILES = 500
CHANGED = 5
HERE = "/srv/bench-rsync/"
PROJECT = """\
source: {source}
revision: {revision}
deploy: [{{tag: bench, path: /srv/bench-tree}}]
"""


class Deploying:
    """The two commits, a fleet for each, and a folder for each that rsync sends."""

    def __init__(self, folder: Path, hosts: Mapping[str, str], known_hosts: str, ssh_config: Path) -> None:
        self.folder, self.hosts, self.known_hosts, self.ssh_config = folder, hosts, known_hosts, ssh_config
        shutil.rmtree(folder, ignore_errors=True)
        self.source = folder / "source"
        self.source.mkdir(parents=True)
        self.commits = self._history()
        self.built = 0.0
        self.fleets = [self._fleet(commit) for commit in self.commits]

    def git(self, folder: Path, *arguments: str) -> str:
        command = ["git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@example.org", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _history(self) -> list[str]:
        chance = random.Random(17)
        self.git(self.source, "init", "--quiet", "--initial-branch=main")
        for number in range(FILES):
            path = self.source / f"part{number % 20}/file{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(chance.randbytes(3000).hex().encode())
        commits = []
        for turn in range(2):
            if turn:
                for number in range(0, FILES, FILES // CHANGED):
                    (self.source / f"part{number % 20}/file{number}.txt").write_bytes(chance.randbytes(3000).hex().encode())
            self.git(self.source, "add", "--all")
            self.git(self.source, "commit", "--quiet", f"--message=turn {turn}")
            commits.append(self.git(self.source, "rev-parse", "HEAD"))
            self.git(self.source, "worktree", "add", "--quiet", "--detach", str(self.folder / f"tree{turn}"))
        return commits

    def _fleet(self, commit: str) -> Fleet:
        folder = self.folder / f"fleet-{commit[:7]}"
        (folder / "hosts").mkdir(parents=True)
        (folder / "projects").mkdir()
        (folder / "fleet.yaml").write_text("secret_scan: off\n")
        (folder / "hosts/known_hosts").write_text(self.known_hosts)
        for name, address in self.hosts.items():
            (folder / f"hosts/{name}.yaml").write_text(f"address: root@{address}\ntags: [bench]\n")
        text = PROJECT.format(source=self.source, revision=commit)
        (folder / "projects/tree.yaml").write_text(text)
        self.git(folder, "init", "--quiet", "--initial-branch=main")
        self.git(folder, "add", "--all")
        self.git(folder, "commit", "--quiet", "--message=bench")
        fleet = load(commit_source(open_repository(folder)))
        began = time.monotonic()
        expanded = expand(fleet, Sources(self.folder / "cache"), Vault(), Scanner(None), cache=Cache())
        self.built = time.monotonic() - began
        return expanded

    async def measure(self, count: int, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
        """What → (seconds of ours, seconds of rsync), alternating."""
        names = list(self.hosts)[:count]
        channels: dict[str, Channel] = {}
        times: dict[str, tuple[list[float], list[float]]] = {"revision": ([], []), "nothing": ([], [])}
        for number in range(-2, 2 * rounds):
            turn = number % 2
            fleet = self.fleets[turn]
            run = FleetRun(replace(fleet, commit=self.commits[turn]), [fleet.hosts[name] for name in names])
            for name, channel in channels.items():
                run.runs[name].session = Session(fleet.hosts[name], channel)
            own = await self._ours(run)
            peer = await self._rsync(names, turn)
            own_again = await _timed(run.survey())
            peer_again = await self._rsync(names, turn)
            channels = {name: item.session.channel for name, item in run.runs.items() if item.session is not None}
            if number >= 0:
                for what, values in (("revision", (own, peer)), ("nothing", (own_again, peer_again))):
                    for side, value in zip(times[what], values, strict=True):
                        side.append(value)
        await asyncio.gather(*(channel.close() for channel in channels.values()))
        return times

    async def _ours(self, run: FleetRun) -> float:
        began = time.monotonic()
        plan = await run.survey()
        await run.converge(exact=False)
        seconds = time.monotonic() - began
        bad = [f"{name}: {item.outcome or item.plan}" for name, item in run.runs.items() if not _converged(item.outcome)]
        if bad or not plan.changes:
            sys.exit("\n".join(["bench: the tree was not deployed", *bad]))
        await run.survey()  # the next one is a cycle that knows the host
        return seconds

    async def _rsync(self, names: list[str], turn: int) -> float:
        async def one(name: str) -> None:
            command = ["rsync", "-a", "--delete", "--exclude=.git", "-e", f"ssh -F {self.ssh_config} -l root"]
            process = await asyncio.create_subprocess_exec(*command, f"{self.folder}/tree{turn}/", f"{name}:{HERE}")
            if await process.wait():
                sys.exit("bench: rsync failed")

        return await _timed(asyncio.gather(*(one(name) for name in names)))


def _converged(outcome: object) -> bool:
    return getattr(outcome, "status", "") == "converged"


async def _timed(work: object) -> float:
    began = time.monotonic()
    await work  # type: ignore[misc]
    return time.monotonic() - began


def ratio(pair: tuple[list[float], list[float]]) -> tuple[float, float, float]:
    """(ours, theirs, ratio), medians."""
    own, peer = pair
    return statistics.median(own), statistics.median(peer), statistics.median(a / b for a, b in zip(own, peer, strict=True))
