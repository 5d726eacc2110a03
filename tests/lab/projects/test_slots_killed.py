"""Every step of a slot deployment is killed once, in four ways: the controller, the host's script, the host, its Docker engine.

Each time the site is served by a release that passed its smoke test (and, where the host itself goes on, without one failed
request), and the next cycle brings the new revision live and leaves nothing lying about. A fair sample is tried by default,
with RECONCILER_LAB_LONG=1 every step in every way. RECONCILER_LAB_PROXY is the proxy: nginx, caddy, haproxy or command.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import pytest

from tests.fleet import Fleet, Result, reconcile_command
from tests.lab.hosts import LabHost
from tests.lab.load import Tally, under_load
from tests.lab.projects.slots import CANARY, FAULT, MEMORY, NAME, PORT, SHY, Site, compose_app

LONG = os.environ.get("RECONCILER_LAB_LONG") == "1"
SAMPLE = 8
SLOW_DISK = '#!/bin/sh\nsleep 0.15\nexec /usr/bin/sync "$@"\n'
"""Steps that take milliseconds get a middle."""


@dataclass
class Run:
    """An apply under way. `ended` holds its progress: number of the step → title, and when it was told."""

    site: Site
    process: subprocess.Popen[str] = field(init=False)
    ended: dict[int, tuple[str, float]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        fleet = self.site.fleet
        command = [reconcile_command(), "-C", str(fleet.root), "apply", "--yes"]
        self.process = subprocess.Popen(
            command, cwd=fleet.home, env=fleet.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.lines.append(line)
                if found := re.match(r"\S+ (\d+)/\d+ [✓✗] (.*)", line):
                    self.ended[int(found[1])] = (found[2], time.monotonic())

    def await_step(self, number: int) -> None:
        """Until it begins: the first when the host says so, the others when the one before has ended."""
        if number == 1:
            self.site.host.wait(f"test -e {MEMORY}/running", 60)
        end = time.monotonic() + 120
        while number > 1 and not any(done >= number - 1 for done in self.ended):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"step {number} was never reached:\n{''.join(self.lines)}")
            time.sleep(0.005)

    def end(self) -> Result:
        code = self.process.wait(timeout=180)
        self.reader.join()
        said = "".join(self.lines)
        return self.site.heard(Result(("reconcile", "apply"), code, "", said))

    def has_tested(self) -> bool:
        titles = [title for title, _ in self.ended.values()]
        return any(title.startswith("smoke test") and " on port 808" in title and "failed" not in title for title in titles)


@dataclass(frozen=True)
class Moment:
    """A step, and seconds after its beginning."""

    number: int
    title: str
    delay: float

    def __str__(self) -> str:
        return f"step {self.number} ({self.title}) after {self.delay:.1f} s"


def moments(run: Run) -> list[Moment]:
    """From a run that nothing befalls: the middle of every step."""
    run.end()
    found: list[Moment] = []
    before: float | None = None
    for number, (title, ended) in sorted(run.ended.items()):
        found.append(Moment(number, title, (ended - before) / 2 if before is not None else 0.0))
        before = ended
    return found


def kill_controller(site: Site, run: Run) -> None:
    run.process.kill()


def kill_script(site: Site, run: Run) -> None:
    """The shell that runs our script, and all that it started; not sshd."""
    site.host.sh("""
        for sshd in $(pgrep -x sshd-session); do
          for child in $(pgrep -P "$sshd"); do
            case $(cat "/proc/$child/comm" 2>/dev/null) in sh) pkill -KILL -s "$child" || : ;; esac
          done
        done
    """)


def restart_host(site: Site, run: Run) -> None:
    subprocess.run(["docker", "restart", "--time", "0", site.host.container], check=True, stdout=subprocess.DEVNULL)


def stop_engine(site: Site, run: Run) -> None:
    site.host.sh("systemctl stop docker docker.socket 2>/dev/null")


def start_again(site: Site) -> None:
    site.host.wait("systemctl is-system-running --wait >/dev/null; test -S /run/systemd/private")
    site.host.sh("systemctl start docker.socket docker")
    site.host.wait("docker info >/dev/null")


WAYS: dict[str, Callable[[Site, Run], None]] = {
    "controller": kill_controller,
    "script": kill_script,
    "host": restart_host,
    "engine": stop_engine,
}
SPARED = {"controller", "script"}
"""Where nothing that serves is touched, no visitor may notice."""


@contextlib.contextmanager
def visited(site: Site, way: str) -> Iterator[Tally | None]:
    if way not in SPARED:
        yield None
        return
    with under_load(site.address, PORT, NAME, clients=4, pause=0.03) as tally:
        yield tally


def befall(site: Site, moment: Moment, way: str) -> Run:
    """One accident in an apply; afterwards the host is up again, and nothing is at work there."""
    run = Run(site)
    run.await_step(moment.number)
    time.sleep(moment.delay)
    WAYS[way](site, run)
    run.end()
    if way not in SPARED:
        start_again(site)
    site.host.wait(f"flock -n {MEMORY}/lock true", 60)
    return run


def strike(site: Site, moment: Moment, way: str, new: str) -> None:
    """One accident, and the cycle after it."""
    old = site.serves().partition(" in ")[0]
    site.release(compose_app(new))
    with visited(site, way) as tally:
        run = befall(site, moment, way)
        told = "".join(run.lines)
        served = served_soon(site)
        assert served.startswith((old, new)), f"{served!r} is served\n{told}"
        assert served.startswith(old) or run.has_tested(), f"{served} was not tested\n{told}"
        again = site.apply()
        assert again.code == 0, f"{told}\n{again}"
        assert site.serves().startswith(new), f"{told}\n{again}"
    assert_settled(site)
    if tally is not None:
        assert not tally.failures, f"{tally}\n{told}"
        assert {body.partition(" in ")[0] for body in tally.bodies} <= {old, new}, tally


def served_soon(site: Site) -> str:
    """What is served, as soon as anything is: an engine that was stopped starts its containers in the background."""
    end = time.monotonic() + 30
    while not (served := site.serves()).startswith("revision") and time.monotonic() < end:
        time.sleep(0.2)
    return served


def assert_settled(site: Site) -> None:
    plan = site.plan()
    assert plan.code == 0, plan
    assert [name for name in site.left_over() if name] == []
    known = site.inventory()
    assert known["commit"] == site.fleet.git("rev-parse", "HEAD")
    refs = {"release:site", "slot:site/blue", "slot:site/green", "route:site"}
    assert {ref for ref, entry in known["resources"].items() if entry.get("digest")} == refs, known
    live = site.live()
    noted = site.host.sh(f"cd {MEMORY}/projects/site; cat route; cat slot.{live}; cat good; readlink {current()}").splitlines()
    assert noted[0].split()[0] == live, noted
    tree, release, _ = noted[1].split()
    assert any(line.startswith(f"{tree} ") for line in noted[2:]), noted
    assert noted[-1] == f"releases/{release}", noted


def current() -> str:
    return "/srv/site/current"


@pytest.fixture
def site(docker_fleet: Fleet, docker_host: LabHost) -> Site:
    site = Site(docker_fleet, docker_host, os.environ.get("RECONCILER_LAB_PROXY", "nginx")).build()
    docker_host.sh(f"cat >/usr/local/bin/sync <<'END'\n{SLOW_DISK}END\nchmod +x /usr/local/bin/sync")
    site.deploy("revision 1")
    site.deploy("revision 2")
    return site


def sample(cases: Sequence[tuple[Moment, str]], count: int) -> list[tuple[Moment, str]]:
    """Spread over the steps; each way has its turn."""
    if LONG:
        return list(cases)
    return [cases[number * len(cases) // count // len(WAYS) * len(WAYS) + number % len(WAYS)] for number in range(count)]


def test_whatever_is_killed_the_site_is_served_and_the_next_cycle_finishes(site: Site) -> None:
    site.release(compose_app("revision 3"))
    found = moments(Run(site))
    assert site.serves().startswith("revision 3")
    troubles: list[str] = []
    for number, (moment, way) in enumerate(sample(list(product(found, WAYS)), 7), 4):
        try:
            strike(site, moment, way, f"revision {number}")
            print(f"ok      {way:10} {moment}")  # noqa: T201 a table for whoever runs all of them
        except AssertionError as trouble:
            print(f"TROUBLE {way:10} {moment}")  # noqa: T201
            troubles.append(f"{way} at {moment}: {trouble}")
            start_again(site)
            site.deploy(f"revision {number} again")
    assert not troubles, "\n\n".join(troubles)
    assert CANARY not in "".join(site.said)


def test_a_rescue_that_is_killed_is_finished_by_the_next_cycle(site: Site) -> None:
    """The revision answers with an error on its own port, or only behind the proxy."""
    numbers = iter(range(3, 1000))
    cases: list[tuple[Moment, str, str]] = []
    for start, rescue in ((SHY, "switch"), (FAULT, "quarantine"))[: 2 if LONG else 1]:
        site.release(compose_app(f"revision {next(numbers)}", start))
        (moment,) = [moment for moment in moments(Run(site)) if moment.title.startswith(rescue)]
        site.deploy(f"revision {next(numbers)}")
        cases += [(moment, way, start) for way in WAYS]
    for moment, way, start in cases if LONG else cases[1:2]:
        good = site.serves()
        site.release(compose_app(f"revision {next(numbers)}", start))
        told = "".join(befall(site, moment, way).lines)
        after = site.apply()
        assert after.code in (3, 7), f"{told}\n{after}"
        assert site.serves() == good, f"{told}\n{after}"
        plan = site.plan()
        assert "failed its smoke test" in plan.out, f"{told}\n{after}\n{plan}"
        print(f"ok      {way:10} {moment}")  # noqa: T201
        site.deploy(f"revision {next(numbers)}")
        assert_settled(site)
