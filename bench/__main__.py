"""`make bench`: how fast, as ratios in one run, on lab hosts.

    cold    `reconcile plan` with nothing to do, a whole process, against `bw verify` of BundleWrap on the same resources
    warm    one cycle that finds nothing to do inside one process, against the hand-written floor script over an open connection
    deploy  a tree of files, another revision of it and none, against rsync (`deploying.py`)
    looping `reconcile run` against many simulated hosts: memory over time, processor time per cycle (`looping.py`; no lab)

Runs of the two sides alternate, so that a machine that slows down slows both. The machine carries controller and hosts:
ratios count, not seconds. BundleWrap is installed from PyPI into an environment of its own; where that fails, its row
says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import workload
from deploying import Deploying
from looping import looping

from desired.git import commit_source, open_repository
from desired.load import load
from reconciler.fleet_run import FleetRun
from tests.lab.hosts import SCRIPT, Flavour, Pool

SCRATCH = Path(__file__).resolve().parents[1] / ".lab/bench"
# A lab of its own, so that it can stand beside the one of the tests.
LAB = Flavour("reconciler-bench", "127.0.5", packages="rsync", folder="bench/lab")
BUNDLEWRAP = "bundlewrap==5.2.0"
GOALS = {("cold", False): 0.5, ("cold", True): 0.1, ("warm", False): 1.3, ("warm", True): 1.3}
"""(what, several hosts) → the ratio that is wanted at most"""
CPU_GOAL = 6.0


def run(*command: str, folder: Path | None = None, env: dict[str, str] | None = None, codes: tuple[int, ...] = (0,)) -> str:
    """What the command printed; ends the benchmark when it failed."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        sys.exit(
            f"bench: {' '.join(command)} ended with status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done.stdout


class Bench:
    """The lab hosts, the three contenders, and what was measured."""

    def __init__(self, count: int, rounds: int) -> None:
        self.rounds = rounds
        self.pool = Pool(count, LAB)
        run(str(SCRIPT), "up", str(count), env=LAB.environment)
        self.hosts = {f"lab{number}": f"{LAB.net}.{number}" for number in range(1, count + 1)}
        self.fleet = SCRATCH / "fleet"
        self.home = SCRATCH / "home"
        self.config = SCRATCH / "ssh_config"
        self.rows: list[dict[str, object]] = []

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "BW_COLORS": "0",
            "BW_SSH_ARGS": f"-F {self.config}",
            "BW_SCP_ARGS": f"-F {self.config}",
        }

    def prepare(self) -> None:
        """Writes all three sides, and brings the hosts to the state with `reconcile apply`."""
        (self.home / ".ssh").mkdir(parents=True, exist_ok=True)
        key = self.home / ".ssh/id_ed25519"
        key.unlink(missing_ok=True)
        key.symlink_to(self.pool.key.resolve())
        workload.fleet(self.fleet, self.hosts, self.pool.known_hosts())
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=bench"]):
            run("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", *command, folder=self.fleet)
        workload.bundlewrap(SCRATCH / "bundlewrap", list(self.hosts))
        self.config.write_text(self._ssh_config())
        print("bringing the hosts to the state that is measured …", flush=True)
        reconcile = str(Path(sys.executable).with_name("reconcile"))
        # The images have no package lists yet; the first contender to need them would be charged for the network.
        run(reconcile, "-C", str(self.fleet), "apply", "--yes", env=self.environment)
        if "nothing to do" not in run(reconcile, "-C", str(self.fleet), "plan", env=self.environment):
            sys.exit("bench: the hosts did not converge")

    def _ssh_config(self) -> str:
        blocks = [f"Host {name}\n  HostName {address}\n" for name, address in self.hosts.items()]
        general = [
            "User ops",
            f"IdentityFile {self.pool.key.resolve()}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {(self.pool.folder / 'known_hosts').resolve()}",
            "ControlMaster auto",
            "ControlPersist 600s",
            f"ControlPath {SCRATCH}/%C",
        ]
        return "".join(blocks) + "Host *\n" + "".join(f"  {line}\n" for line in general)

    def peer(self) -> Path | None:
        """BundleWrap's command, or None where it is not to be had."""
        folder = SCRATCH / "venv"
        if not (folder / "bin/bw").exists():
            made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, check=False)
            got = subprocess.run([str(folder / "bin/pip"), "install", "--quiet", BUNDLEWRAP], capture_output=True, check=False)
            if made.returncode or got.returncode:
                return None
        return folder / "bin/bw"

    def timed(self, *command: str, folder: Path | None = None) -> float:
        began = time.monotonic()
        run(*command, folder=folder, env=self.environment)
        return time.monotonic() - began

    def cold(self, count: int) -> None:
        names = list(self.hosts)[:count]
        reconcile = str(Path(sys.executable).with_name("reconcile"))
        bw = self.peer()
        ours, theirs = [], []
        for number in range(self.rounds + 1):
            own = self.timed(reconcile, "-C", str(self.fleet), "plan", *names)
            peer = (
                self.timed(str(bw), "verify", "-p", str(count), "-P", "8", *names, folder=SCRATCH / "bundlewrap") if bw else 0.0
            )
            if number:  # the first round warms the connections of the one and the page cache of both
                ours.append(own)
                theirs.append(peer)
        self.report("cold", count, ours, theirs if bw else [], "bw verify")

    def warm(self, count: int) -> None:
        asyncio.run(self._warm(count))

    async def _warm(self, count: int) -> None:
        fleet = load(commit_source(open_repository(self.fleet)))
        hosts = [fleet.hosts[name] for name in list(self.hosts)[:count]]
        floor = workload.floor().encode()
        async with FleetRun(fleet, hosts) as fleet_run:
            plan = await fleet_run.survey()
            if plan.changes or any(host.problem for host in plan.hosts):
                problems = [f"{host.host}: {host.problem}" for host in plan.hosts if host.problem]
                sys.exit("\n".join([f"bench: the hosts are not as asked: {plan.summary()}", *problems]))
            channels = [item.session.channel for item in fleet_run.runs.values() if item.session is not None]

            async def hand_written() -> None:
                for output in await asyncio.gather(*(channel.run(floor) for channel in channels)):
                    if output.status != 0 or not output.stdout.endswith(b"#end\n"):
                        sys.exit("bench: the floor script failed")

            async def ours() -> None:
                await fleet_run.survey()

            own, own_cpu, base, base_cpu = [], [], [], []
            for number in range(self.rounds * 4 + 1):
                for action, walls, cpus in ((hand_written, base, base_cpu), (ours, own, own_cpu)):
                    wall, cpu = await measure(action)
                    if number:
                        walls.append(wall)
                        cpus.append(cpu)
        per_host = statistics.median(own_cpu) / count * 1000
        floor_cpu = statistics.median(base_cpu) / count * 1000
        cpu = {"cpu_ms": round(per_host, 2), "floor_cpu_ms": round(floor_cpu, 2)}
        self.report("warm", count, own, base, "floor", **cpu)

    def deploy(self, counts: Sequence[int]) -> None:
        """A tree of files, against rsync."""
        if shutil.which("rsync") is None:
            self.rows.append({"what": "deploy", "note": "rsync is not installed here"})
            print(self.rows[-1]["note"])
            return
        deploying = Deploying(SCRATCH / "deploying", self.hosts, self.pool.known_hosts(), self.config)
        print(f"fetching and building the tree takes {deploying.built * 1000:.0f} ms of the controller, once per commit")
        for count in counts:
            for what, (own, peer) in asyncio.run(deploying.measure(count, self.rounds)).items():
                self.report(f"deploy: {what}", count, own, peer, "rsync")

    def report(self, name: str, count: int, ours: list[float], other: list[float], against: str, **more: float) -> None:
        row: dict[str, object] = {"what": name, "hosts": count, "seconds": round(statistics.median(ours), 4), **more}
        if other:
            ratios = [own / base for own, base in zip(ours, other, strict=True)]
            row |= {
                against: round(statistics.median(other), 4),
                "ratio": round(statistics.median(ratios), 3),
                "goal": GOALS.get((name, count > 1), 1.0),
            }
        else:
            row["note"] = f"{BUNDLEWRAP} could not be installed"
        self.rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


