"""`reconcile run` against many simulated hosts: does it stay small?

    quiet        every host is as asked: processor time and bytes per cycle, and whether memory grows with the cycles
    drifting     at any time one host in thirty has drifted and is put right
    unreachable  nothing answers any more: what that costs, and how soon all are visited again when they come back

Everything is counted from outside: memory and processor time by the kernel, cycles by the hosts (a quiet cycle is one script).
Memory is flat when the median of the last fifth of the samples is not above that of the second fifth; the slope is that of a
line through all samples after the first fifth. Called by `make bench`; by hand: `python bench --only looping --cycles 1000`.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from simulated import Counted, Simulated, fleet_files

RESOURCES = 40
ONE_IN = 30
EVERY = 2.0
"""Seconds between two samples."""
_TICKS = os.sysconf("SC_CLK_TCK")

Report: TypeAlias = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    scripts: int
    received: int
    sent: int
    rss: int
    """KiB."""
    cpu: float
    """Seconds of processor time, of user and system."""


@dataclass(slots=True)
class Phase:
    """What was seen in a stretch of time."""

    hosts: int
    samples: list[Sample] = field(default_factory=list)

    def _gained(self, name: str) -> float:
        return float(getattr(self.samples[-1], name) - getattr(self.samples[0], name))

    @property
    def cycles(self) -> float:
        """Of each host, on average."""
        return self._gained("scripts") / self.hosts

    @property
    def seconds(self) -> float:
        return self._gained("at")

    @property
    def cpu_share(self) -> float:
        return self._gained("cpu") / self.seconds

    def per_script(self, name: str) -> float:
        return self._gained(name) / max(1.0, self._gained("scripts"))

    def fifth(self, number: int) -> float:
        """Median of the memory in one fifth of the samples, MiB."""
        size = max(1, len(self.samples) // 5)
        start = min(len(self.samples) - size, (number - 1) * size)
        return statistics.median(sample.rss for sample in self.samples[start : start + size]) / 1024

    @property
    def slope(self) -> float:
        """MiB of memory per 1,000 cycles of each host."""
        later = self.samples[len(self.samples) // 5 :]
        done = [sample.scripts / self.hosts for sample in later]
        if len(set(done)) < 2:
            return 0.0
        return statistics.linear_regression(done, [sample.rss for sample in later]).slope * 1000 / 1024


class Looping:
    """The hosts, their fleet, and the loop that runs."""

    def __init__(self, scratch: Path, hosts: int, interval: str) -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        self.scratch, self.interval = scratch, interval
        self.simulated = Simulated(scratch / "simulated", hosts)
        self.random = random.Random(20240101)

    @contextmanager
    def running(self) -> Iterator[None]:
        with self.simulated:
            self._prepare()
            log = (self.scratch / "log").open("wb")
            reconcile = str(Path(sys.executable).with_name("reconcile"))
            # Nothing can be sent and nothing listens: what is measured is the loop with its desk and its history.
            command = [reconcile, "-C", str(self.scratch / "fleet"), "run", "--state", str(self.scratch / "state")]
            self.process = subprocess.Popen(
                [*command, "--no-listen", "--no-alerts"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )
            try:
                yield
            finally:
                self.process.terminate()
                try:
                    self.process.wait(60)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    print("bench: the loop did not end within 60 s")

    @property
    def _environment(self) -> dict[str, str]:
        names = {f"GIT_{who}_{what}": "bench@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {"HOME": str(self.scratch / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **names}

    def _prepare(self) -> None:
        (self.scratch / "home/.ssh").mkdir(parents=True)
        shutil.copy(self.simulated.key, self.scratch / "home/.ssh/id_ed25519")
        files = fleet_files(self.simulated, RESOURCES, f"interval: {self.interval}\npoll: 30s\n")
        for name, content in files.items():
            path = self.scratch / "fleet" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=bench"]):
            subprocess.run(["git", *command], cwd=self.scratch / "fleet", env=self._environment, check=True)

    def sample(self) -> Sample:
        if self.process.poll() is not None:
            sys.exit(f"bench: the loop ended with status {self.process.returncode}; see {self.scratch}/log")
        proc = Path("/proc") / str(self.process.pid)
        resident = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS:"))
        times = (proc / "stat").read_text().rpartition(")")[2].split()
        counted = list(self.simulated.counted().values())
        return Sample(
            at=time.monotonic(),
            scripts=sum(host.scripts for host in counted),
            received=sum(host.received for host in counted),
            sent=sum(host.sent for host in counted),
            rss=int(resident.split()[1]),
            cpu=(int(times[11]) + int(times[12])) / _TICKS,
        )

    def watch(self, over: Callable[[Phase], bool], act: Callable[[], object] = lambda: None) -> Phase:
        """Samples until it is over; `act` is done with each."""
        phase = Phase(self.simulated.count, [self.sample()])
        while len(phase.samples) < 3 or not over(phase):
            act()
            time.sleep(EVERY)
            phase.samples.append(self.sample())
        return phase

    def settle(self, seconds: float = 600) -> float:
        """Until every host was asked twice with the same answer, and nothing is run any more; how long that took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            before = self.simulated.counted()
            time.sleep(EVERY)
            after = self.simulated.counted()
            if all(_quiet(before[name], after[name]) for name in before):
                return time.monotonic() - began
        sys.exit(f"bench: the hosts did not come to rest within {seconds:g} s; see {self.scratch}/log")

    def drift(self) -> None:
        """One host in thirty, another choice each time."""
        names = list(self.simulated.hosts)
        chosen = self.random.sample(names, max(1, len(names) // ONE_IN))
        number = self.random.randrange(RESOURCES)
        self.simulated.tell("drift", chosen, file=f"srv/file{number}", content=f"edited by hand {self.random.random()}\n")


def _quiet(before: Counted, after: Counted) -> bool:
    return bool(after.scripts > before.scripts > 1 and after.shells == before.shells)


def looping(scratch: Path, hosts: int, cycles: int, interval: str, report: Report) -> None:
    """All three measurements, in one run of the loop."""
    bench = Looping(scratch, hosts, interval)
    print(f"bringing {hosts} simulated hosts with {RESOURCES + 1} resources each to the state that is measured …", flush=True)
    with bench.running():
        first = bench.settle()
        quiet = bench.watch(lambda phase: phase.cycles >= cycles)
        report(
            "loop: quiet",
            **_about(quiet),
            cpu_ms_per_cycle=round(quiet.per_script("cpu") * 1000, 2),
            bytes_to_host=round(quiet.per_script("received")),
            bytes_from_host=round(quiet.per_script("sent")),
            first_converge_s=round(first, 1),
        )
        few = max(20.0, cycles / 10)
        drifting = bench.watch(lambda phase: phase.cycles >= few, bench.drift)
        report("loop: 1 in 30 drifting", **_about(drifting))
        healed = bench.settle()
        bench.simulated.tell("go")
        away = bench.watch(lambda phase: phase.seconds >= few)
        bench.simulated.tell("come")
        report("loop: unreachable", **_about(away), healed_after_s=round(healed, 1), back_after_s=round(bench.settle(), 1))


def _about(phase: Phase) -> dict[str, float]:
    return {
        "hosts": phase.hosts,
        "cycles": round(phase.cycles),
        "seconds": round(phase.seconds),
        "rss_mib": round(phase.fifth(2), 1),
        "rss_mib_last": round(phase.fifth(5), 1),
        "mib_per_1000_cycles": round(phase.slope, 2),
        "cpu_share": round(phase.cpu_share, 3),
    }
