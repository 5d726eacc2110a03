"""A real OpenSSH server on loopback, as the current user, with a configuration of its own: what SSH tests talk to.

Keys are made by ssh-keygen, so that no test depends on the code that it tests.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAM = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
USER = getpass.getuser()


def make_key(path: Path, *options: str) -> Path:
    """A key pair: ed25519 and without a passphrase, unless `options` say otherwise."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", *options, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def public(key: Path) -> str:
    """Type and key, as they stand in known_hosts and authorized_keys."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def fingerprint(key: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], check=True, capture_output=True, text=True)
    return done.stdout.split()[1]


@dataclass(slots=True)
class Sshd:
    """One server. `accepts` is the key that opens it."""

    folder: Path
    accepts: Path
    lines: tuple[str, ...] = ()
    """More of sshd_config."""
    host_key: Path = field(init=False)
    port: int = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.host_key = self.folder / "host_key"
        make_key(self.host_key)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def entry(self) -> str:
        """How the server is called in known_hosts."""
        return f"[127.0.0.1]:{self.port}"

    @property
    def pin(self) -> str:
        return f"{self.entry} {public(self.host_key)}\n"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        if PROGRAM is None:
            pytest.skip("no sshd on this machine; once: apt-get install openssh-server")
        (self.folder / "authorized_keys").write_text(Path(f"{self.accepts}.pub").read_text())
        config = self.folder / "config"
        config.write_text(
            "\n".join(
                (
                    *self.lines,  # of several lines for one setting the first counts
                    f"Port {self.port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {self.host_key}",
                    f"AuthorizedKeysFile {self.folder}/authorized_keys",
                    f"SetEnv HOME={self.folder}",  # the developer's .bashrc is none of our business
                    "PidFile none",
                    "StrictModes no",
                    "UsePAM no",
                    "LogLevel VERBOSE",
                )
            )
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where a server of root's locks up its unprivileged half
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen([PROGRAM, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"sshd did not come up: {self.log}")

    def connections(self) -> list[int]:
        """The processes that serve somebody, with all that they started."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        found = {self.process.pid}
        while more := {child for child, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found - {self.process.pid})

    def signal_connections(self, number: signal.Signals) -> None:
        for process in self.connections():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def stop(self) -> None:
        if self.process.poll() is None:
            served = self.connections()
            self.process.kill()
            self.process.wait()
            for process in served:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def agent_with(*keys: Path, folder: Path) -> Iterator[str]:
    """An ssh-agent that holds `keys`; its socket."""
    path = str(folder / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not Path(path).exists():
            time.sleep(0.01)
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env=os.environ | {"SSH_AUTH_SOCK": path}, check=True)
        yield path
    finally:
        process.terminate()
        process.wait()
