"""A host between two commits, on which every sort of change is due; and runs on it that are killed at a moment of one's choice.

The host is a folder on this machine. Which moment is told by its system calls: `strace` counts those that change files, and at
the chosen one whoever is to die is killed. Used by `test_faults.py`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from providers.symlinks import SymlinkSpec
from reconciler.cycle import Session, converge
from state.channel import Output, Unreachable
from state.inventory import Record, parse_inventory
from state.local import LocalChannel
from state.target import Target
from tests.unit.reconciler.hosts import COMMIT, Box, asked

CALLS = (
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,fsync,openat,chmod,fchmodat"
)
_NOTHING = re.compile(r"O_RDONLY|/dev/null| = -1 |/stage/(armed|output|work\b)")
"""Calls that change nothing, or only what the next run throws away."""
Victim = Literal["everything", "the shell"]


@dataclass(slots=True)
class Town:
    """`Town.build` makes it, with the first commit applied. `turn_back` brings it to that moment again."""

    box: Box
    saved: Path

    @classmethod
    async def build(cls, folder: Path) -> Town:
        town = cls(Box(folder / "host"), folder / "saved")
        town.box.folder.mkdir()
        town._first_commit()
        outcome = await town.box.apply()
        assert outcome.status == "converged", outcome
        town.box.resources.clear()
        town._second_commit()
        shutil.copytree(town.box.folder, town.saved, symlinks=True)
        return town

    @property
    def folder(self) -> Path:
        return self.box.folder

    def _first_commit(self) -> None:
        box = self.box
        box.directory("old", mode="0755")
        box.file("old/inner", "inner\n")
        box.directory("etc", mode="0755")
        box.file("etc/config", "old\n", mode="0644")
        box.file("etc/unwanted", "unwanted\n")
        box.resources.append(asked(SymlinkSpec(name=f"{box.folder}/link", target="old")))

    def _second_commit(self) -> None:
        box = self.box
        etc, new = box.directory("etc", mode="0755"), box.directory("new", mode="0750")
        config = box.file("etc/config", "new\n", mode="0600", needs=[etc])
        box.file("etc/unwanted", "", ensure="absent")
        box.file("new/made", "made\n", mode="0640", needs=[new])
        box.resources.append(asked(SymlinkSpec(name=f"{box.folder}/link", target="new"), needs=[new]))
        box.command("build", f"cp {box.folder}/new/made {box.folder}/built", creates=f"{box.folder}/built", needs=[new])
        box.command("tell", f"cat {box.folder}/etc/config >>{box.folder}/told", needs=[config], follows=[config])

    def turn_back(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.saved, self.folder, symlinks=True)

    async def script(self) -> bytes:
        """What an apply of the second commit would send now."""
        channel = _Kept(Target("box", "local"))
        session = Session(self.box.host(), channel)
        await converge(session, await session.survey(), COMMIT)
        assert channel.script is not None
        return channel.script

    def torn(self) -> list[str]:
        """What is neither as the first commit asks nor as the second does."""
        whole = {
            "etc/config": ("old\n 644", "new\n 600"),
            "etc/unwanted": ("unwanted\n 644", None),
            "new/made": (None, "made\n 640"),
            "old/inner": ("inner\n 644", None),
        }
        found = {name: self._look(name) for name in whole}
        wrong = [f"{name}: {found[name]!r}" for name, allowed in whole.items() if found[name] not in allowed]
        target = str((self.folder / "link").readlink())
        return wrong + ([] if target in ("old", "new") else [f"link: {target!r}"])

    def _look(self, name: str) -> str | None:
        """Content and mode of one and the same file: a step that outlives its shell may replace it while we look."""
        try:
            file = (self.folder / name).open()
        except FileNotFoundError:
            return None
        with file:
            return f"{file.read()} {os.fstat(file.fileno()).st_mode & 0o7777:o}"

    def things(self) -> set[str]:
        """Everything that there is, hidden names too."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def record(self) -> Record:
        """What the inventory says, folded."""
        inventory = parse_inventory(self.box.inventory.read_bytes())
        assert not inventory.broken, inventory.broken
        return inventory.record


class _Kept(LocalChannel):
    """Answers questions, and keeps the first script that would change something instead of running it."""

    script: bytes | None = None

    async def run(self, script: bytes, **how: Any) -> Output:
        if b"\nexpected=" in script:
            self.script = script
            raise Unreachable("kept")
        return await super().run(script, **how)


AS_ASKED = {"etc", "etc/config", "new", "new/made", "link", "built", "told"}
AS_ASKED |= {"inventory-folder", "inventory-folder/inventory", "inventory-folder/lock"}


@contextmanager
def traced(script: bytes) -> Iterator[tuple[subprocess.Popen[bytes], Iterator[str]]]:
    """A shell that runs the script in a session of its own, and its changing system calls as they come."""
    reading, writing = os.pipe()
    command = ["strace", "-f", "-qq", "-e", "signal=none", "-e", f"trace={CALLS}", "-o", f"/dev/fd/{writing}", "/bin/sh", "-s"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[writing],
        start_new_session=True,
    ) as process:
        os.close(writing)
        assert process.stdin is not None
        process.stdin.write(script)
        process.stdin.close()
        with os.fdopen(reading) as lines:
            yield process, (line for line in lines if not _NOTHING.search(line))


@contextmanager
def killed(script: bytes, at: int, victim: Victim) -> Iterator[bool]:
    """Runs `script` and kills at the change of that number; whether it came so far. What was not killed goes on meanwhile."""
    with traced(script) as (process, calls):
        struck = any(number == at for number, _ in enumerate(calls, 1))
        if struck and victim == "everything":
            os.killpg(process.pid, signal.SIGKILL)
        elif struck:
            _kill_the_shell_below(process.pid)
        rest = threading.Thread(target=lambda: [None for _ in calls])
        rest.start()
        try:
            yield struck
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            rest.join()


def _kill_the_shell_below(tracer: int) -> None:
    """The one child of strace runs the script. After its last change it may be gone before we come."""
    for child in Path(f"/proc/{tracer}/task/{tracer}/children").read_text().split()[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