async def measure(action: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """(wall, CPU of this process) of one action, in seconds."""
    await asyncio.sleep(0.05)
    wall, cpu = time.monotonic(), time.process_time()
    await action()
    return time.monotonic() - wall, time.process_time() - cpu


def measured_in_the_lab(options: argparse.Namespace) -> list[dict[str, object]]:
    bench = Bench(options.hosts, options.rounds)
    bench.prepare()
    for count in (1, options.hosts):
        if options.only in (None, "warm"):
            bench.warm(count)
        if options.only in (None, "cold"):
            bench.cold(count)
    if options.only in (None, "deploy"):
        bench.deploy((1, options.hosts))
    return bench.rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10, help="lab hosts of the larger case (default 10)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each measurement (default 5)")
    parser.add_argument("--only", choices=["cold", "warm", "deploy", "looping"], help="measure only this")
    parser.add_argument("--cycles", type=int, default=60, help="cycles of each host under the loop (default 60)")
    parser.add_argument("--crowd", type=int, default=200, help="simulated hosts under the loop (default 200)")
    parser.add_argument("--interval", default="1s", help="how often the loop visits each of them (default 1s)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    os.environ.update(HOME=str(SCRATCH / "home"))  # the lab's key, and nobody's own settings
    rows = measured_in_the_lab(options) if options.only != "looping" else []
    if options.only in (None, "looping"):

        def report(what: str, **figures: float) -> None:
            rows.append({"what": what, **figures})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)

        scratch = SCRATCH / f"looping-{os.getpid()}"  # so that two runs do not meet
        looping(scratch, options.crowd, options.cycles, options.interval, report)
        shutil.rmtree(scratch)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"CPU of the controller per host and warm cycle: goal at most {CPU_GOAL} ms")


main()
