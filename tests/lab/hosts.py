"""Real hosts for tests: taken fresh, used alone, and looked at without any of the project's code.

The script `lab` beside this file makes and removes them. Test processes share one pool: whoever holds the lock of host K
has it for itself. The fixtures are in `conftest.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fleet import Fleet

SCRIPT = Path(__file__).with_name("lab")
NO_ENGINE = 69
"""Exit status of `lab` where no Docker engine is to be had."""


class LabError(Exception):
    """The lab itself is broken, not what is tested."""


class NoEngine(LabError):
    """This machine has no Docker engine and cannot get one: the lab tests are skipped, unless they are required."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """A lab of its own: what its hosts have beyond a minimal system, how they are called and where they listen."""

    name: str
    net: str
    packages: str = ""
    folder: str = ""
    """Below the lab's folder."""

    @property
    def environment(self) -> dict[str, str]:
        settings = {"RECONCILER_LAB_NAME": self.name, "RECONCILER_LAB_NET": self.net, "RECONCILER_LAB_DIR": str(self.place)}
        return os.environ | settings | ({"RECONCILER_LAB_PACKAGES": self.packages} if self.packages else {})

    @property
    def place(self) -> Path:
        return Path(os.environ.get("RECONCILER_LAB_DIR", Path(__file__).parents[2] / ".lab")) / self.folder


PLAIN = Flavour(os.environ.get("RECONCILER_LAB_NAME", "reconciler-lab"), os.environ.get("RECONCILER_LAB_NET", "127.0.3"))
DOCKER = Flavour(
    "reconciler-docker",
    "127.0.4",
    "docker.io,docker-cli,docker-compose,iptables,git,curl,age,socat,nginx,haproxy,caddy,busybox-static",
    "docker",
)
"""Hosts that run applications: a Docker engine of their own, and reverse proxies that are installed and do not run."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a host answered to the oracle."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class LabHost:
    """One host. `sh` and the rest go through the container engine, past SSH and past everything that we wrote."""

    number: int
    flavour: Flavour = PLAIN

    @property
    def name(self) -> str:
        return f"lab{self.number}"

    @property
    def container(self) -> str:
        return f"{self.flavour.name}{self.number}"

    @property
    def address(self) -> str:
        return f"{self.flavour.net}.{self.number}"

    def ask(self, script: str, user: str = "root") -> Seen:
        """Runs `script` with the host's /bin/sh."""
        command = ["docker", "exec", "--interactive", "--user", user, self.container, "sh", "-s"]
        done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=300, check=False)
        return Seen(
            done.returncode, *(stream.decode(errors="surrogateescape").rstrip("\n") for stream in (done.stdout, done.stderr))
        )

    def sh(self, script: str, user: str = "root") -> str:
        """What `script` prints; it has to succeed. For looking at a host, and for changing it by hand."""
        seen = self.ask(script, user)
        if seen.code:
            raise AssertionError(f"{self.name}: {script!r} ended with status {seen.code}: {seen.out}\n{seen.err}")
        return seen.out

    def has(self, script: str) -> bool:
        """Whether `script` succeeds there."""
        return self.ask(script).code == 0

    def wait(self, script: str, seconds: float = 30) -> None:
        """Until `script` succeeds there."""
        end = time.monotonic() + seconds
        while not self.has(script):
            if time.monotonic() > end:
                raise AssertionError(f"{self.name}: {script!r} did not come true within {seconds} s")
            time.sleep(0.05)


class Pool:
    """The hosts of this machine's lab, for all test processes at once."""

    def __init__(self, size: int, flavour: Flavour = PLAIN) -> None:
        self.size = size
        self.flavour = flavour
        self.folder = flavour.place
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._held("prepare"):
            self._lab("prepare", str(size))

    @property
    def key(self) -> Path:
        """The private key that opens root and ops on every host."""
        return self.folder / "id_ed25519"

    def known_hosts(self) -> str:
        return (self.folder / "known_hosts").read_text()

    @contextlib.contextmanager
    def take(self, count: int = 1) -> Iterator[list[LabHost]]:
        """`count` hosts as they were on their first day, for the caller alone."""
        with contextlib.ExitStack() as stack:
            # All or none, so that two tests that want several never wait for each other.
            while len(numbers := self._free(stack, count)) < count:
                stack.close()
                time.sleep(0.2)
            for number in numbers:
                self._lab("fresh", str(number))
            yield [LabHost(number, self.flavour) for number in numbers]

    def _free(self, stack: contextlib.ExitStack, count: int) -> list[int]:
        numbers: list[int] = []
        for number in range(1, self.size + 1):
            if len(numbers) == count:
                break
            with contextlib.suppress(BlockingIOError):
                stack.enter_context(self._held(f"host{number}", wait=False))
                numbers.append(number)
        return numbers

    @contextlib.contextmanager
    def _held(self, name: str, *, wait: bool = True) -> Iterator[None]:
        with (self.folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield

    def _lab(self, *arguments: str) -> None:
        done = subprocess.run(
            [SCRIPT, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self.flavour.environment,
        )
        if done.returncode:
            kind = NoEngine if done.returncode == NO_ENGINE else LabError
            raise kind(done.stderr.strip() or f"lab {' '.join(arguments)} ended with status {done.returncode}")


def connect(fleet: Fleet, pool: Pool) -> None:
    """The operator of `fleet` gets the lab's key, and the fleet its pinned host keys. Committed with the first commit."""
    fleet.add_key(pool.key)
    fleet.write({"fleet.yaml": "", "hosts/known_hosts": pool.known_hosts()})
